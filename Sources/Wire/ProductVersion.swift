// The release that this source is, for both ends: what `--version`, the log and the admin
// endpoint tell.

/// The product's version, which is not the protocol's.
package enum ProductVersion {
    package static let current = "0.1.0"
}
