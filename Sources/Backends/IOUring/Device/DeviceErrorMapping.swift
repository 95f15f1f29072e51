// From the kernel's errno to the port's `DeviceError`, in one place.

#if IOUring

internal import Engine
internal import Glibc

extension DeviceError {
    /// The meaning of a positive errno on a block device or on a file.
    init(errno code: Int32, onBlockDevice: Bool) {
        switch code {
        case ENODEV, ENXIO, ENOMEDIUM: self = .gone
        case ENOSPC: self = onBlockDevice ? .gone : .noSpace
        case EDQUOT: self = .noSpace
        case ENODATA, EILSEQ: self = .medium
        case EOPNOTSUPP: self = .unsupported
        default: self = .inputOutput
        }
    }
}

#endif
