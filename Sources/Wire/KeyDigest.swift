// SHA-256 as the source of keys, for callers that hold an array. One of the files that may say
// `unsafe`.

extension BlockKey {
    /// SHA-256 of `bytes`, as a key of `namespace`.
    package static func sha256(of bytes: [UInt8], namespace: Namespace) -> BlockKey {
        unsafe bytes.withUnsafeBytes { unsafe Digest.sha256Key($0, namespace: namespace) }
    }
}
