// libibverbs and librdmacm as plain functions over opaque handles: no Swift file sees their headers,
// whose verbs are macros and inline functions that go through tables of function pointers.
//
// Always holds: nothing here keeps state; every function that can fail returns a negative errno, or
// NULL with errno set; only what says so may block. Addresses are 16 bytes, IPv4 ones mapped.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ibv_context;
struct ibv_pd;
struct ibv_mr;
struct ibv_cq;
struct ibv_comp_channel;
struct rdma_event_channel;
struct rdma_cm_id;

enum {
    MEMKV_RDMA_NAME_BYTES = 64,
    MEMKV_RDMA_ADDRESS_BYTES = 16,
    MEMKV_RDMA_PRIVATE_DATA_BYTES = 256,
};

// Devices that librdmacm can use, opened; a list that ends with NULL, to be kept as long as any of
// them is used. NULL with ENODEV or ENOSYS where there are none.
struct ibv_context **memkv_rdma_devices(int *count);
void memkv_rdma_free_devices(struct ibv_context **devices);
// The names of all RDMA devices, those without librdmacm too, MEMKV_RDMA_NAME_BYTES each; how many.
int memkv_rdma_device_names(char *names, int limit);
const char *memkv_rdma_device_name(struct ibv_context *device);

// What a device can do, and how its first port is.
struct memkv_rdma_attributes {
    uint32_t queue_pairs;
    uint32_t work_requests;
    uint32_t completions;
    uint32_t reads_in_flight;
    uint32_t reads_accepted;
    uint32_t packet_bytes;
    bool is_port_active;
    // Its link layer is Ethernet: RoCE or iWARP.
    bool is_ethernet;
};
int memkv_rdma_query(struct ibv_context *device, struct memkv_rdma_attributes *attributes);
// The IP addresses of a port's RoCE v2 GIDs, link-local ones last, one behind the other; how many, `limit`
// at most. Only those of the network interface with this index, unless it is 0.
int memkv_rdma_addresses(
    struct ibv_context *device, uint32_t interface, uint8_t *addresses, int limit);
// False as soon as the kernel takes the device out: its character device is the first to go.
bool memkv_rdma_is_there(struct ibv_context *device);
// Ends the use of a device that is to be taken out, after everything made on it has ended. Drivers
// without disassociation, rxe among them, wait for the last file that is open on the device, and
// librdmacm closes its own only when it finds another device in its place: so these files become
// /dev/null, under the same numbers. The context is good for nothing afterwards.
int memkv_rdma_let_go(struct ibv_context *device);

// Protection domains and memory. Registering and ending a registration may block.
struct ibv_pd *memkv_rdma_make_domain(struct ibv_context *device);
void memkv_rdma_free_domain(struct ibv_pd *domain);
enum {
    MEMKV_RDMA_LOCAL_WRITE = 1u << 0,
    MEMKV_RDMA_REMOTE_READ = 1u << 1,
    MEMKV_RDMA_REMOTE_WRITE = 1u << 2,
};
struct ibv_mr *memkv_rdma_register(
    struct ibv_pd *domain, void *memory, size_t bytes, unsigned access);
// 0 when nobody can reach the memory by this registration any more.
int memkv_rdma_deregister(struct ibv_mr *memory);
uint32_t memkv_rdma_local_key(const struct ibv_mr *memory);
uint32_t memkv_rdma_remote_key(const struct ibv_mr *memory);

// Completion queues, each with a channel of its own whose descriptor never blocks.
struct ibv_comp_channel *memkv_rdma_make_channel(struct ibv_context *device);
void memkv_rdma_free_channel(struct ibv_comp_channel *channel);
int memkv_rdma_channel_descriptor(const struct ibv_comp_channel *channel);
struct ibv_cq *memkv_rdma_make_queue(
    struct ibv_context *device, struct ibv_comp_channel *channel, uint32_t entries);
int memkv_rdma_free_queue(struct ibv_cq *queue);
// Has the channel's descriptor become readable at the next completion.
int memkv_rdma_arm(struct ibv_cq *queue);
// Takes the channel's notices; how many there were.
int memkv_rdma_take_notices(struct ibv_comp_channel *channel);

// A descriptor that is readable while one of those added to it is. It doesn't keep them open.
int memkv_rdma_make_set(void);
int memkv_rdma_add_to_set(int set, int descriptor);
int memkv_rdma_remove_from_set(int set, int descriptor);

struct memkv_rdma_completion {
    uint64_t work_id;
    // 0 for success; otherwise one of libibverbs' codes.
    uint32_t status;
    // Bytes of a message received.
    uint32_t bytes;
    bool is_receive;
};
int memkv_rdma_poll(struct ibv_cq *queue, struct memkv_rdma_completion *out, int limit);
const char *memkv_rdma_status_text(uint32_t status);

// Work for a connection's queue pair.
enum { MEMKV_RDMA_SEND, MEMKV_RDMA_READ, MEMKV_RDMA_WRITE };
struct memkv_rdma_work {
    uint64_t work_id;
    uint64_t local_address;
    uint64_t remote_address;
    uint32_t local_key;
    uint32_t remote_key;
    uint32_t bytes;
    uint32_t kind;
    bool is_signalled;
};
enum { MEMKV_RDMA_POST_LIMIT = 16 };
// Posts up to MEMKV_RDMA_POST_LIMIT requests in one call, linked; `posted` is how many were taken.
int memkv_rdma_post(
    struct rdma_cm_id *connection, const struct memkv_rdma_work *work, int count, int *posted);
int memkv_rdma_post_receive(
    struct rdma_cm_id *connection, uint64_t work_id, void *memory, uint32_t bytes,
    uint32_t local_key);

// Connections, by librdmacm. A channel's descriptor never blocks.
struct rdma_event_channel *memkv_rdma_make_event_channel(void);
void memkv_rdma_free_event_channel(struct rdma_event_channel *channel);
int memkv_rdma_event_descriptor(const struct rdma_event_channel *channel);
struct rdma_cm_id *memkv_rdma_make_id(struct rdma_event_channel *channel);
// Ends the queue pair of an id, if it has one: the device has let go of all memory afterwards. May block.
void memkv_rdma_free_queue_pair(struct rdma_cm_id *id);
// Ends an id and, if it has one, its queue pair: the device has let go of all memory afterwards. May
// block.
void memkv_rdma_free_id(struct rdma_cm_id *id);
// The device that an id was bound or resolved to; NULL before.
struct ibv_context *memkv_rdma_id_device(struct rdma_cm_id *id);
// Listens; the port it got, or a negative errno.
int memkv_rdma_listen(
    struct rdma_cm_id *id, const uint8_t address[MEMKV_RDMA_ADDRESS_BYTES], uint16_t port,
    int backlog);
// The next three begin something whose end is an event. `source` may be NULL.
int memkv_rdma_resolve_address(
    struct rdma_cm_id *id, const uint8_t *source,
    const uint8_t target[MEMKV_RDMA_ADDRESS_BYTES], uint16_t port, int milliseconds);
int memkv_rdma_resolve_route(struct rdma_cm_id *id, int milliseconds);
struct memkv_rdma_queue_pair {
    uint32_t sends;
    uint32_t receives;
};
// Makes the id's queue pair; both its queues complete to `queue`. May block.
int memkv_rdma_make_queue_pair(
    struct rdma_cm_id *id, struct ibv_pd *domain, struct ibv_cq *queue,
    const struct memkv_rdma_queue_pair *lengths);
struct memkv_rdma_agreement {
    const uint8_t *private_data;
    uint8_t private_bytes;
    // RDMA reads that the other end may have in flight here, and this end there.
    uint8_t reads_accepted;
    uint8_t reads_in_flight;
};
int memkv_rdma_connect(struct rdma_cm_id *id, const struct memkv_rdma_agreement *agreement);
int memkv_rdma_accept(struct rdma_cm_id *id, const struct memkv_rdma_agreement *agreement);
int memkv_rdma_reject(struct rdma_cm_id *id, const uint8_t *private_data, uint8_t private_bytes);
int memkv_rdma_disconnect(struct rdma_cm_id *id);
int memkv_rdma_peer_address(
    struct rdma_cm_id *id, uint8_t address[MEMKV_RDMA_ADDRESS_BYTES]);

enum {
    MEMKV_RDMA_EVENT_OTHER,
    MEMKV_RDMA_EVENT_ADDRESS_RESOLVED,
    MEMKV_RDMA_EVENT_ROUTE_RESOLVED,
    // The id was made for the request; the other end waits for accept or reject.
    MEMKV_RDMA_EVENT_REQUEST,
    MEMKV_RDMA_EVENT_ESTABLISHED,
    MEMKV_RDMA_EVENT_REJECTED,
    // What was begun has failed: no address, no route, nobody there.
    MEMKV_RDMA_EVENT_FAILED,
    MEMKV_RDMA_EVENT_DISCONNECTED,
    // The id's device is gone: the id must be freed.
    MEMKV_RDMA_EVENT_DEVICE_REMOVED,
};
struct memkv_rdma_event {
    struct rdma_cm_id *id;
    struct rdma_cm_id *listener;
    uint32_t kind;
    // librdmacm's: a negative errno, or the reason of a rejection.
    int status;
    uint8_t private_data[MEMKV_RDMA_PRIVATE_DATA_BYTES];
    uint8_t private_bytes;
    uint8_t reads_accepted;
    uint8_t reads_in_flight;
};
// Takes the next event and acknowledges it; 0, -EAGAIN when there is none, or another error.
int memkv_rdma_next_event(struct rdma_event_channel *channel, struct memkv_rdma_event *event);

// A descriptor that another thread makes readable.
int memkv_rdma_make_wake(void);
void memkv_rdma_wake(int descriptor);
// Blocks until one of both is readable, or for `milliseconds`; forgets the wakes so far.
void memkv_rdma_wait(int events, int wake, int milliseconds);
uint64_t memkv_rdma_nanoseconds(void);
