// Connections and their work.
#if defined(MEMKV_VERBS)
#define _GNU_SOURCE
#include "CVerbs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <netinet/in.h>
#include <poll.h>
#include <rdma/rdma_cma.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

// Of a packet that isn't acknowledged: tries before the connection is given up. And of a message
// that finds no receive posted, which credits rule out.
enum { RETRIES = 7, RECEIVER_RETRIES = 6 };

int memkv_rdma_post(
    struct rdma_cm_id *connection, const struct memkv_rdma_work *work, int count, int *posted) {
    struct ibv_send_wr requests[MEMKV_RDMA_POST_LIMIT];
    struct ibv_sge pieces[MEMKV_RDMA_POST_LIMIT];
    static const enum ibv_wr_opcode codes[] = {IBV_WR_SEND, IBV_WR_RDMA_READ, IBV_WR_RDMA_WRITE};
    *posted = 0;
    if (count < 1 || count > MEMKV_RDMA_POST_LIMIT) return -EINVAL;
    memset(requests, 0, sizeof *requests * (size_t)count);
    for (int i = 0; i < count; i++) {
        pieces[i].addr = work[i].local_address;
        pieces[i].length = work[i].bytes;
        pieces[i].lkey = work[i].local_key;
        requests[i].wr_id = work[i].work_id;
        requests[i].next = i + 1 < count ? &requests[i + 1] : NULL;
        requests[i].sg_list = &pieces[i];
        requests[i].num_sge = 1;
        requests[i].opcode = codes[work[i].kind];
        requests[i].send_flags = work[i].is_signalled ? IBV_SEND_SIGNALED : 0;
        requests[i].wr.rdma.remote_addr = work[i].remote_address;
        requests[i].wr.rdma.rkey = work[i].remote_key;
    }
    struct ibv_send_wr *refused = NULL;
    int error = ibv_post_send(connection->qp, requests, &refused);
    *posted = error && refused ? (int)(refused - requests) : error ? 0 : count;
    return error > 0 ? -error : error;
}

int memkv_rdma_post_receive(
    struct rdma_cm_id *connection, uint64_t work_id, void *memory, uint32_t bytes,
    uint32_t local_key) {
    struct ibv_sge piece = {.addr = (uintptr_t)memory, .length = bytes, .lkey = local_key};
    struct ibv_recv_wr request = {.wr_id = work_id, .sg_list = &piece, .num_sge = 1};
    struct ibv_recv_wr *refused;
    int error = ibv_post_recv(connection->qp, &request, &refused);
    return error > 0 ? -error : error;
}

struct rdma_event_channel *memkv_rdma_make_event_channel(void) {
    struct rdma_event_channel *channel = rdma_create_event_channel();
    if (!channel) return NULL;
    int flags = fcntl(channel->fd, F_GETFL);
    if (flags < 0 || fcntl(channel->fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        rdma_destroy_event_channel(channel);
        return NULL;
    }
    return channel;
}

void memkv_rdma_free_event_channel(struct rdma_event_channel *channel) {
    rdma_destroy_event_channel(channel);
}

int memkv_rdma_event_descriptor(const struct rdma_event_channel *channel) { return channel->fd; }

struct rdma_cm_id *memkv_rdma_make_id(struct rdma_event_channel *channel) {
    struct rdma_cm_id *id;
    return rdma_create_id(channel, &id, NULL, RDMA_PS_TCP) == 0 ? id : NULL;
}

void memkv_rdma_free_queue_pair(struct rdma_cm_id *id) {
    if (id->qp) rdma_destroy_qp(id);
}

void memkv_rdma_free_id(struct rdma_cm_id *id) {
    memkv_rdma_free_queue_pair(id);
    rdma_destroy_id(id);
}

struct ibv_context *memkv_rdma_id_device(struct rdma_cm_id *id) { return id->verbs; }

// A socket address of 16 bytes and a port.
static void fill(struct sockaddr_storage *out, const uint8_t *address, uint16_t port) {
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    memset(out, 0, sizeof *out);
    if (memcmp(address, mapped, sizeof mapped) == 0) {
        struct sockaddr_in *in = (struct sockaddr_in *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        memcpy(&in->sin_addr, address + 12, 4);
    } else {
        struct sockaddr_in6 *in = (struct sockaddr_in6 *)out;
        in->sin6_family = AF_INET6;
        in->sin6_port = htons(port);
        memcpy(&in->sin6_addr, address, 16);
    }
}

static int outcome(int result) { return result == 0 ? 0 : -errno; }

int memkv_rdma_listen(
    struct rdma_cm_id *id, const uint8_t address[MEMKV_RDMA_ADDRESS_BYTES], uint16_t port,
    int backlog) {
    struct sockaddr_storage name;
    fill(&name, address, port);
    if (rdma_bind_addr(id, (struct sockaddr *)&name) != 0 || rdma_listen(id, backlog) != 0)
        return -errno;
    return ntohs(rdma_get_src_port(id));
}

int memkv_rdma_resolve_address(
    struct rdma_cm_id *id, const uint8_t *source,
    const uint8_t target[MEMKV_RDMA_ADDRESS_BYTES], uint16_t port, int milliseconds) {
    struct sockaddr_storage from, to;
    if (source) fill(&from, source, 0);
    fill(&to, target, port);
    return outcome(rdma_resolve_addr(
        id, source ? (struct sockaddr *)&from : NULL, (struct sockaddr *)&to, milliseconds));
}

int memkv_rdma_resolve_route(struct rdma_cm_id *id, int milliseconds) {
    return outcome(rdma_resolve_route(id, milliseconds));
}

int memkv_rdma_make_queue_pair(
    struct rdma_cm_id *id, struct ibv_pd *domain, struct ibv_cq *queue,
    const struct memkv_rdma_queue_pair *lengths) {
    struct ibv_qp_init_attr attributes = {
        .send_cq = queue,
        .recv_cq = queue,
        .cap = {.max_send_wr = lengths->sends, .max_recv_wr = lengths->receives,
                .max_send_sge = 1, .max_recv_sge = 1},
        .qp_type = IBV_QPT_RC,
    };
    return outcome(rdma_create_qp(id, domain, &attributes));
}

static struct rdma_conn_param parameters(const struct memkv_rdma_agreement *agreement) {
    struct rdma_conn_param out = {
        .private_data = agreement->private_data,
        .private_data_len = agreement->private_bytes,
        .responder_resources = agreement->reads_accepted,
        .initiator_depth = agreement->reads_in_flight,
        .retry_count = RETRIES,
        .rnr_retry_count = RECEIVER_RETRIES,
    };
    return out;
}

int memkv_rdma_connect(struct rdma_cm_id *id, const struct memkv_rdma_agreement *agreement) {
    struct rdma_conn_param out = parameters(agreement);
    return outcome(rdma_connect(id, &out));
}

int memkv_rdma_accept(struct rdma_cm_id *id, const struct memkv_rdma_agreement *agreement) {
    struct rdma_conn_param out = parameters(agreement);
    return outcome(rdma_accept(id, &out));
}

int memkv_rdma_reject(struct rdma_cm_id *id, const uint8_t *private_data, uint8_t private_bytes) {
    return outcome(rdma_reject(id, private_data, private_bytes));
}

int memkv_rdma_disconnect(struct rdma_cm_id *id) { return outcome(rdma_disconnect(id)); }

int memkv_rdma_peer_address(struct rdma_cm_id *id, uint8_t address[MEMKV_RDMA_ADDRESS_BYTES]) {
    const struct sockaddr *peer = rdma_get_peer_addr(id);
    memset(address, 0, MEMKV_RDMA_ADDRESS_BYTES);
    if (peer->sa_family == AF_INET) {
        address[10] = address[11] = 0xff;
        memcpy(address + 12, &((const struct sockaddr_in *)peer)->sin_addr, 4);
        return 0;
    }
    if (peer->sa_family != AF_INET6) return -EAFNOSUPPORT;
    memcpy(address, &((const struct sockaddr_in6 *)peer)->sin6_addr, MEMKV_RDMA_ADDRESS_BYTES);
    return 0;
}

static uint32_t kind(enum rdma_cm_event_type type) {
    switch (type) {
        case RDMA_CM_EVENT_ADDR_RESOLVED: return MEMKV_RDMA_EVENT_ADDRESS_RESOLVED;
        case RDMA_CM_EVENT_ROUTE_RESOLVED: return MEMKV_RDMA_EVENT_ROUTE_RESOLVED;
        case RDMA_CM_EVENT_CONNECT_REQUEST: return MEMKV_RDMA_EVENT_REQUEST;
        case RDMA_CM_EVENT_ESTABLISHED: return MEMKV_RDMA_EVENT_ESTABLISHED;
        case RDMA_CM_EVENT_REJECTED: return MEMKV_RDMA_EVENT_REJECTED;
        case RDMA_CM_EVENT_ADDR_ERROR:
        case RDMA_CM_EVENT_ROUTE_ERROR:
        case RDMA_CM_EVENT_CONNECT_ERROR:
        case RDMA_CM_EVENT_UNREACHABLE: return MEMKV_RDMA_EVENT_FAILED;
        case RDMA_CM_EVENT_DISCONNECTED: return MEMKV_RDMA_EVENT_DISCONNECTED;
        case RDMA_CM_EVENT_DEVICE_REMOVAL: return MEMKV_RDMA_EVENT_DEVICE_REMOVED;
        default: return MEMKV_RDMA_EVENT_OTHER;
    }
}

int memkv_rdma_next_event(struct rdma_event_channel *channel, struct memkv_rdma_event *event) {
    struct rdma_cm_event *got;
    if (rdma_get_cm_event(channel, &got) != 0) return -errno;
    memset(event, 0, sizeof *event);
    event->id = got->id;
    event->listener = got->listen_id;
    event->kind = kind(got->event);
    event->status = got->status;
    switch (event->kind) {
        case MEMKV_RDMA_EVENT_REQUEST:
        case MEMKV_RDMA_EVENT_ESTABLISHED:
        case MEMKV_RDMA_EVENT_REJECTED:
            event->private_bytes = got->param.conn.private_data_len;
            if (got->param.conn.private_data)
                memcpy(event->private_data, got->param.conn.private_data, event->private_bytes);
            else
                event->private_bytes = 0;
            event->reads_accepted = got->param.conn.responder_resources;
            event->reads_in_flight = got->param.conn.initiator_depth;
            break;
        default: break;
    }
    rdma_ack_cm_event(got);
    return 0;
}

int memkv_rdma_make_wake(void) {
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

void memkv_rdma_wake(int descriptor) { eventfd_write(descriptor, 1); }

void memkv_rdma_wait(int events, int wake, int milliseconds) {
    struct pollfd waited[2] = {{.fd = events, .events = POLLIN}, {.fd = wake, .events = POLLIN}};
    if (poll(waited, 2, milliseconds) > 0 && waited[1].revents) {
        eventfd_t count;
        eventfd_read(wake, &count);
    }
}

uint64_t memkv_rdma_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
#endif
