"""Values that follow from key and version, so that they can be checked without being kept; files by their SHA-256.

Always holds: two versions of a key, or two keys, have different bytes from the ninth byte on, in every sector;
values of up to 8 bytes may coincide.
"""
import hashlib
import random

LARGEST_BYTES = 6 << 20


class Contents:
    """The values of one seed."""

    def __init__(self, seed):
        self.pool = random.Random(seed).randbytes(LARGEST_BYTES + (1 << 24))

    def value(self, key, version, length):
        """`length` bytes for `version` of `key`: a stamp, then a window of the pool that only they have."""
        stamp = hashlib.sha256(key + version.to_bytes(8, "little")).digest()
        offset = int.from_bytes(stamp[:3], "little")
        return (stamp + self.pool[offset:offset + length])[:length]

    @staticmethod
    def random_length(generator, largest=LARGEST_BYTES):
        """1 byte to `largest`, all orders of magnitude, the edges of slots and sectors among them."""
        dice = generator.random()
        if dice < 0.15:
            edge = generator.choice((1, 511, 512, 4095, 4096, 4097, 65536, 65537, 1 << 20, (4 << 20) + 1))
            return min(edge, largest)
        exponent = generator.uniform(0, (largest).bit_length() - 1 if dice < 0.3 else 17)
        if dice > 0.8:
            exponent = generator.uniform(17, (largest).bit_length() - 1)
        return max(1, min(largest, int(2 ** exponent)))


def random_file(path, seed, mebibytes):
    """Writes a file of random bytes; returns its SHA-256."""
    generator, digest = random.Random(seed), hashlib.sha256()
    with open(path, "wb") as file:
        # An end that is no whole block.
        for size in [1 << 20] * mebibytes + [12345]:
            piece = generator.randbytes(size)
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
