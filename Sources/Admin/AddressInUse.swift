// The one number of the C library that the admin endpoint needs, apart from everything else of it.

internal import Glibc

/// EADDRINUSE: another process listens on that address.
let addressInUse: CInt = EADDRINUSE
