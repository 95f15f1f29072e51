"""What a store was asked for and what it answered, and the judgement of everything it says later.

A key's state is a version, 0 for "not there". A change that was answered `ok` leaves exactly its own state; one
that was answered "nothing was changed" leaves the old one; one without an answer, or with `outcomeUnknown`, leaves
both. Reading a key after a restart settles which.

Always holds: it knows nothing of the store but the words of Docs/wire-protocol.md.
"""
import threading

ABSENT = 0
UNCHANGED = {"noSpace", "invalidRequest", "tooLarge", "checksumMismatch", "deadlineExceeded", "driveUnavailable",
             "busy", "shuttingDown", "fileSystemFull"}


class _State:
    """A state that a key could have from `begin` to `end`, in the ledger's own ticks."""

    def __init__(self, version, length, begin):
        self.version, self.length, self.begin, self.end = version, length, begin, None


class Ledger:
    def __init__(self, contents):
        self.contents = contents
        self.lock = threading.Lock()
        self.tick = 0
        self.states = {}
        self.last_version = 0
        self.violations = []
        self.acknowledged = 0
        self.unknown = 0
        # A drive that is known to have gone may miss, never lie.
        self.misses_allowed = False

    def _now(self):
        self.tick += 1
        return self.tick

    def add_key(self, key):
        self.states[key] = [_State(ABSENT, 0, 0)]

    def keys(self):
        return list(self.states)

    def live(self, key):
        return [state for state in self.states[key] if state.end is None]

    def present_keys(self):
        """Keys that have a value for certain."""
        return [key for key in self.states if all(s.version != ABSENT for s in self.live(key))]

    def complain(self, key, text):
        with self.lock:
            self.violations.append(f"key {key.hex()[:12]}: {text}")

    # MARK: Changes: one at a time for each key

    def begin_put(self, key, length):
        """Returns the new state and the value to send."""
        with self.lock:
            self.last_version += 1
            state = _State(self.last_version, length, self._now())
            self.states[key].append(state)
        return state, self.contents.value(key, state.version, length)

    def begin_delete(self, key):
        with self.lock:
            state = _State(ABSENT, 0, self._now())
            self.states[key].append(state)
        return state

    def end_change(self, key, state, status):
        """Enters the answer to a change; None when the connection was lost before it came."""
        if status == "notFound" and state.version == ABSENT:
            # A delete that found nothing: legal only where nothing may have been.
            if all(s.version != ABSENT for s in self.live(key) if s is not state) and not self.misses_allowed:
                self.complain(key, "a delete found nothing where an acknowledged value was")
            status = "ok" if not self.misses_allowed else "outcomeUnknown"
        with self.lock:
            now = self._now()
            if status == "ok":
                self.acknowledged += 1
                for other in self.states[key]:
                    if other is not state and other.end is None:
                        other.end = now
            elif status in UNCHANGED:
                state.end = now
            elif status in (None, "outcomeUnknown"):
                self.unknown += 1
            else:
                self.violations.append(f"key {key.hex()[:12]}: status {status} for a change")

    # MARK: Reads

    def begin_read(self):
        with self.lock:
            return self._now()

    def end_read(self, key, began, status, value):
        """Judges a read that began at the tick `began`."""
        with self.lock:
            possible = [s for s in self.states[key] if s.end is None or s.end >= began]
        found = self._match(key, possible, status, value)
        if found is None:
            self.complain(key, self._describe(possible, status, value))

    def end_exists(self, key, began, status):
        with self.lock:
            possible = [s for s in self.states[key] if s.end is None or s.end >= began]
        if status == "ok":
            legal = any(s.version != ABSENT for s in possible)
        elif status == "notFound":
            legal = self.misses_allowed or any(s.version == ABSENT for s in possible)
        else:
            legal = status in ("busy", "deadlineExceeded", "shuttingDown", "driveUnavailable")
        if not legal:
            self.complain(key, f"exists says {status}, possible were {[s.version for s in possible]}")

    def _match(self, key, possible, status, value):
        """The state that explains an answer; None when none does. True when the answer says nothing."""
        if status == "ok":
            for state in possible:
                if state.version != ABSENT and state.length == len(value) \
                        and self.contents.value(key, state.version, state.length) == value:
                    return state
            return None
        if status == "notFound":
            absent = [s for s in possible if s.version == ABSENT]
            return absent[0] if absent else (True if self.misses_allowed else None)
        if status in ("busy", "deadlineExceeded", "shuttingDown", "driveUnavailable"):
            return True
        return None

    def _describe(self, possible, status, value):
        names = [f"version {s.version} of {s.length} bytes" if s.version else "absent" for s in possible]
        got = f"{len(value)} bytes beginning {value[:8].hex()}" if status == "ok" else status
        return f"possible were {', '.join(names)}; the store says {got}"

    def settle(self, key, status, value):
        """Judges the first read after a restart, when nothing else is under way, and keeps what it found.

        Returns "kept" for the acknowledged state, "decided" where an unanswered change was possible, "wrong".
        """
        possible = self.live(key)
        found = self._match(key, possible, status, value)
        if found is None or found is True:
            self.complain(key, self._describe(possible, status, value))
            # Goes on from what is there, so that one loss is reported once.
            self.states[key] = [possible[0] if status == "ok" else _State(ABSENT, 0, 0)]
            return "wrong"
        self.states[key] = [found]
        return "kept" if len(possible) == 1 else "decided"
