// allocation-counter: counts what the threads named "shard-…" ask of the heap. For LD_PRELOAD.
//
// Counts go to the file named by ALLOCATION_COUNTER, mapped shared, so that another process reads
// them while this one runs: word 0 allocations, word 1 bytes, word 2 frees, word 3 the counted
// threads. While word 4 isn't 0, each of the first allocations that it allows prints where it came
// from, and takes one off.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

enum { ALLOCATIONS, BYTES, FREES, THREADS, TRACES, WORDS };

static _Atomic uint64_t unread[WORDS];
static _Atomic uint64_t *words = unread;
static __thread bool is_counted;
static __thread bool is_tracing;

__attribute__((constructor)) static void open_counter(void) {
    void *frames[1];
    backtrace(frames, 1);  // Loads what it needs now, not inside an allocation.
    const char *path = getenv("ALLOCATION_COUNTER");
    if (!path) return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory != MAP_FAILED) words = memory;
}

static void trace(size_t bytes) {
    void *frames[40];
    is_tracing = true;
    dprintf(2, "allocation of %zu bytes:\n", bytes);
    backtrace_symbols_fd(frames, backtrace(frames, 40), 2);
    is_tracing = false;
}

static inline void count(size_t bytes) {
    if (!is_counted || is_tracing) return;
    words[ALLOCATIONS]++;
    words[BYTES] += bytes;
    if (words[TRACES] > 0) {
        words[TRACES]--;
        trace(bytes);
    }
}

void *malloc(size_t bytes) {
    count(bytes);
    return __libc_malloc(bytes);
}

void *calloc(size_t items, size_t bytes) {
    count(items * bytes);
    return __libc_calloc(items, bytes);
}

void *realloc(void *memory, size_t bytes) {
    count(bytes);
    return __libc_realloc(memory, bytes);
}

void *memalign(size_t alignment, size_t bytes) {
    count(bytes);
    return __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }

int posix_memalign(void **memory, size_t alignment, size_t bytes) {
    void *got = memalign(alignment, bytes);
    if (!got) return ENOMEM;
    *memory = got;
    return 0;
}

void *valloc(size_t bytes) { return memalign((size_t)sysconf(_SC_PAGESIZE), bytes); }

void free(void *memory) {
    if (is_counted && memory && !is_tracing) words[FREES]++;
    __libc_free(memory);
}

int pthread_setname_np(pthread_t thread, const char *name) {
    int (*real)(pthread_t, const char *) = dlsym(RTLD_NEXT, "pthread_setname_np");
    if (pthread_equal(thread, pthread_self()) && strncmp(name, "shard-", 6) == 0) {
        is_counted = true;
        words[THREADS]++;
    }
    return real(thread, name);
}
