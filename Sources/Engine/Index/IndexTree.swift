// IndexTree: the upper levels of a drive's B+tree, whole in memory: inner nodes, and their order
// (the root).
//
// A tree of three levels: the root, as many pages as it takes; inner pages of up to 51 children;
// leaves. Always holds: separators ascend; a child's separator is not above any key of its leaf,
// the first child takes everything below it; no node is empty; a node changed since the last
// checkpoint is marked, and is written to a new page by the next one (copy on write, Rodeh, ACM TOS
// 3(4), 2008).
//
//   inner item  320 bytes: words 0–3 separator, word 4 namespace u32 and items u32,
//               word 5 page u32, word 6 checksum, word 7 generation, words 8–39 presence filter
//   root item   the same first 64 bytes, for an inner page

import Wire

/// A leaf as its parent knows it.
struct IndexChild: Sendable {
    var separator = BlockKey.lowest
    var pointer = PagePointer()
    var generation: UInt64 = 0
    var filter = PresenceFilter()
    /// It couldn't be read: it counts as empty, and the next fold replaces it.
    var isCondemned = false
}

/// Where a leaf's pointer stands: node by its place in order, child by its place in the node.
struct LeafPosition: Hashable, Sendable {
    var node: Int
    var child: Int

    static let first = LeafPosition(node: 0, child: 0)
}

/// One drive's inner nodes.
struct IndexTree: ~Copyable {
    static let childLimit = 51
    static let childBytes: UInt64 = 320
    static let rootItemBytes: UInt64 = 64
    static let rootItemLimit = 255

    struct Node: Sendable {
        var count = 0
        var isChanged = false
        /// Its page in the last checkpoint.
        var stored: PagePointer?
        var generation: UInt64 = 0
    }

    private var children: FixedArray<IndexChild>
    private var nodes: FixedArray<Node>
    private var order: FixedArray<UInt32>
    private var free: RingQueue<UInt32>
    private(set) var nodeCount = 0
    private(set) var leafCount = 0
    /// Entry cells in all leaves: blocks that the tree knows.
    private(set) var blockCount: UInt64 = 0

    init(nodeLimit: Int) {
        children = FixedArray(count: nodeLimit * Self.childLimit, repeating: IndexChild())
        nodes = FixedArray(count: nodeLimit, repeating: Node())
        order = FixedArray(count: nodeLimit, repeating: 0)
        free = RingQueue(capacity: nodeLimit)
        for node in 0..<nodeLimit { free.append(UInt32(node)) }
    }

    var isEmpty: Bool { nodeCount == 0 }

    // MARK: Reading

    func node(at place: Int) -> Node {
        precondition(place < nodeCount, "inner node \(place) of \(nodeCount)")
        return nodes[Int(order[place])]
    }

    func child(_ position: LeafPosition) -> IndexChild {
        children[index(position)]
    }

    /// Whether the leaf at `position` may hold a key of this hash, asked of the filter in its
    /// place.
    func mayContain(hash: UInt64, at position: LeafPosition) -> Bool {
        children[index(position)].filter.mayContain(hash: hash)
    }

    func page(at position: LeafPosition) -> PageIndex { children[index(position)].pointer.page }

    private func index(_ position: LeafPosition) -> Int {
        precondition(position.node < nodeCount, "inner node \(position.node) of \(nodeCount)")
        let node = Int(order[position.node])
        precondition(
            position.child >= 0 && position.child < nodes[node].count,
            "child \(position.child) of \(nodes[node].count)")
        return node * Self.childLimit + position.child
    }

    private func firstSeparator(_ place: Int) -> BlockKey {
        children[Int(order[place]) * Self.childLimit].separator
    }

    /// The leaf whose range holds `key`; nil in an empty tree.
    func locate(_ key: BlockKey) -> LeafPosition? {
        if nodeCount == 0 { return nil }
        var low = 0
        var high = nodeCount - 1
        while low < high {
            let middle = (low + high + 1) / 2
            if key < firstSeparator(middle) { high = middle - 1 } else { low = middle }
        }
        let base = Int(order[low]) * Self.childLimit
        var first = 0
        var last = nodes[Int(order[low])].count - 1
        while first < last {
            let middle = (first + last + 1) / 2
            if key < children[base + middle].separator { last = middle - 1 } else { first = middle }
        }
        return LeafPosition(node: low, child: first)
    }

    /// The leaf behind `position`, nil behind the last.
    func next(after position: LeafPosition) -> LeafPosition? {
        if position.child + 1 < node(at: position.node).count {
            return LeafPosition(node: position.node, child: position.child + 1)
        }
        return position.node + 1 < nodeCount ? LeafPosition(node: position.node + 1, child: 0) : nil
    }

    /// Smallest separator behind `position`: the end of its leaf's range; nil for the last.
    func upperBound(of position: LeafPosition) -> BlockKey? {
        next(after: position).map { child($0).separator }
    }

    // MARK: Changing

    /// Replaces `consumed` leaves of one node, from `position` on, by the first `count` of
    /// `emitted`.
    mutating func replace(
        _ position: LeafPosition, consumed: Int, with emitted: borrowing FixedArray<IndexChild>,
        count: Int
    ) {
        let kept = min(consumed, count)
        for offset in 0..<kept {
            let place = index(LeafPosition(node: position.node, child: position.child + offset))
            leave(children[place])
            children[place] = emitted[offset]
            enter(emitted[offset])
        }
        nodes[Int(order[position.node])].isChanged = true
        if consumed > kept {
            remove(
                LeafPosition(node: position.node, child: position.child + kept),
                count: consumed - kept)
        }
        var place = LeafPosition(node: position.node, child: position.child + kept)
        for offset in kept..<count {
            insert(emitted[offset], at: &place)
            place.child += 1
        }
    }

    /// Hangs the first leaves into an empty tree.
    mutating func insertFirst(_ emitted: borrowing FixedArray<IndexChild>, count: Int) {
        precondition(nodeCount == 0, "first leaves in a tree that has leaves")
        addNode(at: 0)
        var place = LeafPosition(node: 0, child: 0)
        for index in 0..<count {
            insert(emitted[index], at: &place)
            place.child += 1
        }
    }

    /// The leaf can't be read: its filter is emptied, so that its keys are absent without another
    /// try.
    mutating func condemn(_ position: LeafPosition) {
        children[index(position)].filter = PresenceFilter()
        children[index(position)].isCondemned = true
    }

    /// The inner node at `place` is written anew by the next checkpoint, changed or not.
    mutating func rewrite(_ place: Int) {
        precondition(place < nodeCount, "inner node \(place) of \(nodeCount)")
        nodes[Int(order[place])].isChanged = true
    }

    private mutating func enter(_ child: IndexChild) {
        leafCount += 1
        blockCount += UInt64(child.pointer.items)
    }

    private mutating func leave(_ child: IndexChild) {
        leafCount -= 1
        blockCount -= UInt64(child.pointer.items)
    }

    private mutating func remove(_ position: LeafPosition, count: Int) {
        let node = Int(order[position.node])
        let base = node * Self.childLimit
        for offset in 0..<count { leave(children[base + position.child + offset]) }
        children.move(
            from: base + position.child + count, to: base + position.child,
            length: nodes[node].count - position.child - count)
        nodes[node].count -= count
        nodes[node].isChanged = true
    }

    private mutating func insert(_ child: IndexChild, at position: inout LeafPosition) {
        if nodes[Int(order[position.node])].count == Self.childLimit { split(&position) }
        let node = Int(order[position.node])
        let base = node * Self.childLimit
        children.move(
            from: base + position.child, to: base + position.child + 1,
            length: nodes[node].count - position.child)
        children[base + position.child] = child
        nodes[node].count += 1
        nodes[node].isChanged = true
        enter(child)
    }

    private mutating func split(_ position: inout LeafPosition) {
        let half = Self.childLimit / 2
        addNode(at: position.node + 1)
        let left = Int(order[position.node])
        let right = Int(order[position.node + 1])
        for child in half..<Self.childLimit {
            children[right * Self.childLimit + child - half] =
                children[left * Self.childLimit + child]
        }
        nodes[right].count = Self.childLimit - half
        nodes[left].count = half
        nodes[left].isChanged = true
        if position.child > half {
            position = LeafPosition(node: position.node + 1, child: position.child - half)
        }
    }

    private mutating func addNode(at place: Int) {
        guard let node = free.popFirst() else { preconditionFailure("no free inner node") }
        order.move(from: place, to: place + 1, length: nodeCount - place)
        order[place] = node
        nodes[Int(node)] = Node(isChanged: true)
        nodeCount += 1
    }

    /// A node that tidying has dropped, and the page that it leaves behind.
    struct Orphan {
        var page: PageIndex?
    }

    /// Drops the first empty node, or joins the first two small neighbours; nil when all is tidy.
    mutating func tidyOne() -> Orphan? {
        for place in 0..<nodeCount {
            let node = Int(order[place])
            if nodes[node].count == 0 { return dropNode(at: place) }
            guard place + 1 < nodeCount else { continue }
            let following = Int(order[place + 1])
            let joined = nodes[node].count + nodes[following].count
            let isSmall = min(nodes[node].count, nodes[following].count) < Self.childLimit / 4
            guard isSmall, joined <= Self.childLimit * 3 / 4 else { continue }
            for child in 0..<nodes[following].count {
                children[node * Self.childLimit + nodes[node].count + child] =
                    children[following * Self.childLimit + child]
            }
            nodes[node].count = joined
            nodes[node].isChanged = true
            return dropNode(at: place + 1)
        }
        return nil
    }

    func isNodeEmpty(_ place: Int) -> Bool { place < nodeCount && node(at: place).count == 0 }

    private mutating func dropNode(at place: Int) -> Orphan {
        let node = order[place]
        let orphan = Orphan(page: nodes[Int(node)].stored?.page)
        order.move(from: place + 1, to: place, length: nodeCount - place - 1)
        nodeCount -= 1
        nodes[Int(node)] = Node()
        free.append(node)
        return orphan
    }

    mutating func removeAll() {
        while nodeCount > 0 { _ = dropNode(at: nodeCount - 1) }
        leafCount = 0
        blockCount = 0
    }

    // MARK: Pages

    /// Writes node `place` as an inner page; its pointer, once `page` is known to hold it.
    mutating func store(
        _ place: Int, to page: PageIndex, generation: UInt64, driveIDLow: UInt64, arena: Arena,
        at memory: ArenaOffset
    ) {
        let node = Int(order[place])
        arena.zero(IndexPageHeader.range(at: memory))
        for child in 0..<nodes[node].count {
            let value = children[node * Self.childLimit + child]
            let item = IndexPageHeader.item(child, bytes: Self.childBytes, in: memory)
            Self.storeItem(
                separator: value.separator, pointer: value.pointer, generation: value.generation,
                arena: arena, at: item)
            for word in 0..<PresenceFilter.wordCount {
                arena.storeWord(
                    value.filter.words[word], at: item.advanced(by: 64 + UInt64(word) * 8))
            }
        }
        let header = IndexPageHeader(
            kind: .inner, items: nodes[node].count, driveIDLow: driveIDLow,
            generation: generation, page: page)
        let checksum = header.seal(arena, at: memory)
        nodes[node].stored = PagePointer(
            page: page, items: UInt32(nodes[node].count), checksum: checksum)
        nodes[node].generation = generation
        nodes[node].isChanged = false
    }

    /// Writes root items for nodes `places` and gives the sealed page's pointer.
    func storeRoot(
        _ places: Range<Int>, to page: PageIndex, generation: UInt64, driveIDLow: UInt64,
        arena: Arena, at memory: ArenaOffset
    ) -> PagePointer {
        arena.zero(IndexPageHeader.range(at: memory))
        for place in places {
            guard let stored = node(at: place).stored else {
                preconditionFailure("a root item for an inner page that isn't stored")
            }
            Self.storeItem(
                separator: firstSeparator(place), pointer: stored,
                generation: node(at: place).generation, arena: arena,
                at: IndexPageHeader.item(
                    place - places.lowerBound, bytes: Self.rootItemBytes, in: memory))
        }
        let header = IndexPageHeader(
            kind: .root, items: places.count, driveIDLow: driveIDLow, generation: generation,
            page: page)
        let checksum = header.seal(arena, at: memory)
        return PagePointer(page: page, items: UInt32(places.count), checksum: checksum)
    }

    /// Adds an inner node known from a root item, its children still to be loaded; nil when it
    /// can't be one.
    mutating func addStored(_ arena: Arena, rootPage: ArenaOffset, item: Int) -> Bool {
        let (_, pointer, generation) = Self.loadItem(
            arena, at: IndexPageHeader.item(item, bytes: Self.rootItemBytes, in: rootPage))
        guard pointer.items > 0, pointer.items <= UInt32(Self.childLimit), !free.isEmpty else {
            return false
        }
        addNode(at: nodeCount)
        let node = Int(order[nodeCount - 1])
        nodes[node] = Node(count: 0, isChanged: false, stored: pointer, generation: generation)
        return true
    }

    /// Fills the node at `place` from its inner page; false when an item can't be a child.
    mutating func load(_ place: Int, _ arena: Arena, from memory: ArenaOffset) -> Bool {
        let node = Int(order[place])
        guard let stored = nodes[node].stored else { return false }
        nodes[node].count = Int(stored.items)
        for child in 0..<Int(stored.items) {
            let item = IndexPageHeader.item(child, bytes: Self.childBytes, in: memory)
            let (separator, pointer, generation) = Self.loadItem(arena, at: item)
            guard pointer.items <= UInt32(LeafPage.cellCapacity) else { return false }
            var value = IndexChild(separator: separator, pointer: pointer, generation: generation)
            for word in 0..<PresenceFilter.wordCount {
                value.filter.words[word] = arena.loadWord(
                    item.advanced(by: 64 + UInt64(word) * 8))
            }
            children[node * Self.childLimit + child] = value
            enter(value)
        }
        return true
    }

    private static func storeItem(
        separator: BlockKey, pointer: PagePointer, generation: UInt64, arena: Arena,
        at item: ArenaOffset
    ) {
        arena.storeKey(separator, at: item)
        arena.storeWord(
            UInt64(separator.namespace.rawValue) | UInt64(pointer.items) << 32,
            at: item.advanced(by: 32))
        arena.storeWord(UInt64(pointer.page.rawValue), at: item.advanced(by: 40))
        arena.storeWord(pointer.checksum, at: item.advanced(by: 48))
        arena.storeWord(generation, at: item.advanced(by: 56))
    }

    /// What an item of an inner or root page says.
    static func loadItem(
        _ arena: Arena, at item: ArenaOffset
    ) -> (separator: BlockKey, pointer: PagePointer, generation: UInt64) {
        let packed = arena.loadWord(item.advanced(by: 32))
        let separator = arena.loadKey(
            item, namespace: Namespace(UInt32(truncatingIfNeeded: packed)))
        let pointer = PagePointer(
            page: PageIndex(UInt32(truncatingIfNeeded: arena.loadWord(item.advanced(by: 40)))),
            items: UInt32(truncatingIfNeeded: packed >> 32),
            checksum: arena.loadWord(item.advanced(by: 48)))
        return (separator, pointer, arena.loadWord(item.advanced(by: 56)))
    }
}
