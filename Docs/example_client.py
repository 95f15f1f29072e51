#!/usr/bin/env python3
"""A MemKV client written from wire-protocol.md: example_client.py HOST:PORT put|get|delete KEY

put reads the value from standard input, get writes it to standard output. Needs XXH3-64: the module
xxhash, or the library libxxhash.so.0 (Debian: libxxhash0). One request at a time, for the sake of reading.
"""
import ctypes, hashlib, re, socket, struct, sys

HEADER = struct.Struct("<IHBBHHIQIIQII16s")
CONNECT, PUT, GET, DELETE = 0x06, 0x20, 0x21, 0x22
STATUSES = ("ok notFound noSpace invalidRequest unsupportedVersion tooLarge checksumMismatch deadlineExceeded"
            " outcomeUnknown driveUnavailable busy shuttingDown unauthenticated forbidden fileSystemFull").split()


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


class Client:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket, self.last_id = socket.create_connection((host, int(port))), 0
        status, body, _ = self.request(CONNECT, struct.pack("<HHI", 1, 1, 0))
        if status != 0:
            sys.exit("Connect: " + STATUSES[status])
        self.value_limit, self.in_flight = struct.unpack_from("<II", body, 16)

    def request(self, operation, body, payload=b""):
        self.last_id += 1
        checksum = xxh3(payload) if payload else 0
        self.socket.sendall(HEADER.pack(0x31564B4D, 1, operation, 0, 0, 0, 0, self.last_id, len(body),
                                        len(payload), checksum, 30_000_000, 0, bytes(16)) + body + payload)
        (magic, version, echoed, flags, status, _, _, request_id, body_length, payload_length, checksum,
         _, _, _) = HEADER.unpack(self.read(HEADER.size))
        assert (magic, version, echoed, flags, request_id) == (0x31564B4D, 1, operation, 1, self.last_id)
        body, payload = self.read(body_length), self.read(payload_length)
        if operation == GET and status == 0 and xxh3(payload) != checksum:
            sys.exit("the value arrived damaged")
        return status, body, payload

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
    status, _, payload = Client(address).request(operation, key_of(key), value)
    if status != 0:
        sys.exit(STATUSES[status])
    sys.stdout.buffer.write(payload)
