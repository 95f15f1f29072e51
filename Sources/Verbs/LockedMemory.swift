// LockedMemory: how much memory this process may lock, which is what registering memory does.
//
// One of the files that may say `unsafe`.

#if Verbs

internal import Glibc

package enum LockedMemory {
    /// Bytes, as the limit is now; nil without a limit. CAP_IPC_LOCK isn't looked at.
    package static var limitBytes: UInt64? {
        var limit = rlimit()
        let kind = __rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue)
        guard unsafe getrlimit(kind, &limit) == 0 else { return nil }
        return limit.rlim_cur == rlim_t.max ? nil : UInt64(limit.rlim_cur)
    }
}

#endif
