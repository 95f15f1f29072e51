// What Swift can't import of liburing and Linux, as plain functions.
//
// Always holds: nothing here keeps state; every function that can fail returns a negative errno, or
// says otherwise. <features.h> comes first because liburing 2.3 defines _GNU_SOURCE itself, which
// Swift's importer doesn't survive once Glibc is in the import graph.
#pragma once

#include <features.h>
// The kernel's own header before liburing's copy, whose include guard it shares: swift-system
// (which the admin endpoint's libraries bring) imports the kernel's, and one program can't import
// two definitions of a structure.
#include <linux/io_uring.h>

#include <liburing.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

// Submission flags: shifts of enum constants, which the importer drops.
enum {
    MEMKV_SQE_FIXED_FILE = 1u << 0,
    MEMKV_SQE_ASYNC = 1u << 4,
};

// A completion, copied out of the ring.
struct memkv_completion {
    uint64_t user_data;
    int32_t result;
    uint32_t flags;
};

// Copies up to `limit` completions out and gives their places back to the kernel.
unsigned memkv_ring_reap(struct io_uring *ring, struct memkv_completion *out, unsigned limit);
// True when the kernel has work that only an enter brings forth: deferred task work, overflowed
// completions.
bool memkv_ring_has_deferred_work(const struct io_uring *ring);
// Fills `sqe` for a discard of a block device's bytes (kernel 6.12; liburing 2.3 has no helper).
void memkv_prep_block_discard(struct io_uring_sqe *sqe, int fd, uint64_t offset, uint64_t length);
void memkv_prep_punch_hole(struct io_uring_sqe *sqe, int fd, uint64_t offset, uint64_t length);

// A file's status as the kernel writes it.
enum { MEMKV_FILE_STATUS_BYTES = 256 };
// Fills `sqe` for asking how a file is; `status` takes the answer, 8-byte aligned.
void memkv_prep_file_status(struct io_uring_sqe *sqe, int fd, void *status);
// Whether the file still has a name, and at least `bytes`.
bool memkv_is_whole_file(const void *status, uint64_t bytes);

// How a drive is opened.
enum {
    // Nothing can be written through the descriptor.
    MEMKV_DRIVE_READ_ONLY = 1u << 0,
    // A file that must not be there yet.
    MEMKV_DRIVE_NEW = 1u << 1,
    // A file that is made anew whatever it holds.
    MEMKV_DRIVE_REPLACE = 1u << 2,
    // Only to look: read-only, not locked, and opened even when somebody has it.
    MEMKV_DRIVE_LOOK = 1u << 3,
};

// What a drive lies on beneath loop devices: open and locked.
enum { MEMKV_BENEATH_LIMIT = 8 };
struct memkv_beneath {
    int descriptors[MEMKV_BENEATH_LIMIT];
    int count;
};

// Locks what the block device numbered `device` lies on, all the way down; with `only_looks`, keeps
// nothing locked and waits for nobody. -EBUSY or -EWOULDBLOCK when somebody uses any of it, -ELOOP
// when there is no end to it; nothing is locked then.
int memkv_lock_beneath(uint64_t device, bool only_looks, struct memkv_beneath *locked);
void memkv_release_beneath(struct memkv_beneath *locked);

// A drive's file, opened and locked.
struct memkv_drive {
    int fd;
    struct memkv_beneath beneath;
    bool is_block_device;
    bool is_direct;
    bool supports_discard;
    // Somebody else has it; with MEMKV_DRIVE_LOOK only.
    bool is_in_use;
    // A file on FUSE or a network file system, which may keep whoever submits waiting.
    bool blocks_submitter;
    uint32_t logical_block_bytes;
    uint64_t capacity_bytes;
};

// Opens a block device with O_DIRECT and O_EXCL and locks it, so that neither a mount nor another
// process shares it. -EBUSY or -EWOULDBLOCK when one does; -ENOTBLK when `path` is something else.
int memkv_open_block_device(const char *path, unsigned access, struct memkv_drive *drive);
// Opens a regular file, with O_DIRECT where the file system has it, and locks it. With
// `create_bytes` above zero, makes an absent or empty file sparse at that size. -EWOULDBLOCK when
// another process holds it; -ENOTSUP when `path` is not a regular file; -EEXIST when it should be
// new and isn't.
int memkv_open_file(
    const char *path, unsigned access, uint64_t create_bytes, struct memkv_drive *drive);

// Anonymous private memory, huge-paged or not; NULL when the kernel refuses.
void *memkv_map(size_t bytes, bool huge);
// Bytes of one huge page as MAP_HUGETLB gives them by default, or 0.
size_t memkv_huge_page_bytes(void);
// Copies into the memory that stands for a drive's media, past the caches where it can.
void memkv_copy_to_media(void *media, const void *bytes, size_t count);

uint64_t memkv_monotonic_nanoseconds(void);
int memkv_eventfd(void);
// Pins the calling thread.
int memkv_pin_to_processor(int processor);

// Gives the calling thread a name of at most 15 bytes; 0 or a negative errno.
int memkv_name_thread(const char *name);

// A listening TCP socket on a numeric address. -EINVAL when `address` is not numeric.
int memkv_listen(const char *address, uint16_t port, int backlog);
// The port a socket is bound to.
int memkv_bound_port(int fd);
// Writes "ADDRESS:PORT" of a socket's other end, of at most MEMKV_PEER_NAME_BYTES with the zero.
enum { MEMKV_PEER_NAME_BYTES = 80 };
int memkv_peer_name(int fd, char *text, size_t capacity);

// Where a connection comes from: an IPv4 address, or the first 64 bits of an IPv6 one.
struct memkv_peer {
    uint64_t address;
    bool is_ipv6;
};

// Readies an accepted connection: no delay for small segments, and probes that end it when its peer
// is gone without a word. 0 or a negative errno: it is broken already.
int memkv_prepare_connection(int fd, struct memkv_peer *peer);
