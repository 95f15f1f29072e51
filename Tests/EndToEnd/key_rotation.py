#!/usr/bin/env python3
"""Keys in their daily life: rotated by SIGHUP under open sessions, refused where they are wrong, and given to memkv.
"""
import contextlib
import hashlib
import os
import pathlib
import random
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support import report, wire
from support.daemon import Daemon, free_port, memkv, memkvd_to_its_end
from support.keyed_daemon import KeyedDaemon
from support.signed import Raw, header

options = report.arguments(__doc__.splitlines()[0], 20261122)
generator = random.Random(options.seed)
check = report.check

MASTER, NARROW, OLD, NEW, UNKNOWN = (generator.randbytes(32) for _ in range(5))
BLOCK = hashlib.sha256(b"rotation").digest()


def rotation():
    """Old key, both, new key; sessions of each meanwhile."""
    with contextlib.ExitStack() as stack:
        place = KeyedDaemon(stack, [MASTER, (NARROW, [1, 2])])
        master = place.session(MASTER)
        place.write_config([MASTER, (NARROW, [1, 2]), OLD])
        place.reload()
        old = place.session(OLD)
        check("an added key is good at once", old.put(BLOCK, b"old") == "ok")
        place.write_config([MASTER, (NARROW, [1, 2]), OLD, NEW])
        place.reload()
        new = place.session(NEW)
        check("old and new key side by side", (old.get(BLOCK), new.get(BLOCK)) == (("ok", b"old"),) * 2)
        half_open = Raw(place.port)
        half_open.hello(OLD)
        place.write_config([MASTER, (NARROW, [2]), NEW])
        place.reload()
        check("a session of a removed key ends", old.is_at_end())
        check("so does one that only owes its proof", half_open.is_at_end())
        check("a removed key opens nothing", not place.connects(OLD))
        check("sessions of the other keys go on", (new.get(BLOCK), master.get(BLOCK)) == (("ok", b"old"),) * 2)
        narrow = place.session(NARROW)
        got = [narrow.get(BLOCK, namespace=number)[0] for number in (1, 2)]
        check("a key's new namespaces", got == ["forbidden", "notFound"], got)
        place.write_config([MASTER, (NARROW, [1]), NEW])
        place.reload()
        # A session learns of it when its shard has had its next turn.
        end = time.monotonic() + wire.PATIENCE_SECONDS
        while True:
            got = [narrow.get(BLOCK, namespace=number)[0] for number in (1, 2)]
            if got == ["notFound", "forbidden"] or time.monotonic() > end:
                break
        check("hold for its sessions too", got == ["notFound", "forbidden"], got)
        bad_files(place, new)
        for session in (master, old, new, half_open, narrow):
            session.close()
        log = place.daemon.log()
        digits = [key for key in (MASTER, NARROW, OLD, NEW) if key.hex()[:20] in log or key.hex()[-20:] in log]
        check("no key's digits are in the log", not digits)
        code = place.daemon.terminate()
        check("SIGTERM ends it with 0", code == 0, code)


FIFO = object()


def bad_files(place, new):
    """Whatever is wrong with the file, the keys stay, and the log says where."""
    good = place.config.read_text()
    for what, text, words in (
            ("a key that is too short", good.replace(NEW.hex(), NEW.hex()[1:]),
             f"{place.config}:7: network.auth_keys[2]: a key is 64 hexadecimal digits"),
            ("a file that is no YAML", good + "}", f"{place.config}:"),
            ("an unknown key of the file", good + "nonsense: 1\n", "nonsense: unknown key"),
            ("another address", good.replace(str(place.port), str(place.port + 2)), "network.address: can't be"),
            ("payload tags", good.replace("payload_mac: false", "payload_mac: true"), "network.payload_mac: can't be"),
            ("a file without keys", good.replace("  auth_keys:", "").split("    - ")[0], "network.auth_keys: the last"),
            ("an empty file", "", "can't be"),
            ("a FIFO", FIFO, "is not a regular file"),
            ("no file", None, f"can't open {place.config}")):
        if text is None:
            place.config.unlink()
        elif text is FIFO:
            place.config.unlink()
            os.mkfifo(place.config)
        else:
            place.config.write_text(text)
        line = place.reload("reload refused, the old keys stay")
        check(f"a reload of {what} is refused, and the line says where", words in line, line)
        if text is FIFO:
            place.config.unlink()
        place.config.write_text(good)
    check("the old keys stay",
          new.get(BLOCK) == ("ok", b"old") and place.connects(NEW) and not place.connects(OLD))


def impostor(stack):
    """A server that has no key and says that all is well; returns its port."""
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

    def serve():
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), peer:
                peer.settimeout(10)
                request = peer.recv(4096)
                body = struct.pack("<HHIIIII", 1, 0, 256, 12288, 16 << 20, 16 << 20, 64) + bytes(16)
                body += request[-32:] + bytes(32)
                peer.sendall(header(wire.CONNECT, 0, body, flags=1, deadline=0) + body)
                peer.recv(4096)

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


def tools():
    """memkv and the example client with keys."""
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="memkv-auth-")))
        port = free_port()
        daemon = Daemon(stack, directory, port, "--data", directory / "store", "--listen", f"127.0.0.1:{port}",
                        MEMKV_AUTH_KEY=MASTER.hex())
        daemon.start()
        server = ["--server", f"127.0.0.1:{port}"]
        value = directory / "value"
        value.write_bytes(generator.randbytes(3_000_000))
        files = {}
        for name, text in (("right", MASTER.hex() + "\n"), ("wrong", UNKNOWN.hex()), ("none", "not a key")):
            files[name] = directory / name
            files[name].write_text(text)
        code, _, errors = memkv(*server, "put", "name", value)
        check("memkv without a key: exit code 4 and what to do", code == 4 and "MEMKV_AUTH_KEY" in errors, errors)
        done = subprocess.run([report.binaries() / "memkv", *server, "put", "name", value], capture_output=True, text=True,
                              env={**os.environ, "MEMKV_AUTH_KEY": ""}, timeout=60)
        check("memkv with an empty MEMKV_AUTH_KEY: exit code 2, as memkvd", done.returncode == 2
              and "MEMKV_AUTH_KEY is set and empty" in done.stderr, done)
        code, _, errors = memkv(*server, "--auth-key-file", files["wrong"], "put", "name", value)
        check("memkv with a wrong key: exit code 4", code == 4, (code, errors))
        code, _, errors = memkv(*server, "--auth-key-file", files["none"], "put", "name", value)
        check("memkv with a file that holds no key: exit code 2, its text not repeated",
              code == 2 and "not a key" not in errors, (code, errors))
        right = [*server, "--auth-key-file", files["right"]]
        done = [memkv(*right, "put", "name", value)[0], memkv(*right, "get", "name", "-o", directory / "copy")[0]]
        check("memkv with the key puts and gets",
              done == [0, 0] and (directory / "copy").read_bytes() == value.read_bytes(), done)
        done = [memkv(*right, "import", value, "-o", directory / "manifest", "--block-size", "256KiB")[0],
                memkv(*right, "export", directory / "manifest", "-o", directory / "back")[0]]
        check("and imports and exports",
              done == [0, 0] and (directory / "back").read_bytes() == value.read_bytes(), done)
        code, _, errors = memkv("--auth-key-file", files["wrong"], *server, "import", value, "-o", directory / "m")
        check("a transfer with a wrong key ends at once", code == 4, (code, errors))
        false_server = ["--server", f"127.0.0.1:{impostor(stack)}", "--timeout", "10"]
        code, _, errors = memkv(*false_server, "--auth-key-file", files["right"], "put", "name", value)
        check("memkv shows nothing to a server without the key: exit code 4",
              code == 4 and "doesn't have the key" in errors, (code, errors))
        example(port, value)
        with open(f"/proc/{daemon.process.pid}/cmdline", "rb") as line:
            check("the key is not on the command line", MASTER.hex().encode() not in line.read())


def example(port, value):
    script = report.REPOSITORY / "Docs/example_client.py"

    def run(*arguments, **more):
        return subprocess.run([sys.executable, script, f"127.0.0.1:{port}", *arguments], capture_output=True,
                              env={**os.environ, "MEMKV_AUTH_KEY": MASTER.hex()}, timeout=60, **more)

    put = run("put", "example", input=value.read_bytes())
    got = run("get", "example")
    check("the example client with a key",
          (put.returncode, got.returncode, got.stdout) == (0, 0, value.read_bytes()), (put.stderr, got.stderr))


def listening():
    """Who may listen where."""
    with tempfile.TemporaryDirectory(prefix="memkv-auth-") as directory:
        code, errors = memkvd_to_its_end("--data", f"{directory}/store", "--listen", "0.0.0.0:19900")
        check("an address that others can reach, without a key: exit code 2, and nothing is made",
              code == 2 and "network.auth_keys" in errors and not os.path.exists(f"{directory}/store"), errors)
        config = pathlib.Path(directory) / "memkvd.yaml"
        config.write_text(f"network: {{ auth_key: {MASTER.hex()[1:]} }}\n")
        code, errors = memkvd_to_its_end("--data", f"{directory}/store", "--config", config)
        check("a wrong key: exit code 2, the place named, its digits not",
              code == 2 and f"{config}:1: network.auth_key" in errors and MASTER.hex()[1:9] not in errors, errors)


report.run([("rotation", rotation), ("listening", listening), ("tools", tools)])
