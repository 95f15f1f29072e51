// What a block device is made of, down to the files and devices that loop devices lie on: locked
// together with the device, so that whoever uses the lower one by its own name is noticed and kept
// out. O_EXCL on a loop device says nothing about its backing file, nor about a mount of the device
// that it lies on.
//
// Always holds: what a whole loop device lies on is locked for one user; what is reached by a
// partition or a mapping, which others may share, is locked against users of the whole only. What
// can't be found by its name (a deleted file, no /sys) is passed over: nobody can name it either.
#if defined(MEMKV_IO_URING)
#define _GNU_SOURCE
#include "CIOURing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

// As long as for the drive itself, see drive.c.
enum { LOCK_ATTEMPTS = 100, LOCK_PAUSE_NANOSECONDS = 20000000 };

struct walk {
    struct memkv_beneath *locked;
    int attempts;
};

static int lock_beneath(struct walk *walk, dev_t device, bool is_shared, int depth);

// Opens and locks once; the descriptor, or a negative errno.
static int try_lock(const char *path, bool is_block_device, bool is_shared) {
    int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
    int fd = open(path, is_block_device ? flags | O_EXCL : flags);
    if (fd < 0) return -errno;
    if (is_block_device && is_shared) {
        // Others of those who share it must be able to ask the same question.
        int other = open(path, flags);
        close(fd);
        if (other < 0) return -errno;
        fd = other;
    }
    if (flock(fd, (is_shared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0) return fd;
    int error = errno;
    close(fd);
    return -error;
}

static int lock_backing(struct walk *walk, const char *path, bool is_shared, int depth) {
    struct stat facts;
    if (stat(path, &facts) != 0) return 0;
    bool is_block_device = S_ISBLK(facts.st_mode);
    if (!is_block_device && !S_ISREG(facts.st_mode)) return 0;
    if (walk->locked->count == MEMKV_BENEATH_LIMIT) return -ELOOP;
    int fd;
    for (int attempt = 1;; attempt++) {
        fd = try_lock(path, is_block_device, is_shared);
        if ((fd != -EBUSY && fd != -EWOULDBLOCK) || attempt == walk->attempts) break;
        struct timespec pause = {.tv_nsec = LOCK_PAUSE_NANOSECONDS};
        nanosleep(&pause, NULL);
    }
    if (fd < 0) return fd == -ENOENT ? 0 : fd;
    walk->locked->descriptors[walk->locked->count++] = fd;
    return is_block_device ? lock_beneath(walk, facts.st_rdev, is_shared, depth + 1) : 0;
}

// What the loop device of `folder` lies on; 0 when it is none.
static int lock_under_loop(struct walk *walk, const char *folder, bool is_shared, int depth) {
    char name[160], path[PATH_MAX];
    snprintf(name, sizeof name, "%s/loop/backing_file", folder);
    FILE *file = fopen(name, "re");
    if (!file) return 0;
    bool found = fgets(path, sizeof path, file) != NULL;
    fclose(file);
    if (!found) return 0;
    path[strcspn(path, "\n")] = 0;
    return lock_backing(walk, path, is_shared, depth);
}

// What the devices that `folder` is mapped onto (RAID, LVM, device mapper) lie on. They themselves
// are held by the mapping.
static int lock_under_mapping(struct walk *walk, const char *folder, int depth) {
    char name[512];
    snprintf(name, sizeof name, "%s/slaves", folder);
    DIR *slaves = opendir(name);
    if (!slaves) return 0;
    int result = 0;
    for (struct dirent *entry; result == 0 && (entry = readdir(slaves));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(name, sizeof name, "%s/slaves/%s/dev", folder, entry->d_name);
        FILE *file = fopen(name, "re");
        if (!file) continue;
        unsigned major_number, minor_number;
        bool found = fscanf(file, "%u:%u", &major_number, &minor_number) == 2;
        fclose(file);
        if (found) result = lock_beneath(walk, makedev(major_number, minor_number), true, depth + 1);
    }
    closedir(slaves);
    return result;
}

static int lock_beneath(struct walk *walk, dev_t device, bool is_shared, int depth) {
    if (depth > MEMKV_BENEATH_LIMIT) return -ELOOP;
    char folder[96], partition[128];
    snprintf(folder, sizeof folder, "/sys/dev/block/%u:%u", major(device), minor(device));
    snprintf(partition, sizeof partition, "%s/partition", folder);
    if (access(partition, F_OK) == 0) {
        // A partition's disk is one directory up.
        strcat(folder, "/..");
        is_shared = true;
    }
    int result = lock_under_loop(walk, folder, is_shared, depth);
    return result != 0 ? result : lock_under_mapping(walk, folder, depth);
}

int memkv_lock_beneath(uint64_t device, bool only_looks, struct memkv_beneath *locked) {
    locked->count = 0;
    struct walk walk = {.locked = locked, .attempts = only_looks ? 1 : LOCK_ATTEMPTS};
    int result = lock_beneath(&walk, (dev_t)device, only_looks, 0);
    if (result != 0 || only_looks) memkv_release_beneath(locked);
    return result;
}

void memkv_release_beneath(struct memkv_beneath *locked) {
    while (locked->count > 0) close(locked->descriptors[--locked->count]);
}
#endif
