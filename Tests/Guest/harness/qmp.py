"""QEMU's machine protocol: commands to the machine, and what it tells by itself.

Speaks it over a Unix socket from the host and over a virtio port from inside the guest.
See https://www.qemu.org/docs/master/interop/qmp-spec.html.
"""
import itertools
import json
import os
import select
import socket
import stat

PATIENCE_SECONDS = 120


class Refused(Exception):
    """The machine refused a command or doesn't answer; the text says which."""


class Monitor:
    """One connection. Not for several threads at once, nor for two processes on one virtio port."""

    def __init__(self, path):
        if stat.S_ISCHR(os.stat(path).st_mode):
            self.port = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        else:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(path))
            self.port = connection.detach()
        self.numbers = itertools.count()
        self.inbox = b""
        self.events = []
        try:
            self.call("qmp_capabilities")
        except Refused:
            pass  # The port's last user has said it already.

    def close(self):
        os.close(self.port)

    def call(self, command, **arguments):
        """Sends a command; returns its answer. Raises Refused."""
        name = f"{os.getpid()}-{next(self.numbers)}"
        self._send({"execute": command, "arguments": arguments, "id": name})
        while True:
            message = self._receive()
            # Answers without this id are those of the port's last user.
            if message.get("id") == name:
                if "error" in message:
                    raise Refused(f"{command}: {message['error']['desc']}")
                return message["return"]

    def await_event(self, name, **data):
        """Waits for an event with such data, or takes one that has come since the connection was made."""
        def fits(message):
            return message["event"] == name and data.items() <= message.get("data", {}).items()
        while True:
            for message in self.events:
                if fits(message):
                    self.events.remove(message)
                    return message
            self._receive()

    def _send(self, message):
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(self.port, data):]

    def _receive(self):
        while b"\n" not in self.inbox:
            if not select.select([self.port], [], [], PATIENCE_SECONDS)[0]:
                raise Refused(f"the machine has said nothing for {PATIENCE_SECONDS} seconds")
            data = os.read(self.port, 65536)
            if not data:
                raise Refused("the machine has closed the connection")
            self.inbox += data
        line, self.inbox = self.inbox.split(b"\n", 1)
        message = json.loads(line)
        if "event" in message:
            self.events.append(message)
        return message
