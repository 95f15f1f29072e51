// Opening drives: flags, ioctls and statx facts that Swift can't import.
#if defined(MEMKV_IO_URING)
#define _GNU_SOURCE
#include "CIOURing.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

// A process killed a moment ago still holds its drives until the kernel has taken its ring apart;
// so a drive in use is asked for again, 100 times 20 ms.
enum { LOCK_ATTEMPTS = 100, LOCK_PAUSE_NANOSECONDS = 20000000 };

static void lock_pause(void) {
    struct timespec pause = {.tv_nsec = LOCK_PAUSE_NANOSECONDS};
    nanosleep(&pause, NULL);
}

static int fail(int fd, int error) {
    if (fd >= 0) close(fd);
    return -error;
}

// A partition has no queue of its own: its disk's is one directory up.
static bool block_device_discards(dev_t device) {
    static const char *const places[] = {
        "/sys/dev/block/%u:%u/queue/discard_max_bytes",
        "/sys/dev/block/%u:%u/../queue/discard_max_bytes",
    };
    for (int i = 0; i < 2; i++) {
        char path[96];
        snprintf(path, sizeof path, places[i], major(device), minor(device));
        FILE *file = fopen(path, "re");
        if (!file) continue;
        unsigned long long bytes = 0;
        int found = fscanf(file, "%llu", &bytes);
        fclose(file);
        return found == 1 && bytes > 0;
    }
    return false;
}

// Waits for a lock that somebody may hold for a moment only.
static int lock_drive(int fd) {
    for (int attempt = 0; attempt < LOCK_ATTEMPTS; attempt++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) return 0;
        if (errno != EWOULDBLOCK) return -errno;
        lock_pause();
    }
    return -EWOULDBLOCK;
}

static int open_exclusively(const char *path, unsigned access) {
    int mode = access & MEMKV_DRIVE_READ_ONLY ? O_RDONLY : O_RDWR;
    int fd = -1;
    for (int attempt = 0; attempt < LOCK_ATTEMPTS; attempt++) {
        fd = open(path, mode | O_DIRECT | O_EXCL | O_CLOEXEC);
        if (fd >= 0 || errno != EBUSY) break;
        lock_pause();
    }
    if (fd < 0) return -errno;
    // O_EXCL keeps out mounts and other servers; the lock, programs that follow the rule of
    // systemd's device locks.
    int locked = lock_drive(fd);
    return locked == 0 ? fd : fail(fd, -locked);
}

static int look_at_block_device(const char *path, struct memkv_drive *drive) {
    int fd = open(path, O_RDONLY | O_DIRECT | O_EXCL | O_CLOEXEC);
    drive->is_in_use = fd < 0 && errno == EBUSY;
    if (fd >= 0) close(fd);
    fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int memkv_open_block_device(const char *path, unsigned access, struct memkv_drive *drive) {
    memset(drive, 0, sizeof *drive);
    struct stat facts;
    if (stat(path, &facts) != 0) return -errno;
    if (!S_ISBLK(facts.st_mode)) return -ENOTBLK;
    int fd = access & MEMKV_DRIVE_LOOK ? look_at_block_device(path, drive)
                                       : open_exclusively(path, access);
    if (fd < 0) return fd;
    uint64_t capacity = 0;
    int logical = 0;
    if (ioctl(fd, BLKGETSIZE64, &capacity) != 0) return fail(fd, errno);
    if (ioctl(fd, BLKSSZGET, &logical) != 0) return fail(fd, errno);
    bool only_looks = access & MEMKV_DRIVE_LOOK;
    int locked = memkv_lock_beneath(facts.st_rdev, only_looks, &drive->beneath);
    if (locked != 0 && !only_looks) return fail(fd, -locked);
    drive->is_in_use |= locked == -EBUSY || locked == -EWOULDBLOCK;
    drive->fd = fd;
    drive->is_block_device = true;
    drive->is_direct = true;
    drive->supports_discard = block_device_discards(facts.st_rdev);
    drive->logical_block_bytes = (uint32_t)logical;
    drive->capacity_bytes = capacity;
    return 0;
}

// A new file's name survives a power cut only when its directory has been flushed too.
static int flush_directory(const char *path) {
    char copy[PATH_MAX];
    if (strlen(path) >= sizeof copy) return -ENAMETOOLONG;
    strcpy(copy, path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -errno;
    int result = fsync(fd) == 0 ? 0 : -errno;
    close(fd);
    return result;
}

// A submission with "don't wait" waits all the same on these, for locks that they hold while another
// program or machine works.
static bool blocks_submitter(int fd) {
    struct statfs facts;
    if (fstatfs(fd, &facts) != 0) return false;
    switch ((uint32_t)facts.f_type) {
    case FUSE_SUPER_MAGIC:
    case NFS_SUPER_MAGIC:
    case SMB_SUPER_MAGIC:
    case SMB2_SUPER_MAGIC:
    case CIFS_SUPER_MAGIC:
    case V9FS_MAGIC:
    case CEPH_SUPER_MAGIC: return true;
    default: return false;
    }
}

static int open_regular(const char *path, int flags, bool *is_direct) {
    *is_direct = true;
    int fd = open(path, flags | O_DIRECT | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EINVAL) {
        *is_direct = false;
        // Some file systems make the file before they refuse the flag.
        fd = open(path, (flags & ~O_EXCL) | O_CLOEXEC, 0600);
    }
    return fd < 0 ? -errno : fd;
}

// Makes the file `bytes` long, all zeros; durable with its name.
static int make_sparse(int fd, const char *path, uint64_t bytes) {
    if (ftruncate(fd, 0) != 0 || ftruncate(fd, (off_t)bytes) != 0 || fsync(fd) != 0) return -errno;
    return flush_directory(path);
}

int memkv_open_file(
    const char *path, unsigned access, uint64_t create_bytes, struct memkv_drive *drive) {
    memset(drive, 0, sizeof *drive);
    bool is_read_only = access & (MEMKV_DRIVE_READ_ONLY | MEMKV_DRIVE_LOOK);
    struct stat facts;
    // A FIFO or a device must not be opened even to look at it.
    if (stat(path, &facts) == 0 && !S_ISREG(facts.st_mode)) return -ENOTSUP;
    int flags = is_read_only ? O_RDONLY : O_RDWR;
    if (create_bytes > 0) flags |= O_CREAT;
    if (access & MEMKV_DRIVE_NEW) flags |= O_EXCL;
    int fd = open_regular(path, flags, &drive->is_direct);
    if (fd >= 0) drive->blocks_submitter = blocks_submitter(fd);
    if (fd < 0) return fd;
    if (access & MEMKV_DRIVE_LOOK) {
        drive->is_in_use = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
        flock(fd, LOCK_UN);
    } else {
        int locked = lock_drive(fd);
        if (locked != 0) return fail(fd, -locked);
    }
    if (fstat(fd, &facts) != 0) return fail(fd, errno);
    if (!S_ISREG(facts.st_mode)) return fail(fd, ENOTSUP);
    if (access & MEMKV_DRIVE_NEW && facts.st_size != 0) return fail(fd, EEXIST);
    if (create_bytes > 0 && (facts.st_size == 0 || access & MEMKV_DRIVE_REPLACE)) {
        int made = make_sparse(fd, path, create_bytes);
        if (made != 0) return fail(fd, -made);
        facts.st_size = (off_t)create_bytes;
    }
    drive->fd = fd;
    drive->logical_block_bytes = 4096;
    drive->capacity_bytes = (uint64_t)facts.st_size / 4096 * 4096;
    if (is_read_only) return 0;
    // Beyond the end there is nothing to lose: only the file system's answer is of interest.
    off_t end = (facts.st_size + 4095) / 4096 * 4096;
    drive->supports_discard =
        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, end, 4096) == 0;
    return 0;
}
#endif
