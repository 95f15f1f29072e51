"""Sessions with a key, made by hand: every byte can be changed before it is sent.

Always holds: the arithmetic is session_keys.py's, which shares nothing with the server; an answer whose tag is wrong is a
WireError.
"""
import collections
import os
import socket
import struct

from . import session_keys, wire

AUTHENTICATE = 0x07
RESPONSE, SIGNED = 1, 2
STATUSES = wire.STATUSES

Answer = collections.namedtuple("Answer", "status operation request_id signed body payload")


def header(operation, request_id, body=b"", payload=b"", flags=SIGNED, namespace=0, checksum=None, magic=wire.MAGIC,
           version=1, status=0, body_length=None, payload_length=None, deadline=30_000_000):
    """64 bytes, the tag still zero; whatever is named can be wrong."""
    if checksum is None:
        checksum = wire.xxh3(payload) if operation == wire.PUT else 0
    return wire.HEADER.pack(
        magic, version, operation, flags, status, 0, namespace, request_id,
        len(body) if body_length is None else body_length,
        len(payload) if payload_length is None else payload_length, checksum, deadline, 0, bytes(16))


class Raw:
    """A connection that says what it is told to say."""

    def __init__(self, port, timeout=wire.PATIENCE_SECONDS):
        try:
            self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        except OSError as error:
            raise wire.Lost(error) from error
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise wire.Lost(error) from error

    def stop_sending(self):
        self.socket.shutdown(socket.SHUT_WR)

    def read(self, count):
        data = bytearray()
        while len(data) < count:
            try:
                piece = self.socket.recv(count - len(data))
            except OSError as error:
                raise wire.Lost(error) from error
            if not piece:
                raise wire.Lost("closed by the server")
            data += piece
        return bytes(data)

    def is_at_end(self):
        """True when the server sends nothing more and has closed."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except OSError:
            return False

    def unsigned_answer(self):
        """The next answer, which must not be signed; its 64 + n bytes are in `last_answer`."""
        head = self.read(wire.HEADER.size)
        fields = wire.HEADER.unpack(head)
        if fields[0] != wire.MAGIC or fields[3] != RESPONSE or fields[13] != bytes(16):
            raise wire.WireError(f"not an unsigned answer: {head.hex()}")
        body, payload = self.read(fields[8]), self.read(fields[9])
        self.last_answer = head + body
        return Answer(STATUSES[fields[4]], fields[2], fields[7], False, body, payload)

    # MARK: The handshake

    def hello(self, key, client_nonce=None, key_id=None):
        """Sends Connect; returns its answer, and keeps what follows from it under `key`."""
        body = struct.pack("<HHI", 1, 1, 0)
        body += key_id or session_keys.key_identifier(key)
        body += client_nonce or os.urandom(32)
        self.connect_frame = header(wire.CONNECT, 1, body, flags=0, deadline=0) + body
        self.send(self.connect_frame)
        answer = self.unsigned_answer()
        if answer.status == "ok":
            self.server_nonce, self.server_proof = answer.body[40:72], answer.body[72:]
            self.schedule = session_keys.Schedule(key, self.connect_frame, self.last_answer[:-32])
        return answer

    def prove(self, proof):
        """Sends Authenticate."""
        self.send(header(AUTHENTICATE, 2, proof, flags=0) + proof)


class Session(Raw):
    """A whole authenticated session."""

    def __init__(self, port, key, **more):
        super().__init__(port, **more)
        answer = self.hello(key)
        if answer.status != "ok":
            raise wire.Lost(f"Connect: {answer.status}")
        if self.server_proof != self.schedule.server_proof:
            raise wire.WireError("the server doesn't have the key")
        self.tags_payloads = answer.body[2] & 1 == 1
        self.value_limit, = struct.unpack_from("<I", answer.body, 16)
        self.ours = session_keys.Direction(self.schedule.client_to_server)
        self.theirs = session_keys.Direction(self.schedule.server_to_client)
        self.prove(self.schedule.client_proof)
        welcome = self.answer()
        if (welcome.status, welcome.operation) != ("ok", AUTHENTICATE):
            raise wire.WireError(f"Authenticate: {welcome}")
        self.last_id = 2

    def frame(self, operation, body=b"", payload=b"", **wrong):
        """The next frame of this session, signed; `wrong` goes into its header."""
        self.last_id += 1
        head = header(operation, self.last_id, body, payload, **wrong)
        return self.ours.sign(head, body, payload, self.tags_payloads)

    def answer(self):
        """The next answer, its tags compared."""
        head = self.read(wire.HEADER.size)
        fields = wire.HEADER.unpack(head)
        if fields[0] != wire.MAGIC or fields[3] != RESPONSE | SIGNED:
            raise wire.WireError(f"not a signed answer: {head.hex()}")
        body = self.read(fields[8])
        body_tag = self.read(16) if body else b""
        payload_tag = self.read(16) if fields[9] and self.tags_payloads else b""
        payload = self.read(fields[9])
        whole = self.theirs.sign(head, body, payload, self.tags_payloads)
        if whole != head + body + body_tag + payload_tag + payload:
            raise wire.WireError("an answer with a wrong tag")
        if fields[2] == wire.GET and fields[4] == 0 and wire.xxh3(payload) != fields[10]:
            raise wire.WireError("a value that doesn't have its checksum")
        return Answer(STATUSES[fields[4]], fields[2], fields[7], True, body, payload)

    def call(self, operation, body=b"", payload=b"", **more):
        self.send(self.frame(operation, body, payload, **more))
        answer = self.answer()
        if (answer.operation, answer.request_id) != (operation, self.last_id):
            raise wire.WireError(f"an answer to another request: {answer}")
        return answer

    def put(self, key, value, **more):
        return self.call(wire.PUT, key, value, **more).status

    def get(self, key, **more):
        """(status, value)"""
        answer = self.call(wire.GET, key, **more)
        return answer.status, answer.payload
