// Sockets without Linux, in place of Sources/CIOURing/socket.c: connections come from two addresses in turn, and
// every seventh is broken when it is accepted.
#include "CIOURing.h"

#include <errno.h>
#include <stdio.h>

int memkv_listen(const char *address, uint16_t port, int backlog) { return 999999; }

int memkv_bound_port(int fd) { return 9900; }

int memkv_prepare_connection(int fd, struct memkv_peer *peer) {
    *peer = (struct memkv_peer){.address = 0x7f000001u + (unsigned)(fd % 2)};
    return fd % 7 == 6 ? -EINVAL : 0;
}

int memkv_peer_name(int fd, char *text, size_t capacity) {
    snprintf(text, capacity, "fuzz:%d", fd);
    return 0;
}
