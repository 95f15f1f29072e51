// The ring's part of the shim: completions in batches, and the submissions liburing 2.3 has no
// helper for; clocks, wake-ups, memory and processors.
#if defined(MEMKV_IO_URING)
#define _GNU_SOURCE
#include "CIOURing.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

unsigned memkv_ring_reap(struct io_uring *ring, struct memkv_completion *out, unsigned limit) {
    struct io_uring_cqe *batch[64];
    if (limit > 64) limit = 64;
    unsigned count = io_uring_peek_batch_cqe(ring, batch, limit);
    for (unsigned i = 0; i < count; i++) {
        out[i].user_data = batch[i]->user_data;
        out[i].result = batch[i]->res;
        out[i].flags = batch[i]->flags;
    }
    io_uring_cq_advance(ring, count);
    return count;
}

bool memkv_ring_has_deferred_work(const struct io_uring *ring) {
    return IO_URING_READ_ONCE(*ring->sq.kflags) & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN);
}

void memkv_prep_block_discard(struct io_uring_sqe *sqe, int fd, uint64_t offset, uint64_t length) {
    memset(sqe, 0, sizeof *sqe);
    sqe->opcode = IORING_OP_URING_CMD;
    sqe->fd = fd;
    sqe->cmd_op = _IO(0x12, 0);  // BLOCK_URING_CMD_DISCARD
    sqe->addr = offset;
    sqe->addr3 = length;
}

void memkv_prep_punch_hole(struct io_uring_sqe *sqe, int fd, uint64_t offset, uint64_t length) {
    io_uring_prep_fallocate(
        sqe, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length);
}

_Static_assert(sizeof(struct statx) <= MEMKV_FILE_STATUS_BYTES, "a place for a file's status");

void memkv_prep_file_status(struct io_uring_sqe *sqe, int fd, void *status) {
    io_uring_prep_statx(sqe, fd, "", AT_EMPTY_PATH, STATX_NLINK | STATX_SIZE, status);
}

bool memkv_is_whole_file(const void *status, uint64_t bytes) {
    const struct statx *file = status;
    return file->stx_nlink > 0 && file->stx_size >= bytes;
}

void *memkv_map(size_t bytes, bool huge) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | (huge ? MAP_HUGETLB : 0);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

size_t memkv_huge_page_bytes(void) {
    FILE *file = fopen("/proc/meminfo", "re");
    if (!file) return 0;
    char line[128];
    size_t kibibytes = 0;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "Hugepagesize: %zu kB", &kibibytes) == 1) break;
    fclose(file);
    return kibibytes * 1024;
}

uint64_t memkv_monotonic_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int memkv_eventfd(void) {
    // Blocking: the ring's read then waits for a signal instead of failing with EAGAIN.
    int fd = eventfd(0, EFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int memkv_pin_to_processor(int processor) {
    cpu_set_t set;
    if (processor < 0 || processor >= CPU_SETSIZE) return -EINVAL;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0 ? 0 : -errno;
}

int memkv_name_thread(const char *name) { return -pthread_setname_np(pthread_self(), name); }
#endif
