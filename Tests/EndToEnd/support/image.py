"""A drive's bytes, read and changed as Docs/on-drive-format.md describes them, and by nothing else.

Always holds: what `reseal` has written is whole again up to both superblocks, so that only what was meant to be
wrong is wrong.
"""
import collections
import struct

from . import wire

SUPERBLOCKS = (0, 1 << 20)
JOURNAL_START = 2 << 20
PAGE, JOURNAL_BLOCK = 16384, 4096

Pointer = collections.namedtuple("Pointer", "page items checksum generation place")
"""`place`: where the pointer itself stands: ("superblock", number), or (page, offset in it)."""


class Image:
    """One drive's file."""

    def __init__(self, path):
        self.path = path
        self.superblocks = [list(struct.unpack("<512Q", self.read(at, 4096))) for at in SUPERBLOCKS]
        self.newest = max((0, 1), key=lambda copy: (self.superblocks[copy][17], self.superblocks[copy][18]))
        words = self.superblocks[self.newest]
        self.capacity, self.block_size, self.min_slot = words[7], words[8] & 0xFFFFFFFF, words[8] >> 32
        self.segment_bytes = words[9]
        self.journal_blocks, self.index_pages = words[10] & 0xFFFFFFFF, words[10] >> 32
        journal_bytes = self.journal_blocks * JOURNAL_BLOCK
        self.journal_b = (self.capacity - journal_bytes) // PAGE * PAGE
        self.index_start = -(-(JOURNAL_START + journal_bytes) // PAGE) * PAGE
        self.data_start = self.index_start + self.index_pages * PAGE
        self.units = self.segment_bytes // self.min_slot
        self.journal_first = words[19]
        self.drive_low = words[6]

    def read(self, offset, length):
        with open(self.path, "rb") as file:
            file.seek(offset)
            return file.read(length)

    def write(self, offset, data):
        with open(self.path, "r+b") as file:
            file.seek(offset)
            file.write(data)

    def flip(self, offset, bit=0):
        self.write(offset, bytes([self.read(offset, 1)[0] ^ 1 << bit]))

    # MARK: Index pages

    def page_offset(self, page):
        return self.index_start + page * PAGE

    def page(self, pointer):
        return bytearray(self.read(self.page_offset(pointer.page), PAGE))

    def superblock_pointers(self):
        """(root pages, map directory pages)"""
        words = self.superblocks[self.newest]
        roots, directories = words[24] & 0xFFFF, words[24] >> 16 & 0xFFFF
        pointers = [Pointer(words[160 + 2 * n] & 0xFFFFFFFF, words[160 + 2 * n] >> 32, words[161 + 2 * n], None,
                            ("superblock", n)) for n in range(roots + directories)]
        return pointers[:roots], pointers[roots:]

    def children(self, pointer, item_bytes):
        """What a root or inner page points to."""
        data = self.page(pointer)
        for item in range(pointer.items):
            at = 64 + item * item_bytes
            namespace_items, page, checksum, generation = struct.unpack_from("<4Q", data, at + 32)
            yield Pointer(page & 0xFFFFFFFF, namespace_items >> 32, checksum, generation, (pointer, at + 48))

    def roots(self):
        return self.superblock_pointers()[0]

    def inners(self):
        return [inner for root in self.roots() for inner in self.children(root, 64)]

    def leaves(self):
        return [leaf for inner in self.inners() for leaf in self.children(inner, 320)]

    def directories(self):
        return self.superblock_pointers()[1]

    def maps(self):
        found = []
        for directory in self.directories():
            data = self.page(directory)
            for item in range(directory.items):
                at = 64 + item * 24
                head, checksum, generation = struct.unpack_from("<3Q", data, at)
                if head >> 32:
                    found.append(Pointer(head & 0xFFFFFFFF, head >> 32, checksum, generation, (directory, at + 8)))
        return found

    def entries(self, leaf):
        """(key of 36 bytes, length, slot, offset of the entry in its page) of a leaf's single-slot entries."""
        data = self.page(leaf)
        for cell in range(leaf.items):
            at = 64 + cell * 64
            namespace, packed = struct.unpack_from("<II", data, at + 32)
            if packed >> 28 & 1 == 0:
                slot = struct.unpack_from("<Q", data, at + 56)[0] >> 32
                yield (struct.pack("<I", namespace) + bytes(data[at:at + 32]), (packed & 0xFFFFFF) + 1, slot, at)

    def slot_offset(self, slot):
        return self.data_start + slot * self.min_slot

    def map_bit(self, slot):
        """(map page, byte in it, bit) of a slot's bit in the allocation map."""
        record = 8 + -(-self.units // 64) * 8
        per_page = 16320 // record
        segment, unit = divmod(slot, self.units)
        return (self.maps()[segment // per_page], 64 + segment % per_page * record + 8 + unit // 8, unit % 8)

    def reseal(self, pointer, data):
        """Writes a page's new content and makes every checksum above it right."""
        self.write(self.page_offset(pointer.page), data)
        checksum = wire.xxh3(bytes(data))
        parent, at = pointer.place
        if parent != "superblock":
            above = self.page(parent)
            struct.pack_into("<Q", above, at, checksum)
            self.reseal(parent, above)
            return
        for copy, offset in enumerate(SUPERBLOCKS):
            words = self.superblocks[copy]
            words[161 + 2 * at], words[2] = checksum, 0
            words[2] = wire.xxh3(struct.pack("<512Q", *words))
            self.write(offset, struct.pack("<512Q", *words))

    # MARK: Journal

    def journal_offsets(self, sequence):
        place = sequence % self.journal_blocks * JOURNAL_BLOCK
        return JOURNAL_START + place, self.journal_b + place

    def journal(self):
        """(sequence, durable mark) of the blocks of copy A from the last checkpoint on."""
        found = []
        for sequence in range(self.journal_first, self.journal_first + self.journal_blocks):
            words = struct.unpack("<8Q", self.read(self.journal_offsets(sequence)[0], 64))
            if struct.pack("<Q", words[0]) != b"MKVJRNL1" or words[3] != self.drive_low or words[4] != sequence:
                break
            found.append((sequence, words[6]))
        return found
