#!/usr/bin/env python3
"""Hostile clients against a memkvd with keys: whatever they forge, replay, reorder, cut or reflect is refused.

All of it once without and once with tags over payloads. A bystander with a session of its own is served all the time,
and in the end memory and descriptors are back where they were.
"""
import contextlib
import hashlib
import os
import pathlib
import random
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support import report, session_keys, wire
from support.keyed_daemon import KeyedDaemon
from support.signed import AUTHENTICATE, Raw, Session, header

options = report.arguments(__doc__.splitlines()[0], 20261122, volley=(150, "hostile connections of each kind"))
generator = random.Random(options.seed)
check = report.check

MASTER, NARROW, UNKNOWN = (generator.randbytes(32) for _ in range(3))
PUT, GET, EXISTS, STAT, DELETE = wire.PUT, wire.GET, wire.EXISTS, wire.STAT, wire.DELETE
BATCH_GET, BATCH_PUT, BATCH_DELETE = wire.BATCH_GET, wire.BATCH_PUT, wire.BATCH_DELETE


def block_key(text):
    return hashlib.sha256(text.encode()).digest()


class Bystander(threading.Thread):
    """Puts and gets over one session of its own until it is told to stop."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.session = Session(port, MASTER)
        self.done, self.problem, self.stopping = 0, None, threading.Event()
        self.start()

    def run(self):
        try:
            while not self.stopping.is_set():
                key, value = block_key(f"bystander {self.done % 50}"), os.urandom(1 + self.done % 5000)
                if self.session.put(key, value) != "ok" or self.session.get(key) != ("ok", value):
                    self.problem = f"after {self.done} rounds"
                    return
                self.done += 1
        except Exception as error:
            self.problem = f"after {self.done} rounds: {error!r}"

    def end(self):
        self.stopping.set()
        self.join(wire.PATIENCE_SECONDS)
        self.session.close()


class Target(KeyedDaemon):
    """A memkvd with keys, and everything that is tried on it."""

    def __init__(self, stack, payload_mac):
        super().__init__(stack, [MASTER, (NARROW, [1, 2])], payload_mac)
        self.name = "payloads tagged" if payload_mac else "payloads not tagged"
        self.victim = Session(self.port, MASTER)
        stack.callback(self.victim.close)

    def session(self, key=MASTER):
        return super().session(key)

    def check(self, what, condition, detail=""):
        return check(f"{self.name}: {what}", condition, detail)

    # MARK: What is expected

    def refused(self, what, connection, status="unauthenticated", signed=False):
        """The server answers `status`, closes, and goes on serving."""
        try:
            answer = connection.answer() if signed else connection.unsigned_answer()
            got, ended = answer.status, connection.is_at_end()
        except (wire.Lost, wire.WireError) as error:
            got, ended = repr(error), True
        connection.close()
        alive = self.victim.call(EXISTS, block_key("nothing")).status
        return self.check(what, (got, ended, alive) == (status, True, "ok"),
                          f"{got}, closed: {ended}, the others get {alive}")

    def forged(self, what, change):
        """A session whose next frame `change(session)` makes: refused, with a signed answer."""
        session = self.session()
        session.send(change(session))
        return self.refused(what, session, signed=True)

    def holds(self, key):
        return self.victim.call(STAT, key).status == "ok"

    # MARK: Before the proof

    def strangers(self):
        with Raw(self.port) as raw:
            body = struct.pack("<HHI", 1, 1, 0)
            raw.send(header(wire.CONNECT, 1, body, flags=0) + body)
            self.refused("no key at all", raw)
        raw = Raw(self.port)
        answer = raw.hello(UNKNOWN)
        self.check("an unknown key", answer.status == "unauthenticated" and raw.is_at_end(), answer)
        raw = Raw(self.port)
        raw.hello(UNKNOWN, key_id=session_keys.key_identifier(MASTER))
        self.check("the server's proof shows a client that its own key is wrong",
                   raw.server_proof != raw.schedule.server_proof)
        raw.prove(raw.schedule.client_proof)
        self.refused("a known key's id with a wrong key's proof", raw)
        raw = Raw(self.port)
        raw.hello(MASTER)
        raw.send(header(GET, 2, bytes(32), flags=0) + bytes(32))
        self.refused("a request where the proof is due", raw)
        raw = Raw(self.port)
        raw.hello(MASTER)
        ours = session_keys.Direction(raw.schedule.client_to_server)
        raw.send(ours.sign(header(GET, 2, bytes(32)), bytes(32)))
        self.refused("a signed request where the proof is due", raw, "invalidRequest")
        raw = Raw(self.port)
        raw.send(header(GET, 1, bytes(32), flags=0) + bytes(32))
        self.refused("a request before Connect", raw, "invalidRequest")
        raw = Raw(self.port)
        raw.send(header(AUTHENTICATE, 1, bytes(32), flags=0) + bytes(32))
        self.refused("a proof before Connect", raw, "invalidRequest")
        for position in (0, 15, 31):
            raw = Raw(self.port)
            raw.hello(MASTER)
            proof = bytearray(raw.schedule.client_proof)
            proof[position] ^= 1
            raw.prove(proof)
            self.refused(f"a proof with one bit of byte {position} wrong", raw)

    def reflections(self):
        raw = Raw(self.port)
        raw.hello(MASTER)
        raw.prove(raw.server_proof)
        self.refused("the server's own proof, sent back", raw)
        # Two sessions at once: the nonce of one as the challenge of the other, its proof as the answer.
        first, second = Raw(self.port), Raw(self.port)
        first.hello(MASTER)
        second.hello(MASTER, client_nonce=first.server_nonce)
        first.prove(second.server_proof)
        self.refused("the server's proof of another session, challenged with this one's nonce", first)
        second.close()
        session = self.session()
        session.send(session.frame(GET, block_key("nothing")))
        head = session.read(wire.HEADER.size)
        session.theirs.number += 1
        session.send(head)
        self.refused("the server's own signed answer, sent back as a request", session, signed=True)

    def replays(self):
        """Everything that a client once sent, sent again over a new connection."""
        key, value = block_key("replayed"), b"the first value"
        raw = Session(self.port, MASTER)
        recorded = raw.connect_frame + header(AUTHENTICATE, 2, raw.schedule.client_proof, flags=0) \
            + raw.schedule.client_proof
        put = raw.frame(PUT, key, value)
        raw.send(put)
        status = raw.answer().status
        raw.close()
        changed = self.victim.put(key, b"the second value")
        self.check("a recorded session is a good one the first time", (status, changed) == ("ok", "ok"))
        again = Raw(self.port)
        again.send(recorded + put)
        answer = again.unsigned_answer()
        self.check("replayed: Connect gets another challenge",
                   answer.status == "ok" and answer.body[40:72] != raw.server_nonce)
        self.refused("replayed: the recorded proof", again)
        self.check("replayed: the put is not done again", self.victim.get(key)[1] == b"the second value")
        session = self.session()
        frame = session.frame(PUT, key, b"the third value")
        session.send(frame)
        session.answer()
        self.victim.put(key, b"the fourth value")
        session.send(frame)
        self.refused("the same frame twice in one session", session, signed=True)
        self.check("the second of them is not done", self.victim.get(key)[1] == b"the fourth value")
        one, other = self.session(), self.session()
        other.send(one.frame(DELETE, key))
        one.close()
        self.refused("a frame of another session of the same key", other, signed=True)
        self.check("its delete is not done", self.holds(key))

    # MARK: After the proof

    def changed_frames(self):
        """A put with each byte of header, key and tags changed in turn."""
        key, value = block_key("changed"), b"v" * 5000
        sample = self.session()
        length = len(sample.frame(PUT, key, value)) - len(value)
        sample.close()
        wrong = []
        for position in range(length):
            session = self.session()
            frame = bytearray(session.frame(PUT, key, value))
            frame[position] ^= 1 << generator.randrange(8)
            session.send(frame)
            try:
                answer = session.answer()
                if answer.status != "unauthenticated" or not session.is_at_end():
                    wrong.append((position, answer.status))
            except (wire.Lost, wire.WireError) as error:
                wrong.append((position, repr(error)))
            session.close()
        self.check(f"each of {length} bytes of header, body and tags changed", not wrong, wrong)
        self.check("none of those puts is done", not self.holds(key))
        session = self.session()
        frame = bytearray(session.frame(PUT, key, value))
        frame[-1] ^= 1
        session.send(frame)
        if self.payload_mac:
            self.refused("a payload changed on purpose", session, signed=True)
        else:
            answer = session.answer()
            self.check("a payload changed by chance",
                       answer.status == "checksumMismatch" and session.put(key, value) == "ok", answer)
            self.victim.call(DELETE, key)
            session.close()
        session = self.session()
        items = [(block_key(f"batch {n}"), os.urandom(n * 3000 + 1)) for n in range(3)]
        body, payload = wire.batch_put_parts(items)
        frame = bytearray(session.frame(BATCH_PUT, body, payload))
        frame[len(frame) - len(payload) + 1 + 100] ^= 1  # in the padding behind the first value
        session.send(frame)
        if self.payload_mac:
            self.refused("padding between a batch's values changed", session, signed=True)
        else:
            self.check("padding is nobody's value", session.answer().status == "ok")
            session.close()

    def order(self):
        key = block_key("order")
        session = self.session()
        first, second = session.frame(PUT, key, b"first"), session.frame(PUT, key, b"second")
        session.send(second + first)
        self.refused("two frames in the wrong order", session, signed=True)
        session = self.session()
        session.frame(PUT, key, b"dropped")
        session.send(session.frame(PUT, key, b"second"))
        self.refused("a frame left out", session, signed=True)
        self.check("nothing of them is done", not self.holds(key))

    def shapes(self):
        key = block_key("shapes")
        for what, cut in (("inside the header", 40), ("behind the header", 64), ("inside the body", 80),
                          ("before the body's tag", 96), ("inside the tags", 104), ("inside the payload", -1)):
            session = self.session()
            frame = session.frame(PUT, key, b"x" * 100)
            session.send(frame[:cut])
            session.stop_sending()
            ended = session.is_at_end()
            session.close()
            self.check(f"a frame that ends {what}", ended and not self.holds(key))
        self.forged("a frame cut short with the next behind it",
                    lambda session: session.frame(PUT, key, b"x" * 100)[:100]
                    + b"".join(session.frame(GET, key) for _ in range(4)))
        session = self.session()
        session.send(session.frame(PUT, key, body_length=1 << 30))
        self.refused("a body of 1 GiB, rightly signed", session, "tooLarge", signed=True)
        session = self.session()
        session.send(session.frame(PUT, key, payload_length=1 << 31))
        self.refused("a payload of 2 GiB, rightly signed", session, "tooLarge", signed=True)
        self.forged("lengths of 4 GiB with a wrong tag are not even looked at",
                    lambda _: header(PUT, 9, key, body_length=2**32 - 1, payload_length=2**32 - 1))
        self.forged("an unsigned request", lambda _: header(GET, 9, key, flags=0) + key)
        session = self.session()
        session.send(session.frame(GET, key, flags=0))
        self.refused("a request with a right tag that says it is unsigned", session, "invalidRequest", signed=True)
        self.forged("another Connect", lambda session: session.connect_frame)
        self.forged("64 bytes of noise", lambda _: generator.randbytes(64))
        raw = Raw(self.port)
        raw.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + bytes(64))
        ended = raw.is_at_end()
        raw.close()
        self.check("bytes that were never a frame are closed without an answer", ended)

    def honest(self):
        """What the refusals are compared with: the same operations, done right."""
        session = self.session()
        items = [(block_key(f"honest {n}"), generator.randbytes(length))
                 for n, length in enumerate((1, 4096, 70_000, 5_000_000))]
        statuses = [session.put(*item) for item in items]
        values = [session.get(key) for key, _ in items]
        self.check("puts and gets of 1 byte to 5 MB",
                   statuses == ["ok"] * 4 and values == [("ok", value) for _, value in items])
        body, payload = wire.batch_put_parts(items)
        answer = session.call(BATCH_PUT, body, payload)
        self.check("a batch of puts", wire.item_statuses(answer.body, 4) == ["ok"] * 4)
        keys = b"".join(key for key, _ in items)
        answer = session.call(BATCH_GET, keys)
        self.check("a batch of gets", wire.batch_get_items(answer.body, answer.payload, 4)
                   == [("ok", value) for _, value in items])
        for key, value in items * 5:
            session.send(session.frame(GET, key))
        answers = [session.answer() for _ in range(20)]
        self.check("twenty under way at once", all(answer.status == "ok" for answer in answers))
        answer = session.call(BATCH_DELETE, keys)
        self.check("a batch of deletes", wire.item_statuses(answer.body, 4) == ["ok"] * 4)
        self.check("a miss", session.get(block_key("never"))[0] == "notFound")
        session.close()
        raw = Raw(self.port)
        raw.hello(MASTER)
        ours = session_keys.Direction(raw.schedule.client_to_server)
        proof = raw.schedule.client_proof
        raw.send(header(AUTHENTICATE, 2, proof, flags=0) + proof
                 + ours.sign(header(EXISTS, 3, bytes(32)), bytes(32)))
        first, second = raw.read(64), raw.read(64)
        self.check("requests right behind the proof", (first[6], second[6], second[8]) == (AUTHENTICATE, EXISTS, 0))
        raw.close()

    # MARK: Namespaces

    def namespaces(self):
        narrow = self.session(NARROW)
        key, value = block_key("namespaces"), b"n" * 3000
        for namespace in (1, 2):
            got = (narrow.put(key, value, namespace=namespace), narrow.get(key, namespace=namespace))
            self.check(f"a key opens its namespace {namespace}", got == ("ok", ("ok", value)), got)
        self.victim.put(key, b"not yours")
        body, payload = wire.batch_put_parts([(key, value), (block_key("more"), value)])
        requests = [("put", PUT, key, value), ("get", GET, key, b""), ("delete", DELETE, key, b""),
                    ("stat", STAT, key, b""), ("exists", EXISTS, key, b""), ("batch put", BATCH_PUT, body, payload),
                    ("batch get", BATCH_GET, key, b""), ("batch delete", BATCH_DELETE, key, b"")]
        for namespace in (0, 3, 2**32 - 1):
            answers = {what: narrow.call(operation, body, payload, namespace=namespace)
                       for what, operation, body, payload in requests}
            wrong = {what: answer for what, answer in answers.items()
                     if (answer.status, answer.body, answer.payload) != ("forbidden", b"", b"")}
            self.check(f"and forbids {len(requests)} operations in namespace {namespace}", not wrong, wrong)
        self.check("nothing was changed there, and the session goes on",
                   self.victim.get(key) == ("ok", b"not yours") and narrow.get(key, namespace=1) == ("ok", value))
        narrow.close()

    # MARK: What is left of it

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.daemon.process.pid}/fd"))

    def resident_kib(self):
        with open(f"/proc/{self.daemon.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))

    def volley(self, count):
        """Many hostile connections of each kind, one behind the other."""
        for _ in range(count):
            with contextlib.suppress(wire.Lost, wire.WireError), Raw(self.port) as raw:
                raw.hello(UNKNOWN)
            with contextlib.suppress(wire.Lost, wire.WireError), Raw(self.port) as raw:
                raw.hello(MASTER)
                raw.prove(bytes(32))
                raw.unsigned_answer()
            with contextlib.suppress(wire.Lost, wire.WireError), Raw(self.port) as raw:
                raw.hello(MASTER)
            with contextlib.suppress(wire.Lost, wire.WireError), self.session() as session:
                frame = bytearray(session.frame(PUT, bytes(32), b"p" * 100_000))
                frame[generator.randrange(len(frame) - 100_000)] ^= 1
                session.send(frame)
                session.answer()
            with contextlib.suppress(wire.Lost, wire.WireError), self.session() as session:
                session.send(session.frame(PUT, bytes(32), b"p" * 100_000)[:50_000])

    def leftovers(self):
        self.volley(50)  # so that what is made once is there
        before = self.settled()
        self.volley(options.volley)
        after = self.settled(before[0])
        self.check(f"after {5 * options.volley} hostile connections descriptors are back: {before[0]}",
                   after[0] == before[0], after)
        # Pages that the allocator keeps come and go by hundreds of KiB; a leak of a session's would be MiB.
        self.check(f"and memory: {before[1]} KiB, then {after[1]} KiB", after[1] <= before[1] + 1024)

    def settled(self, wanted=None):
        """(descriptors, KiB) once nothing moves any more."""
        end = time.monotonic() + 20
        last = None
        while time.monotonic() < end:
            time.sleep(0.3)
            now = self.descriptors()
            if now == last and wanted in (None, now):
                break
            last = now
        return self.descriptors(), self.resident_kib()

    def log(self):
        for reason, offend in (("noKey", self.greet_without_key), ("unknownKey", lambda raw: raw.hello(UNKNOWN)),
                               ("noProof", self.skip_proof), ("wrongProof", self.prove_wrongly)):
            time.sleep(1.2)
            with Raw(self.port) as raw:
                offend(raw)
                raw.is_at_end()
                peer = "%s:%d" % raw.socket.getsockname()
            self.logged(reason, peer)
        time.sleep(1.2)
        with self.session() as session:
            session.send(bytes(64))
            session.is_at_end()
            peer = "%s:%d" % session.socket.getsockname()
            self.logged("forgedFrame", peer)
        log = self.daemon.log()
        lines = [line for line in log.splitlines() if "authentication refused" in line]
        self.check("at most a line a second", 0 < len(lines) <= self.seconds() + 2, (len(lines), self.seconds()))
        digits = [key.hex() for key in (MASTER, NARROW, UNKNOWN) if key.hex()[:20] in log]
        self.check("no key's digits are in the log", not digits)

    def logged(self, reason, peer):
        end = time.monotonic() + 10
        line = f"count=1 peer={peer} reason={reason}"
        while line not in self.daemon.log() and time.monotonic() < end:
            time.sleep(0.05)
        self.check(f"the log says {reason}, how many and who", line in self.daemon.log(), self.daemon.log()[-600:])

    def greet_without_key(self, raw):
        body = struct.pack("<HHI", 1, 1, 0)
        raw.send(header(wire.CONNECT, 1, body, flags=0) + body)
        raw.unsigned_answer()

    def skip_proof(self, raw):
        raw.hello(MASTER)
        raw.send(header(GET, 2, bytes(32), flags=0) + bytes(32))
        raw.unsigned_answer()

    def prove_wrongly(self, raw):
        raw.hello(MASTER)
        raw.prove(bytes(32))
        raw.unsigned_answer()

    def seconds(self):
        return time.monotonic() - self.started

    def everything(self):
        self.started = time.monotonic()
        bystander = Bystander(self.port)
        for part in (self.honest, self.strangers, self.reflections, self.replays, self.changed_frames, self.order,
                     self.shapes, self.namespaces):
            part()
        bystander.end()
        self.check(f"a bystander was served all the time, {bystander.done} rounds",
                   bystander.problem is None and bystander.done > 10, bystander.problem)
        self.leftovers()
        self.volley(1)
        time.sleep(1.2)
        self.log()
        self.victim.close()
        code = self.daemon.terminate()
        self.check("SIGTERM ends it with 0", code == 0, code)


def target(payload_mac):
    with contextlib.ExitStack() as stack:
        Target(stack, payload_mac).everything()


def document():
    """The vectors of the page are what the script makes."""
    page = (report.REPOSITORY / "Docs/authentication.md").read_text()
    script = report.REPOSITORY / "Tests/EndToEnd/support/session_keys.py"
    vectors = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout
    check("the document's test vectors are session_keys.py's", len(vectors) > 1000 and vectors.strip() in page)


report.run([("document", document), ("without payload tags", lambda: target(False)), ("with payload tags", lambda: target(True))])
