// Probing with libblkid. Its own descriptors are without O_DIRECT, which it doesn't know.
#ifdef MEMKV_IO_URING

#define _GNU_SOURCE
#include "CBlkid.h"

#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static blkid_probe probe(int fd) {
    blkid_probe result = blkid_new_probe();
    if (!result) return NULL;
    if (blkid_probe_set_device(result, fd, 0, 0) != 0) {
        blkid_free_probe(result);
        return NULL;
    }
    blkid_probe_enable_superblocks(result, true);
    blkid_probe_set_superblocks_flags(
        result, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE | BLKID_SUBLKS_LABEL | BLKID_SUBLKS_MAGIC
                    | BLKID_SUBLKS_BADCSUM);
    blkid_probe_enable_partitions(result, true);
    blkid_probe_set_partitions_flags(result, BLKID_PARTS_FORCE_GPT | BLKID_PARTS_MAGIC);
    return result;
}

static void copy(blkid_probe from, const char *name, char *to, size_t size) {
    const char *text = "";
    blkid_probe_lookup_value(from, name, &text, NULL);
    snprintf(to, size, "%s", text);
}

static void describe(blkid_probe from, struct memkv_signature *signature) {
    if (blkid_probe_has_value(from, "PTTYPE")) {
        snprintf(signature->usage, sizeof signature->usage, "partitions");
        copy(from, "PTTYPE", signature->type, sizeof signature->type);
        signature->label[0] = 0;
        return;
    }
    copy(from, "USAGE", signature->usage, sizeof signature->usage);
    copy(from, "TYPE", signature->type, sizeof signature->type);
    copy(from, "LABEL", signature->label, sizeof signature->label);
}

int memkv_signatures(const char *path, struct memkv_signature *out, int limit) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return -errno;
    blkid_probe looking = probe(fd);
    int found = 0;
    // A drive of no bytes has no probe, and no signature.
    while (looking && blkid_do_probe(looking) == 0) {
        if (found < limit) describe(looking, &out[found]);
        found++;
    }
    if (looking) blkid_free_probe(looking);
    close(fd);
    return found;
}

int memkv_wipe_signatures(const char *path) {
    struct stat facts;
    if (stat(path, &facts) != 0) return -errno;
    int exclusive = S_ISBLK(facts.st_mode) ? O_EXCL : 0;
    int fd = open(path, O_RDWR | O_CLOEXEC | exclusive);
    if (fd < 0) return -errno;
    blkid_probe looking = probe(fd);
    int wiped = 0;
    int result = 0;
    while (looking && result == 0 && blkid_do_probe(looking) == 0) {
        if (blkid_do_wipe(looking, false) != 0) result = -EIO;
        wiped++;
    }
    if (looking) blkid_free_probe(looking);
    if (result == 0 && fsync(fd) != 0) result = -errno;
    // A partition, a file and a device without partitions refuse: there is nothing to forget.
    if (result == 0 && wiped > 0) ioctl(fd, BLKRRPART);
    close(fd);
    return result < 0 ? result : wiped;
}

#endif
