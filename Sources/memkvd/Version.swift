// The version that `--version`, the log and the admin endpoint's readers are told.

/// The release that this source is.
enum Version {
    static let current = "0.1.0"
}
