#!/usr/bin/env python3
"""The arithmetic of Docs/authentication.md with Python's hmac and hashlib: proofs, keys and tags.

Run as a program it prints the test vectors that the page shows, in the page's order.
"""
import hashlib
import hmac
import struct

HEADER_BYTES, TAG_BYTES = 64, 16
PART_HEADER, PART_BODY, PART_PAYLOAD = 1, 2, 3


def hmac_sha256(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def expand(key, label):
    """HKDF-Expand (RFC 5869) for one block."""
    return hmac_sha256(key, b"memkv-auth-v1 " + label + b"\x01")


def key_identifier(key):
    return expand(key, b"key id")[:8]


class Schedule:
    """What follows from a key and both Connect frames, of the second all but its last 32 bytes."""

    def __init__(self, key, request_frame, response_frame):
        self.salt = hashlib.sha256(request_frame + response_frame).digest()
        self.root = hmac_sha256(self.salt, key)
        self.server_proof = expand(self.root, b"server proof")
        self.client_proof = expand(self.root, b"client proof")
        self.client_to_server = expand(self.root, b"client to server")
        self.server_to_client = expand(self.root, b"server to client")


def tag(key, number, part, data):
    return hmac_sha256(key, struct.pack("<QQ", number, part) + data)[:TAG_BYTES]


class Direction:
    """The tags of one direction, frame after frame."""

    def __init__(self, key):
        self.key, self.number = key, 0

    def sign(self, header, body=b"", payload=b"", tags_payloads=False):
        """The whole frame; `header` has the signed flag and 16 bytes of anything where its tag goes."""
        frame = header[:48] + tag(self.key, self.number, PART_HEADER, header[:48]) + body
        if body:
            frame += tag(self.key, self.number, PART_BODY, body)
        if tags_payloads and payload:
            frame += tag(self.key, self.number, PART_PAYLOAD, payload)
        self.number += 1
        return frame + payload


def dump(title, data):
    print(f"{title}\n")
    for place in range(0, len(data), 16):
        print(f"    {place:04x}  {data[place:place + 16].hex(' ')}")
    print()


def vectors():
    header = struct.Struct("<IHBBHHIQIIQII16s")
    magic, zeros = 0x31564B4D, bytes(16)
    key, client_nonce, server_nonce = bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96))
    request = (header.pack(magic, 1, 0x06, 0, 0, 0, 0, 0, 48, 0, 0, 0, 0, zeros)
               + struct.pack("<HHI", 1, 1, 0) + key_identifier(key) + client_nonce)
    response = (header.pack(magic, 1, 0x06, 1, 0, 0, 0, 0, 104, 0, 0, 0, 0, zeros)
                + struct.pack("<HHIIIII", 1, 1, 256, 12288, 16 << 20, 16 << 20, 64)
                + bytes(range(96, 112)) + server_nonce)
    schedule = Schedule(key, request, response)
    dump("Key:", key)
    dump("Key id:", key_identifier(key))
    dump("Connect, request:", request)
    dump("Connect, response:", response + schedule.server_proof)
    dump("Salt (SHA-256 of both frames without the proof):", schedule.salt)
    dump("Root:", schedule.root)
    dump("Server's proof:", schedule.server_proof)
    dump("Client's proof:", schedule.client_proof)
    dump("Key from client to server:", schedule.client_to_server)
    dump("Key from server to client:", schedule.server_to_client)
    dump("Authenticate, request:",
         header.pack(magic, 1, 0x07, 0, 0, 0, 0, 0, 32, 0, 0, 0, 0, zeros) + schedule.client_proof)
    server = Direction(schedule.server_to_client)
    dump("Authenticate, response (frame 0 of the server):",
         server.sign(header.pack(magic, 1, 0x07, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, zeros)))
    client = Direction(schedule.client_to_server)
    block_key = hashlib.sha256(b"memkv-key-v1\0hello").digest()
    value, checksum = b"Hello, block!", 0x9F0B976D8B0D651B
    put = header.pack(magic, 1, 0x20, 2, 0, 0, 7, 1, 32, len(value), checksum, 30_000_000, 0, zeros)
    dump("TcpPut, request (frame 0 of the client):", client.sign(put, block_key, value, True))
    get = header.pack(magic, 1, 0x21, 2, 0, 0, 7, 2, 32, 0, 0, 30_000_000, 0, zeros)
    dump("TcpGet, request (frame 1 of the client):", client.sign(get, block_key, b"", True))


if __name__ == "__main__":
    vectors()
