// The name of a thread, for tools that show threads.
//
// One of the files that may say `unsafe`.

#if IOUring

internal import CIOURing

/// Names the calling thread; at most 15 bytes.
package func nameThread(_ name: String) throws(SystemError) {
    let result = unsafe memkv_name_thread(name)
    if result < 0 { throw SystemError(result) }
}

#endif
