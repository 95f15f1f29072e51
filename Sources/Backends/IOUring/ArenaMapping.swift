// The arena's memory: mapped once, on huge pages where there are any.
//
// One of the files that may say `unsafe`.

#if IOUring

package import Engine
package import Ring

/// An arena and a sentence on what it is made of, for the log.
package struct ArenaMapping: Sendable {
    package let arena: Arena
    package let description: String
}

/// Maps an arena of at least `bytes`; it stays mapped until the process ends. Falls back to
/// ordinary pages when no huge ones are free, and says so.
package func mapArena(bytes: ByteCount) throws(SystemError) -> ArenaMapping {
    let memory = try mapMemory(byteCount: Int(bytes.rawValue))
    let arena = unsafe Arena(
        base: memory.base, length: ByteCount(memory.byteCount),
        isHugePaged: memory.hugePageBytes != nil)
    return ArenaMapping(arena: arena, description: memory.description)
}

#endif
