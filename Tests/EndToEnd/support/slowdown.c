// slowdown: makes the threads that use io_uring a share slower. For LD_PRELOAD.
//
// Whenever such a thread turns to the kernel, it first burns SLOWDOWN_PERCENT of the processor time that it has used
// since the last time: all of its work, its own and the kernel's for it, then costs that much more. What other
// threads do costs what it did.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

struct io_uring;
struct io_uring_cqe;
struct __kernel_timespec;

static uint64_t processor_nanoseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static __thread uint64_t last;
static double share;

__attribute__((constructor)) static void read_share(void) {
    const char *percent = getenv("SLOWDOWN_PERCENT");
    share = percent ? atof(percent) / 100 : 0;
}

static void burn(void) {
    uint64_t now = processor_nanoseconds();
    uint64_t end = now + (uint64_t)((double)(now - last) * share);
    while (now < end) now = processor_nanoseconds();
    last = now;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int io_uring_submit_and_get_events(struct io_uring *ring) {
    static __typeof__(&io_uring_submit_and_get_events) next;
    if (!next) next = NEXT(io_uring_submit_and_get_events);
    burn();
    return next(ring);
}

int io_uring_submit_and_wait(struct io_uring *ring, unsigned count) {
    static __typeof__(&io_uring_submit_and_wait) next;
    if (!next) next = NEXT(io_uring_submit_and_wait);
    burn();
    return next(ring, count);
}

int io_uring_submit_and_wait_timeout(
    struct io_uring *ring, struct io_uring_cqe **entry, unsigned count, struct __kernel_timespec *time, void *signals) {
    static __typeof__(&io_uring_submit_and_wait_timeout) next;
    if (!next) next = NEXT(io_uring_submit_and_wait_timeout);
    burn();
    return next(ring, entry, count, time, signals);
}
