"""Why no guest could be had, as opposed to what a command in it did."""


class NoGuest(Exception):
    """This machine can't run a guest; the text says what is missing."""
