// Devices, their memory and their completion queues.
#if defined(MEMKV_VERBS)
#define _GNU_SOURCE
#include "CVerbs.h"

#include <errno.h>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

// Every device used here has one port that matters.
enum { PORT = 1, GID_LIMIT = 1024 };

struct ibv_context **memkv_rdma_devices(int *count) { return rdma_get_devices(count); }

void memkv_rdma_free_devices(struct ibv_context **devices) { rdma_free_devices(devices); }

int memkv_rdma_device_names(char *names, int limit) {
    int count = 0;
    struct ibv_device **devices = ibv_get_device_list(&count);
    if (!devices) return 0;
    if (count > limit) count = limit;
    for (int i = 0; i < count; i++) {
        char *name = names + i * MEMKV_RDMA_NAME_BYTES;
        strncpy(name, ibv_get_device_name(devices[i]), MEMKV_RDMA_NAME_BYTES - 1);
        name[MEMKV_RDMA_NAME_BYTES - 1] = 0;
    }
    ibv_free_device_list(devices);
    return count;
}

const char *memkv_rdma_device_name(struct ibv_context *device) {
    return ibv_get_device_name(device->device);
}

int memkv_rdma_query(struct ibv_context *device, struct memkv_rdma_attributes *attributes) {
    struct ibv_device_attr all;
    struct ibv_port_attr port;
    int error = ibv_query_device(device, &all);
    if (!error) error = ibv_query_port(device, PORT, &port);
    if (error) return -error;
    attributes->queue_pairs = (uint32_t)all.max_qp;
    attributes->work_requests = (uint32_t)all.max_qp_wr;
    attributes->completions = (uint32_t)all.max_cqe;
    attributes->reads_in_flight = (uint32_t)all.max_qp_init_rd_atom;
    attributes->reads_accepted = (uint32_t)all.max_qp_rd_atom;
    attributes->packet_bytes = 128u << port.active_mtu;
    attributes->is_port_active = port.state == IBV_PORT_ACTIVE;
    attributes->is_ethernet = port.link_layer == IBV_LINK_LAYER_ETHERNET;
    return 0;
}

static bool is_link_local(const uint8_t *address) {
    return address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

int memkv_rdma_addresses(
    struct ibv_context *device, uint32_t interface, uint8_t *addresses, int limit) {
    struct ibv_gid_entry *entries = calloc(GID_LIMIT, sizeof *entries);
    if (!entries) return -ENOMEM;
    ssize_t count = ibv_query_gid_table(device, entries, GID_LIMIT, 0);
    if (count < 0) {
        free(entries);
        return (int)count;
    }
    int taken = 0;
    for (int pass = 0; pass < 2; pass++)
        for (ssize_t i = 0; i < count && taken < limit; i++) {
            const uint8_t *address = entries[i].gid.raw;
            if (entries[i].port_num != PORT || entries[i].gid_type != IBV_GID_TYPE_ROCE_V2)
                continue;
            if (interface != 0 && entries[i].ndev_ifindex != interface) continue;
            if (is_link_local(address) != (pass == 1)) continue;
            memcpy(
                addresses + MEMKV_RDMA_ADDRESS_BYTES * taken++, address,
                MEMKV_RDMA_ADDRESS_BYTES);
        }
    free(entries);
    return taken;
}

bool memkv_rdma_is_there(struct ibv_context *device) {
    const char *directory = device->device->dev_path;
    return directory[0] == 0 || access(directory, F_OK) == 0;
}

int memkv_rdma_let_go(struct ibv_context *device) {
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nothing < 0) return -errno;
    int result = 0;
    if (dup3(nothing, device->async_fd, O_CLOEXEC) < 0) result = -errno;
    if (dup3(nothing, device->cmd_fd, O_CLOEXEC) < 0) result = -errno;
    close(nothing);
    return result;
}

struct ibv_pd *memkv_rdma_make_domain(struct ibv_context *device) { return ibv_alloc_pd(device); }

void memkv_rdma_free_domain(struct ibv_pd *domain) { ibv_dealloc_pd(domain); }

struct ibv_mr *memkv_rdma_register(
    struct ibv_pd *domain, void *memory, size_t bytes, unsigned access) {
    unsigned flags = 0;
    if (access & MEMKV_RDMA_LOCAL_WRITE) flags |= IBV_ACCESS_LOCAL_WRITE;
    if (access & MEMKV_RDMA_REMOTE_READ) flags |= IBV_ACCESS_REMOTE_READ;
    if (access & MEMKV_RDMA_REMOTE_WRITE)
        flags |= IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_LOCAL_WRITE;
    return ibv_reg_mr(domain, memory, bytes, flags);
}

int memkv_rdma_deregister(struct ibv_mr *memory) { return -ibv_dereg_mr(memory); }

uint32_t memkv_rdma_local_key(const struct ibv_mr *memory) { return memory->lkey; }

uint32_t memkv_rdma_remote_key(const struct ibv_mr *memory) { return memory->rkey; }

struct ibv_comp_channel *memkv_rdma_make_channel(struct ibv_context *device) {
    struct ibv_comp_channel *channel = ibv_create_comp_channel(device);
    if (!channel) return NULL;
    int flags = fcntl(channel->fd, F_GETFL);
    if (flags < 0 || fcntl(channel->fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        ibv_destroy_comp_channel(channel);
        return NULL;
    }
    return channel;
}

void memkv_rdma_free_channel(struct ibv_comp_channel *channel) {
    ibv_destroy_comp_channel(channel);
}

int memkv_rdma_channel_descriptor(const struct ibv_comp_channel *channel) { return channel->fd; }

struct ibv_cq *memkv_rdma_make_queue(
    struct ibv_context *device, struct ibv_comp_channel *channel, uint32_t entries) {
    return ibv_create_cq(device, (int)entries, NULL, channel, 0);
}

int memkv_rdma_free_queue(struct ibv_cq *queue) { return -ibv_destroy_cq(queue); }

int memkv_rdma_arm(struct ibv_cq *queue) { return -ibv_req_notify_cq(queue, 0); }

int memkv_rdma_take_notices(struct ibv_comp_channel *channel) {
    int count = 0;
    struct ibv_cq *queue;
    void *context;
    while (ibv_get_cq_event(channel, &queue, &context) == 0) {
        ibv_ack_cq_events(queue, 1);
        count++;
    }
    return count;
}

int memkv_rdma_make_set(void) {
    int set = epoll_create1(EPOLL_CLOEXEC);
    return set < 0 ? -errno : set;
}

int memkv_rdma_add_to_set(int set, int descriptor) {
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(set, EPOLL_CTL_ADD, descriptor, &event) == 0 ? 0 : -errno;
}

int memkv_rdma_remove_from_set(int set, int descriptor) {
    return epoll_ctl(set, EPOLL_CTL_DEL, descriptor, NULL) == 0 ? 0 : -errno;
}

int memkv_rdma_poll(struct ibv_cq *queue, struct memkv_rdma_completion *out, int limit) {
    struct ibv_wc batch[16];
    int count = ibv_poll_cq(queue, limit < 16 ? limit : 16, batch);
    for (int i = 0; i < count; i++) {
        out[i].work_id = batch[i].wr_id;
        out[i].status = batch[i].status;
        // Other fields than these two mean nothing after a failure.
        bool is_good = batch[i].status == IBV_WC_SUCCESS;
        out[i].is_receive = is_good && batch[i].opcode & IBV_WC_RECV;
        out[i].bytes = out[i].is_receive ? batch[i].byte_len : 0;
    }
    return count < 0 ? -EIO : count;
}

const char *memkv_rdma_status_text(uint32_t status) {
    return ibv_wc_status_str((enum ibv_wc_status)status);
}
#endif
