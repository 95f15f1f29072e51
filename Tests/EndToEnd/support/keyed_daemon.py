"""A memkvd with keys, and sessions on it."""
import pathlib
import signal
import tempfile
import time

from . import wire
from .daemon import Daemon, free_port
from .signed import Session


class KeyedDaemon:
    """A memkvd that serves one store to whoever has one of `keys`: a key, or a key and its namespaces."""

    def __init__(self, stack, keys, payload_mac=False):
        self.payload_mac = payload_mac
        self.directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="memkv-auth-")))
        self.port = free_port()
        self.config = self.directory / "memkvd.yaml"
        self.write_config(keys)
        self.daemon = Daemon(
            stack, self.directory, self.port, "--config", self.config, "--data", self.directory / "store")
        self.daemon.start()

    def write_config(self, keys):
        lines = ["network:", f"  address: 127.0.0.1:{self.port}",
                 f"  payload_mac: {'true' if self.payload_mac else 'false'}", "  auth_keys:"]
        for key in keys:
            key, namespaces = key if isinstance(key, tuple) else (key, None)
            lines.append(f"    - {{ key: {key.hex()}, namespaces: {namespaces} }}" if namespaces
                         else f"    - \"{key.hex()}\"")
        lines += ["memory: { max_size: 64 MiB }", "storage: { max_size: 1 GiB }"]
        self.config.write_text("\n".join(lines) + "\n")

    def session(self, key):
        return Session(self.port, key)

    def connects(self, key):
        try:
            self.session(key).close()
            return True
        except wire.Lost:
            return False

    def reload(self, expected="keys reloaded"):
        """SIGHUP, and the log's next line that says `expected`."""
        before = self.daemon.log().count(expected)
        self.daemon.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + wire.PATIENCE_SECONDS
        while self.daemon.log().count(expected) == before and time.monotonic() < end:
            time.sleep(0.01)
        return ([line for line in self.daemon.log().splitlines() if expected in line] or ["nothing"])[-1]
