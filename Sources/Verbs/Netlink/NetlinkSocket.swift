// NetlinkSocket: questions to the kernel's RDMA core, one at a time.
//
// Always holds: an answer is taken whole before the next question. A question may wait for whatever
// the kernel does meanwhile; removing a device, for everybody who has it open.
//
// One of the files that may say `unsafe`.

#if Verbs

internal import Glibc

/// A socket of the family NETLINK_RDMA.
struct NetlinkSocket: ~Copyable {
    private let descriptor: Int32
    private var sequence: UInt32 = 0

    private static let family: Int32 = 16
    private static let rdma: Int32 = 20
    /// The kernel's largest message of a dump.
    private static let answerBytes = 32 << 10

    init() throws(VerbsError) {
        let type = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        descriptor = socket(Self.family, type, Self.rdma)
        guard descriptor >= 0 else { throw .last("to reach the kernel's RDMA core") }
    }

    deinit { close(descriptor) }

    /// What the kernel answers; `attempt` is for the message of a failure.
    mutating func ask(
        _ request: NetlinkRequest, _ attempt: String
    ) throws(VerbsError) -> [NetlinkAttributes] {
        sequence += 1
        let bytes = request.bytes(sequence: sequence)
        guard unsafe send(descriptor, bytes, bytes.count, 0) == bytes.count else {
            throw .last(attempt)
        }
        var found: [NetlinkAttributes] = []
        while true {
            guard let answers = try receive(attempt) else { throw VerbsError(attempt, EBADMSG) }
            for answer in answers {
                switch answer {
                case .attributes(let attributes): found.append(attributes)
                case .end(0): return found
                case .end(let code): throw VerbsError(attempt, code)
                }
            }
        }
    }

    /// Nil for what is no answer.
    private func receive(_ attempt: String) throws(VerbsError) -> [NetlinkAnswer]? {
        var bytes = [UInt8](repeating: 0, count: Self.answerBytes)
        while true {
            let count = unsafe recv(descriptor, &bytes, bytes.count, 0)
            if count > 0 {
                return NetlinkAnswer.all(in: Array(bytes[..<count]), sequence: sequence)
            }
            if count < 0, errno == EINTR { continue }
            throw .last(attempt)
        }
    }
}

#endif
