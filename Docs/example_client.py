#!/usr/bin/env python3
"""A MemKV client written from wire-protocol.md and authentication.md: example_client.py HOST:PORT put|get|delete KEY

put reads the value from standard input, get writes it to standard output. With MEMKV_AUTH_KEY, 64 hex digits, it opens
an authenticated session. Needs XXH3-64: the module xxhash, or the library libxxhash.so.0 (Debian: libxxhash0). One
request at a time, for the sake of reading.
"""
import ctypes, hashlib, hmac, os, re, socket, struct, sys

HEADER = struct.Struct("<IHBBHHIQIIQII16s")
CONNECT, AUTHENTICATE, PUT, GET, DELETE = 0x06, 0x07, 0x20, 0x21, 0x22
RESPONSE, SIGNED = 1, 2
STATUSES = ("ok notFound noSpace invalidRequest unsupportedVersion tooLarge checksumMismatch deadlineExceeded"
            " outcomeUnknown driveUnavailable busy shuttingDown unauthenticated forbidden fileSystemFull"
            " unsupported unavailable").split()


def xxh3(data):
    try:
        import xxhash
        return xxhash.xxh3_64_intdigest(data)
    except ImportError:
        function = ctypes.CDLL("libxxhash.so.0").XXH3_64bits
        function.restype, function.argtypes = ctypes.c_uint64, [ctypes.c_char_p, ctypes.c_size_t]
        return function(data, len(data))


def key_of(text):
    if re.fullmatch("[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text)
    return hashlib.sha256(b"memkv-key-v1\0" + text.encode()).digest()


def mac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def expand(key, label):
    return mac(key, b"memkv-auth-v1 " + label + b"\1")


class Tags:
    """The tags of one direction."""

    def __init__(self, key):
        self.key, self.number = key, -1

    def of(self, part, data):
        return mac(self.key, struct.pack("<QQ", self.number, part) + data)[:16]

    def of_next_header(self, header):
        self.number += 1
        return self.of(1, header[:48])


class Client:
    def __init__(self, address, key=None):
        host, port = address.rsplit(":", 1)
        self.socket, self.last_id = socket.create_connection((host, int(port))), 0
        self.ours = self.theirs = None
        self.tags_payloads = False
        hello = struct.pack("<HHI", 1, 1, 0)
        if key:
            hello += expand(key, b"key id")[:8] + os.urandom(32)
        status, body, _ = self.request(CONNECT, hello)
        if status != 0:
            sys.exit("Connect: " + STATUSES[status])
        self.value_limit, self.in_flight = struct.unpack_from("<II", body, 16)
        if key:
            self.authenticate(key, body)

    def authenticate(self, key, challenge):
        transcript = self.sent + self.received[:-32]
        root = mac(hashlib.sha256(transcript).digest(), key)
        if not hmac.compare_digest(challenge[72:], expand(root, b"server proof")):
            sys.exit("the server doesn't have the key")
        self.theirs = Tags(expand(root, b"server to client"))
        status, _, _ = self.request(AUTHENTICATE, expand(root, b"client proof"))
        if status != 0:
            sys.exit("Authenticate: " + STATUSES[status])
        assert self.theirs.number == 0, "a welcome that isn't from the server"
        self.ours = Tags(expand(root, b"client to server"))
        self.tags_payloads = challenge[2] & 1 != 0

    def request(self, operation, body, payload=b""):
        self.last_id += 1
        flags = SIGNED if self.ours else 0
        header = HEADER.pack(0x31564B4D, 1, operation, flags, 0, 0, 0, self.last_id, len(body), len(payload),
                             xxh3(payload) if payload else 0, 30_000_000, 0, bytes(16))
        tags = b""
        if self.ours:
            header = header[:48] + self.ours.of_next_header(header)
            tags = self.ours.of(2, body) if body else b""
            tags += self.ours.of(3, payload) if payload and self.tags_payloads else b""
        self.sent = header + body + tags + payload
        self.socket.sendall(self.sent)
        return self.response(operation)

    def response(self, operation):
        header = self.read(HEADER.size)
        flags = RESPONSE
        if self.theirs and (operation != AUTHENTICATE or header[7] & SIGNED):  # a refused proof is not signed
            self.check(self.theirs.of_next_header(header), header[48:])
            flags |= SIGNED
        (magic, version, echoed, told, status, _, _, request_id, body_length, payload_length, checksum,
         _, _, _) = HEADER.unpack(header)
        assert (magic, version, echoed, told, request_id) == (0x31564B4D, 1, operation, flags, self.last_id)
        body = self.read(body_length)
        self.received = header + body
        signed = flags & SIGNED
        body_tag = self.read(16) if signed and body else None
        payload_tag = self.read(16) if signed and payload_length and self.tags_payloads else None
        payload = self.read(payload_length)
        if body_tag:
            self.check(self.theirs.of(2, body), body_tag)
        if payload_tag:
            self.check(self.theirs.of(3, payload), payload_tag)
        if operation == GET and status == 0 and xxh3(payload) != checksum:
            sys.exit("the value arrived damaged")
        return status, body, payload

    def check(self, expected, tag):
        if not hmac.compare_digest(expected, tag):
            sys.exit("a response that isn't from the server")

    def read(self, count):
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                sys.exit("the server closed the connection")
            data += piece
        return data


if __name__ == "__main__":
    address, command, key = sys.argv[1:4]
    operation = {"put": PUT, "get": GET, "delete": DELETE}[command]
    value = sys.stdin.buffer.read() if operation == PUT else b""
    secret = bytes.fromhex(os.environ.get("MEMKV_AUTH_KEY", ""))
    status, _, payload = Client(address, secret).request(operation, key_of(key), value)
    if status != 0:
        sys.exit(STATUSES[status])
    sys.stdout.buffer.write(payload)
