// Anonymous memory from the kernel, on huge pages where some are reserved.
//
// Always holds: what is mapped stays mapped until the process ends, so no operation in flight can
// outlive its memory. Pages come with their first touch.
//
// One of the files that may say `unsafe`.

#if IOUring

internal import CIOURing

/// A mapping and the kind of its pages.
@safe
package struct MappedMemory: @unchecked Sendable {
    // Sendable because the handle is immutable; who may touch which bytes is decided elsewhere.
    @unsafe package let base: UnsafeMutableRawPointer
    package let byteCount: Int
    /// Bytes of one huge page, or nil when the mapping is made of ordinary ones.
    package let hugePageBytes: Int?

    /// One sentence for the log.
    package var description: String {
        guard let hugePageBytes else {
            return "\(byteCount >> 20) MiB on ordinary pages: no huge pages are free "
                + "(reserve some with vm.nr_hugepages)"
        }
        return "\(byteCount >> 20) MiB on huge pages of \(hugePageBytes >> 10) KiB"
    }
}

/// Maps at least `byteCount` bytes of zeros, page-aligned: on huge pages when enough are reserved
/// and `preferHugePages` is set, otherwise on ordinary ones.
package func mapMemory(
    byteCount: Int, preferHugePages: Bool = true
) throws(SystemError) -> MappedMemory {
    precondition(byteCount > 0, "a mapping of \(byteCount) bytes")
    let hugePageBytes = preferHugePages ? memkv_huge_page_bytes() : 0
    if hugePageBytes > 0 {
        let rounded = (byteCount + hugePageBytes - 1) / hugePageBytes * hugePageBytes
        if let base = unsafe memkv_map(rounded, true) {
            return unsafe MappedMemory(base: base, byteCount: rounded, hugePageBytes: hugePageBytes)
        }
    }
    let rounded = (byteCount + 4095) / 4096 * 4096
    guard let base = unsafe memkv_map(rounded, false) else { throw SystemError(12) }
    return unsafe MappedMemory(base: base, byteCount: rounded, hugePageBytes: nil)
}

#endif
