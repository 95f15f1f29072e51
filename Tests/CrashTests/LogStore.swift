// LogStore: a small correct store, and the same store with bugs, to show that the harness passes
// the one and catches the others without any help from the engine.
//
// The drive is a log of records. A record is a header sector (magic, sequence, kind, key, length,
// the payload's checksum, the header's own) followed by the payload's sectors, padded. A put or
// delete appends a record, waits for it, flushes, waits, then acknowledges; one record at a time.
// Recovery reads from the start until a record is not whole; a record whose payload is damaged ends
// the log too, and then clears the sector behind the last whole one, before it serves. Nothing is
// ever reused.

import CrashEnumeration
import Engine
import Sim
import Wire

/// What is wrong with a `LogStore`.
enum LogStoreBug: CaseIterable, Sendable {
    case none, noFlush, acknowledgeBeforeFlush, checksumNotCompared, deletesForgotten
    case spaceMiscounted, recoveryStuck
    /// Recovery clears the last whole record instead of what is behind it.
    case recoveryDestroys
}

/// Tells each bug's store type apart.
protocol LogStoreVariant { static var bug: LogStoreBug { get } }

struct LogStore<Variant: LogStoreVariant>: StoreUnderTest, ~Copyable {
    private enum Work {
        case reading(sector: UInt64, sectors: UInt64)
        case clearing
        case settling
        case idle
        case writing(Record, RequestHandle)
        case flushing(Record, RequestHandle)
    }

    private struct Record {
        var key: BlockKey
        var payload: [UInt8]
        var isDelete: Bool
        var sequence: UInt64
    }

    private static var magic: UInt64 { 0x4C4F_4753_544F_5245 }
    private let device: SimulatedDevice
    private let transport: SimulatedTransport
    private let memory: EngineMemory
    private let sectorBytes: UInt64
    private let sectorCount: UInt64
    private var work = Work.reading(sector: 0, sectors: 1)
    private var tail: UInt64 = 0
    private var lastRecord: UInt64 = 0
    private var sequence: UInt64 = 1
    private var blocks: [(key: BlockKey, payload: [UInt8])] = []
    private var isDraining = false
    private(set) var phase = EnginePhase.recovering

    static func privateMemory(for configuration: EngineConfiguration) -> ByteCount {
        ByteCount(256 << 10)
    }

    static func format(
        _ device: SimulatedDevice, world: SimulatedWorld, settings: CrashSettings, arena: Arena,
        memory: ArenaRange
    ) -> String? { nil }

    init(
        configuration: EngineConfiguration, device: SimulatedDevice, transport: SimulatedTransport,
        memory: EngineMemory
    ) {
        self.device = device
        self.transport = transport
        self.memory = memory
        let geometry = device.geometry(of: DriveIndex(0))
        sectorBytes = UInt64(geometry.logicalBlockBytes)
        sectorCount = geometry.capacity.rawValue / sectorBytes
        submit(.read, sector: 0, sectors: 1)
    }

    var nextWake: Instant { .never }
    var complaint: String { "\(work)" }
    mutating func beginDrain() { isDraining = true }
    mutating func requestCheckpoint() {}
    mutating func requestEviction(bytes: ByteCount) {}
    var blockCount: UInt64 { UInt64(blocks.count) }
    var usedBytes: UInt64 {
        let settings = CrashSettings()
        let extra: UInt64 = Variant.bug == .spaceMiscounted && blocks.count > 3 ? 1 : 0
        return blocks.reduce(extra) { $0 + settings.slotBytes(forValueOf: $1.payload.count) }
    }

    mutating func step(now: Instant) -> Bool {
        if let completion = device.nextCompletion() {
            precondition(completion.error == nil)
            advance()
            return true
        }
        guard case .idle = work else { return false }
        if isDraining {
            let changed = phase != .stopped
            phase = .stopped
            return changed
        }
        guard let request = transport.nextRequest(now: now) else { return false }
        begin(request)
        return true
    }

    // MARK: Requests

    private mutating func begin(_ request: Request) {
        let key = memory.arena.loadKey(request.body.start, namespace: request.namespace)
        let place = blocks.firstIndex { $0.key == key }
        switch request.operation {
        case .tcpGet:
            guard let place else { return answer(request.handle, .notFound) }
            answer(request.handle, payload: blocks[place].payload)
        case .tcpPut:
            let lease = transport.takePayload(of: request.handle)
            var bytes: [UInt8] = []
            if let lease { bytes = lease.copyOut(count: UInt64(request.payloadBytes)) }
            append(
                Record(key: key, payload: bytes, isDelete: false, sequence: sequence),
                request.handle)
        default:
            guard place != nil else { return answer(request.handle, .notFound) }
            append(
                Record(key: key, payload: [], isDelete: true, sequence: sequence), request.handle)
        }
    }

    private mutating func append(_ record: Record, _ handle: RequestHandle) {
        let range = memory.privateRange
        let sectors = 1 + (UInt64(record.payload.count) + sectorBytes - 1) / sectorBytes
        memory.arena.zero(range.part(at: 0, length: ByteCount(sectors * sectorBytes)))
        memory.arena.copyIn(record.payload, at: range.start.advanced(by: sectorBytes))
        store(Self.magic, 0)
        store(record.sequence, 8)
        store(record.isDelete ? 1 : 0, 16)
        store(UInt64(record.payload.count), 24)
        store(UInt64(record.key.namespace.rawValue), 32)
        memory.arena.storeKey(record.key, at: range.start.advanced(by: 40))
        store(memory.arena.checksum(payloadRange(record.payload.count)), 72)
        store(memory.arena.checksum(range.part(at: 0, length: ByteCount(UInt64(80)))), 80)
        sequence += 1
        submit(.write, sector: tail, sectors: sectors)
        tail += sectors
        work = .writing(record, handle)
    }

    private mutating func advance() {
        switch work {
        case .reading(let sector, let sectors): replay(sector, sectors)
        case .clearing:
            submit(.flush, sector: 0, sectors: 0)
            work = .settling
        case .settling:
            work = .idle
            phase = .serving
        case .idle: preconditionFailure("a completion while idle")
        case .writing(let record, let handle):
            if Variant.bug == .noFlush { return commit(record, handle) }
            if Variant.bug == .acknowledgeBeforeFlush { answer(handle, .ok) }
            submit(.flush, sector: 0, sectors: 0)
            work = .flushing(record, handle)
        case .flushing(let record, let handle): commit(record, handle)
        }
    }

    private mutating func commit(_ record: Record, _ handle: RequestHandle) {
        apply(record)
        work = .idle
        if Variant.bug != .acknowledgeBeforeFlush { answer(handle, .ok) }
    }

    private mutating func apply(_ record: Record) {
        blocks.removeAll { $0.key == record.key }
        if !record.isDelete { blocks.append((record.key, record.payload)) }
    }

    private func answer(_ handle: RequestHandle, _ status: Status) {
        transport.respond(to: handle, with: Response(status: status), payload: nil)
    }

    private func answer(_ handle: RequestHandle, payload: [UInt8]) {
        guard let lease = memory.slabs.lease(lengthBytes: ByteCount(payload.count)) else {
            return answer(handle, .busy)
        }
        lease.copyIn(payload)
        var streaming = StreamingChecksum()
        let checksum = lease.checksum(length: ByteCount(payload.count), using: &streaming)
        transport.respond(
            to: handle,
            with: Response(
                status: .ok, payloadBytes: UInt32(payload.count), payloadChecksum: checksum),
            payload: lease)
    }

    // MARK: Recovery

    private mutating func replay(_ sector: UInt64, _ sectors: UInt64) {
        let range = memory.privateRange
        let length = load(24)
        let wanted = 1 + (length + sectorBytes - 1) / sectorBytes
        let isHeader =
            load(0) == Self.magic && load(8) == sequence && length <= 64 << 10
            && memory.arena.checksum(range.part(at: 0, length: ByteCount(UInt64(80)))) == load(80)
        guard isHeader, sector + wanted <= sectorCount else { return endReplay() }
        if sectors < wanted {
            submit(.read, sector: sector, sectors: wanted)
            work = .reading(sector: sector, sectors: wanted)
            return
        }
        let isWhole = memory.arena.checksum(payloadRange(Int(length))) == load(72)
        guard isWhole || Variant.bug == .checksumNotCompared else { return endReplay() }
        let isDelete = load(16) == 1
        if !(isDelete && Variant.bug == .deletesForgotten) {
            apply(
                Record(
                    key: memory.arena.loadKey(
                        range.start.advanced(by: 40), namespace: Namespace(UInt32(load(32)))),
                    payload: memory.arena.copyOut(payloadRange(Int(length))), isDelete: isDelete,
                    sequence: sequence))
        }
        sequence += 1
        lastRecord = sector
        tail = sector + wanted
        submit(.read, sector: tail, sectors: 1)
        work = .reading(sector: tail, sectors: 1)
    }

    private mutating func endReplay() {
        if Variant.bug == .recoveryStuck && sequence > 4 {
            submit(.read, sector: 0, sectors: 1)
            return
        }
        memory.arena.zero(memory.privateRange.part(at: 0, length: ByteCount(sectorBytes)))
        let isDestructive = Variant.bug == .recoveryDestroys && sequence > 4
        submit(.write, sector: isDestructive ? lastRecord : tail, sectors: 1)
        work = .clearing
    }

    // MARK: Memory

    private func payloadRange(_ count: Int) -> ArenaRange {
        memory.privateRange.part(at: sectorBytes, length: ByteCount(count))
    }

    private func load(_ offset: UInt64) -> UInt64 {
        memory.arena.loadWord(memory.privateRange.start.advanced(by: offset))
    }

    private func store(_ word: UInt64, _ offset: UInt64) {
        memory.arena.storeWord(word, at: memory.privateRange.start.advanced(by: offset))
    }

    private func submit(_ action: DeviceAction, sector: UInt64, sectors: UInt64) {
        device.submit(
            DeviceOperation(
                action: action, drive: DriveIndex(0), offset: ByteOffset(sector * sectorBytes),
                length: ByteCount(sectors * sectorBytes), memory: memory.privateRange.start,
                tag: OperationTag(sector)))
    }
}
