"""A client of the wire protocol, written from Docs/wire-protocol.md: many requests under way, answers in any order.

Refuses (WireError): every answer that the protocol doesn't allow, a value whose checksum is wrong among them.
"""
import collections
import ctypes
import select
import socket
import struct

HEADER = struct.Struct("<IHBBHHIQIIQII16s")
MAGIC = 0x31564B4D
CONNECT, EXISTS, STAT, PUT, GET, DELETE, BATCH_GET, BATCH_PUT, BATCH_DELETE = (
    0x06, 0x08, 0x0B, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25)
STATUSES = ("ok notFound noSpace invalidRequest unsupportedVersion tooLarge checksumMismatch deadlineExceeded"
            " outcomeUnknown driveUnavailable busy shuttingDown unauthenticated forbidden fileSystemFull"
            " unsupported unavailable").split()
PATIENCE_SECONDS = 60
DEADLINE_MICROSECONDS = 30_000_000

_xxh3 = ctypes.CDLL("libxxhash.so.0").XXH3_64bits
_xxh3.restype, _xxh3.argtypes = ctypes.c_uint64, [ctypes.c_char_p, ctypes.c_size_t]

Answer = collections.namedtuple("Answer", "request_id operation status body payload")


class WireError(Exception):
    """The server broke the protocol."""


class Lost(Exception):
    """The connection is gone."""


def xxh3(data):
    """XXH3-64, seed 0."""
    return _xxh3(data, len(data))


class Connection:
    """One session. Not for several threads at once."""

    def __init__(self, port, receive_timeout=PATIENCE_SECONDS):
        try:
            self.socket = socket.create_connection(("127.0.0.1", port), timeout=receive_timeout)
        except OSError as error:
            raise Lost(error) from error
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.last_id = 0
        self.unanswered = {}
        self.inbox = bytearray()
        answer = self.call(CONNECT, struct.pack("<HHI", 1, 1, 0))
        if answer.status != "ok":
            raise Lost(f"Connect: {answer.status}")
        (self.batch_limit, self.body_limit, self.payload_limit, self.value_limit,
         self.in_flight) = struct.unpack_from("<5I", answer.body, 4)
        self.store_id = answer.body[24:40]

    def close(self):
        self.socket.close()

    def submit(self, operation, body, payload=b"", checksum=None, deadline=DEADLINE_MICROSECONDS):
        """Sends a request; returns its id."""
        self.last_id += 1
        if checksum is None:
            checksum = xxh3(payload) if operation == PUT else 0
        head = HEADER.pack(MAGIC, 1, operation, 0, 0, 0, 0, self.last_id, len(body), len(payload),
                           checksum, deadline, 0, bytes(16))
        self.unanswered[self.last_id] = operation
        self._send(head + body)
        self._send(payload)
        return self.last_id

    def receive(self):
        """The next answer, of whichever request."""
        (magic, version, operation, flags, status, zero, _, request_id, body_length, payload_length, checksum,
         deadline, zero2, tag) = HEADER.unpack(self._read(HEADER.size))
        if (magic, version, flags, zero, deadline, zero2, tag) != (MAGIC, 1, 1, 0, 0, 0, bytes(16)):
            raise WireError("a header that is no answer's")
        if self.unanswered.pop(request_id, None) != operation:
            raise WireError(f"answer {request_id} to operation {operation}, which nobody waits for")
        if status >= len(STATUSES):
            raise WireError(f"status {status}")
        body, payload = self._read(body_length), self._read(payload_length)
        if operation == GET and status == 0 and xxh3(payload) != checksum:
            raise WireError("a value that doesn't have its checksum")
        return Answer(request_id, operation, STATUSES[status], body, payload)

    def call(self, operation, body, payload=b"", **more):
        """One request and its answer, with nothing else under way."""
        request_id = self.submit(operation, body, payload, **more)
        answer = self.receive()
        if answer.request_id != request_id:
            raise WireError("an answer to another request")
        return answer

    def _send(self, data):
        """Sends all of `data`, and takes what arrives meanwhile: a server may wait for that."""
        view = memoryview(data)
        poller = select.poll()
        poller.register(self.socket, select.POLLIN | select.POLLOUT)
        try:
            while view:
                events = sum(event for _, event in poller.poll(1000 * PATIENCE_SECONDS))
                if events & select.POLLOUT:
                    view = view[self.socket.send(view[:1 << 18], socket.MSG_DONTWAIT):]
                elif events:
                    arrived = self.socket.recv(1 << 18)
                    if not arrived:
                        raise Lost("closed by the server")
                    self.inbox += arrived
                else:
                    raise Lost("neither sends nor receives")
        except OSError as error:
            raise Lost(error) from error

    def _read(self, count):
        data = bytearray(count)
        taken = min(count, len(self.inbox))
        data[:taken] = self.inbox[:taken]
        del self.inbox[:taken]
        view = memoryview(data)[taken:]
        while view:
            try:
                received = self.socket.recv_into(view)
            except OSError as error:
                raise Lost(error) from error
            if received == 0:
                raise Lost("closed by the server")
            view = view[received:]
        return bytes(data)

    # MARK: The requests

    def put(self, key, value):
        return self.call(PUT, key, value).status

    def get(self, key):
        """(status, value)"""
        answer = self.call(GET, key)
        return answer.status, answer.payload

    def delete(self, key):
        return self.call(DELETE, key).status

    def exists(self, keys):
        """A status for each key."""
        answer = self.call(EXISTS, b"".join(keys))
        if answer.status != "ok":
            raise WireError(f"Exists: {answer.status}")
        return item_statuses(answer.body, len(keys))


def batch_put_parts(items):
    """Body and payload of a BatchPut of (key, value) pairs."""
    body, payload = bytearray(), bytearray()
    for key, value in items:
        payload += bytes(-len(payload) % 4096)
        body += key + struct.pack("<IIQ", len(value), 0, xxh3(value))
        payload += value
    return bytes(body), bytes(payload)


def item_statuses(body, count):
    """The statuses of a batch's answer."""
    if len(body) != 8 * count or any(body[8 * n + 1:8 * n + 8] != bytes(7) for n in range(count)):
        raise WireError("status items that don't fit the batch")
    return [STATUSES[body[8 * n]] for n in range(count)]


def batch_get_items(body, payload, count):
    """(status, value) for each item of a BatchGet's answer."""
    if len(body) != 16 * count:
        raise WireError("fetch items that don't fit the batch")
    items, offset = [], 0
    for number in range(count):
        status, length, checksum = struct.unpack_from("<B3xIQ", body, 16 * number)
        value = b""
        if length:
            offset += -offset % 4096
            value = payload[offset:offset + length]
            offset += length
        if status == 0 and (len(value) != length or xxh3(value) != checksum):
            raise WireError("a value in a batch that doesn't have its checksum")
        items.append((STATUSES[status], value))
    return items
