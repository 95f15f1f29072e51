#!/usr/bin/env python3
"""The arithmetic of Docs/rdma.md with Python's hmac and hashlib: a queue pair's keys and greetings.

Run as a program it prints the test vectors that the page shows, in the page's order.
"""
import struct

from session_keys import Direction, dump, hmac_sha256

MAGIC, VERSION, CLIENT, SERVER = 0x31524B4D, 1, 1, 2


def expand(key, label):
    """HKDF-Expand (RFC 5869) for one block."""
    return hmac_sha256(key, b"memkv-rdma-v1 " + label + b"\x01")


class Keys:
    """What follows from a session's K(queue pairs), or None, and the nonce of one queue pair."""

    def __init__(self, secret, session_id, nonce):
        salt = nonce + struct.pack("<QQ", session_id, 0)
        self.root = hmac_sha256(salt, secret or bytes(32))
        self.greeting = expand(self.root, b"greeting")
        self.client_to_server = expand(self.root, b"client to server")
        self.server_to_client = expand(self.root, b"server to client")


def greeting(role, session_id, nonce, keys):
    said = struct.pack("<IHHQ", MAGIC, VERSION, role, session_id) + nonce
    return said + hmac_sha256(keys.greeting, said)[:16]


def vectors():
    header = struct.Struct("<IHBBHHIQIIQII16s")
    secret, nonce, session_id = bytes(range(32)), bytes(range(128, 144)), 0x0102030405060708
    keys = Keys(secret, session_id, nonce)
    dump("RdmaOpen's offer:",
         struct.pack("<HHIQ", 9900, 64, 16640, session_id) + nonce + struct.pack("<Q", 2)
         + bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 1])
         + bytes.fromhex("20010db8000000000000000000000001"))
    dump("K(queue pairs):", secret)
    dump("Root:", keys.root)
    dump("Key of the greetings:", keys.greeting)
    dump("Key from client to server:", keys.client_to_server)
    dump("Key from server to client:", keys.server_to_client)
    dump("The client's greeting:", greeting(CLIENT, session_id, nonce, keys))
    dump("The server's greeting:", greeting(SERVER, session_id, nonce, keys))
    keyless = Keys(None, session_id, nonce)
    dump("The client's greeting in a session without a key:",
         greeting(CLIENT, session_id, nonce, keyless))
    key, length, checksum = bytes(range(32, 64)), 13, 0x9F0B976D8B0D651B
    body = key + struct.pack("<QQII", 1, 0x7F0000001000, 0xABCD, length)
    write = header.pack(0x31564B4D, 1, 0x10, 2, 0, 0, 7, 1, len(body), length, checksum,
                        30_000_000, 0, bytes(16))
    dump("Write, request (frame 0 of the client):", Direction(keys.client_to_server).sign(write, body))


if __name__ == "__main__":
    vectors()
