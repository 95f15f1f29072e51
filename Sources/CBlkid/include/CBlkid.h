// What libblkid sees on a drive: file systems, RAID members, swap, encrypted volumes, partition
// tables.
//
// Always holds: nothing here keeps state; looking writes nothing; every function that can fail
// returns a negative errno.
#pragma once

#include <features.h>
#include <stdbool.h>

// One signature. Texts end with a zero and are cut to fit.
struct memkv_signature {
    // "filesystem", "raid", "crypto", "other" as libblkid says, or "partitions".
    char usage[16];
    // "ext4", "swap", "LVM2_member", "gpt".
    char type[32];
    char label[64];
};

// Copies up to `limit` of the signatures on the device or file at `path` out; how many there are.
int memkv_signatures(const char *path, struct memkv_signature *out, int limit);

// Removes every signature from the device or file at `path`, durably, and lets the kernel forget
// the partitions; how many there were. -EBUSY when somebody uses the device.
int memkv_wipe_signatures(const char *path);
