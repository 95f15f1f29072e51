// CompletionSet: one descriptor for all of a shard's completion queues, the same one however often
// devices come and go.
//
// Always holds: it keeps no queue and no device in use, whoever waits for its descriptor.

#if Verbs

internal import CVerbs
internal import Glibc

/// Readable while one of its queues has a notice. Used by one thread.
package final class CompletionSet {
    package let descriptor: Int32

    package init() throws(VerbsError) {
        let result = memkv_rdma_make_set()
        guard result >= 0 else { throw VerbsError("to make an epoll descriptor", result) }
        descriptor = result
    }

    deinit { close(descriptor) }

    package func add(_ queue: CompletionQueue) throws(VerbsError) {
        let result = memkv_rdma_add_to_set(descriptor, queue.descriptor)
        guard result == 0 else { throw VerbsError("to wait for completions", result) }
    }

    package func remove(_ queue: CompletionQueue) {
        _ = memkv_rdma_remove_from_set(descriptor, queue.descriptor)
    }
}

#endif
