// DocumentSection: one mapping of a YAML document, read by key, each value with its line.
//
// Always holds: a section knows only the keys of its schema; opening it has refused every other
// one. Refuses, naming file, line and dotted key: unknown and repeated keys, keys that are planned
// but not built, a value of another kind than the one asked for, and text that isn't YAML.

private import Yams

/// The keys that a section may hold.
package struct SectionSchema: Sendable {
    package let keys: [String]
    /// Keys that users of this kind of system know and this version doesn't build: refused as such,
    /// so that nobody believes that they took effect.
    package let notBuilt: [String]

    package init(keys: [String], notBuilt: [String] = []) {
        self.keys = keys
        self.notBuilt = notBuilt
    }
}

/// A mapping inside a document, or the document itself.
package struct DocumentSection {
    private let entries: [String: (node: Node, line: Int)]
    private let file: String
    /// The dotted path to this section; empty for the document.
    package let path: String
    /// The line on which it begins.
    package let origin: Origin

    /// Reads a whole document. `file` is the name by which messages call it. An empty document is a
    /// section without keys.
    package init(
        document text: String, file: String, schema: SectionSchema
    ) throws(ConfigurationError) {
        let root: Node?
        do {
            root = try compose(yaml: text, .basic)
        } catch {
            throw Self.refusal(of: error, file: file)
        }
        try self.init(
            node: root ?? Node.mapping(.init([])), path: "", line: 1, file: file, schema: schema)
    }

    private init(
        node: Node, path: String, line: Int, file: String, schema: SectionSchema
    ) throws(ConfigurationError) {
        guard let mapping = node.mapping else {
            throw ConfigurationError(
                origin: .line(line, file: file), key: path,
                problem: "expected keys with values here; remove it or give it some of: "
                    + schema.keys.joined(separator: ", "))
        }
        var entries: [String: (node: Node, line: Int)] = [:]
        for (key, value) in mapping {
            let line = key.mark?.line ?? line
            let name = key.scalar?.string ?? "?"
            try Self.check(name, schema: schema, path: path, origin: .line(line, file: file))
            entries[name] = (value, line)
        }
        self.entries = entries
        self.file = file
        self.path = path
        self.origin = .line(line, file: file)
    }

    private static func check(
        _ name: String, schema: SectionSchema, path: String, origin: Origin
    ) throws(ConfigurationError) {
        if schema.keys.contains(name) { return }
        var problem = "unknown key; "
        if schema.notBuilt.contains(name) {
            problem = "not built in this version; remove the key"
        } else if let nearest = NearestName.of(name, among: schema.keys) {
            problem += "did you mean \(join(path, nearest))?"
        } else {
            problem += "known here: " + schema.keys.joined(separator: ", ")
        }
        throw ConfigurationError(origin: origin, key: join(path, name), problem: problem)
    }

    private static func join(_ path: String, _ key: String) -> String {
        path.isEmpty ? key : "\(path).\(key)"
    }

    private static func refusal(of error: any Error, file: String) -> ConfigurationError {
        var line = 1
        var problem = "\(error)"
        switch error as? YamlError {
        case .scanner(_, let text, let mark, _), .parser(_, let text, let mark, _),
            .composer(_, let text, let mark, _):
            line = mark.line
            problem = text
        case .duplicatedKeysInMapping(let keys, let context):
            return ConfigurationError(
                origin: .line(context.mark.line, file: file), key: keys[0],
                problem: "given more than once; keep one of them")
        case .reader(let text, let offset, _, let yaml):
            line += yaml.utf8.prefix(offset ?? 0).count { $0 == UInt8(ascii: "\n") }
            problem = text
        default: break
        }
        return ConfigurationError(
            origin: .line(line, file: file), key: "", problem: "not valid YAML: \(problem)")
    }

    // MARK: Values

    /// Whether there is anything under `key`.
    package func has(_ key: String) -> Bool { entries[key] != nil }

    /// Whether what is under `key` has keys of its own.
    package func isSection(_ key: String) -> Bool { entries[key]?.node.mapping != nil }

    /// The mapping under `key`; nil when it isn't there.
    package func section(
        _ key: String, schema: SectionSchema
    ) throws(ConfigurationError) -> DocumentSection? {
        guard let (node, line) = entries[key] else { return nil }
        return try DocumentSection(
            node: node, path: Self.join(path, key), line: line, file: file, schema: schema)
    }

    /// The list of mappings under `key`; nil when it isn't there.
    package func sections(
        _ key: String, schema: SectionSchema
    ) throws(ConfigurationError) -> [DocumentSection]? {
        guard let (node, line) = entries[key] else { return nil }
        guard let sequence = node.sequence else {
            throw refused(key, line, "expected a list, one entry after each dash")
        }
        var sections: [DocumentSection] = []
        for (index, element) in sequence.enumerated() {
            sections.append(
                try DocumentSection(
                    node: element, path: "\(Self.join(path, key))[\(index)]",
                    line: element.mark?.line ?? line, file: file, schema: schema))
        }
        return sections
    }

    /// An entry of a list that may hold single values and mappings.
    package enum Item {
        case text(Setting<String>)
        case section(DocumentSection)
    }

    /// The list of single values and mappings under `key`; nil when it isn't there.
    package func items(
        _ key: String, schema: SectionSchema
    ) throws(ConfigurationError) -> [Item]? {
        guard let (node, line) = entries[key] else { return nil }
        guard let sequence = node.sequence else {
            throw refused(key, line, "expected a list, one entry after each dash")
        }
        var items: [Item] = []
        for (index, element) in sequence.enumerated() {
            let name = "\(key)[\(index)]"
            let place = element.mark?.line ?? line
            if element.scalar != nil {
                items.append(.text(try text(of: element, name, place)))
            } else {
                items.append(
                    .section(
                        try DocumentSection(
                            node: element, path: Self.join(path, name), line: place, file: file,
                            schema: schema)))
            }
        }
        return items
    }

    /// The list of single values under `key`, which isn't empty; nil when it isn't there.
    package func texts(_ key: String) throws(ConfigurationError) -> [Setting<String>]? {
        guard let (node, line) = entries[key] else { return nil }
        guard let sequence = node.sequence, !sequence.isEmpty else {
            throw refused(key, line, "expected a list with at least one entry, such as [1, 2]")
        }
        var texts: [Setting<String>] = []
        for (index, element) in sequence.enumerated() {
            texts.append(
                try text(of: element, "\(key)[\(index)]", element.mark?.line ?? line))
        }
        return texts
    }

    /// The text under `key`, not empty; nil when the key isn't there.
    package func text(_ key: String) throws(ConfigurationError) -> Setting<String>? {
        guard let (node, line) = entries[key] else { return nil }
        return try text(of: node, key, line)
    }

    private func text(
        of node: Node, _ key: String, _ line: Int
    ) throws(ConfigurationError) -> Setting<String> {
        guard let text = node.scalar?.string else {
            throw refused(key, line, "expected one value, found a list or keys of its own")
        }
        if text.isEmpty { throw refused(key, line, "has no value; give it one or remove the key") }
        return Setting(text, key: Self.join(path, key), origin: .line(line, file: file))
    }

    /// The length of time under `key`, in microseconds.
    package func microseconds(
        _ key: String, in range: ClosedRange<UInt64>
    ) throws(ConfigurationError) -> Setting<UInt64>? {
        guard let text = try text(key) else { return nil }
        guard let value = TimeSpan.parse(text.value) else {
            throw text.refused(
                "\"\(text.value)\" is not a length of time; write a whole number and ms, s, min or "
                    + "h, such as \"10 s\"")
        }
        guard range.contains(value) else {
            throw text.refused(
                "\(text.value) must lie between "
                    + "\(TimeSpan.format(microseconds: range.lowerBound)) and "
                    + TimeSpan.format(microseconds: range.upperBound))
        }
        return Setting(value, key: text.key, origin: text.origin)
    }

    /// The switch under `key`.
    package func flag(_ key: String) throws(ConfigurationError) -> Setting<Bool>? {
        guard let text = try text(key) else { return nil }
        guard let value = Bool(text.value) else {
            throw text.refused("\"\(text.value)\" is neither true nor false")
        }
        return Setting(value, key: text.key, origin: text.origin)
    }

    /// The whole number under `key`.
    package func number(
        _ key: String, in range: ClosedRange<Int>
    ) throws(ConfigurationError) -> Setting<Int>? {
        guard let text = try text(key) else { return nil }
        guard let value = Int(text.value), range.contains(value) else {
            throw text.refused(
                "\"\(text.value)\" is not a whole number from \(range.lowerBound) to "
                    + "\(range.upperBound)")
        }
        return Setting(value, key: text.key, origin: text.origin)
    }

    /// The word under `key`, one of `words`.
    package func word(
        _ key: String, among words: [String]
    ) throws(ConfigurationError) -> Setting<String>? {
        guard let text = try text(key) else { return nil }
        guard words.contains(text.value) else {
            throw text.refused(
                "\"\(text.value)\" is not one of " + words.joined(separator: ", "))
        }
        return text
    }

    /// A refusal of what is missing here.
    package func missing(_ key: String, _ problem: String) -> ConfigurationError {
        ConfigurationError(origin: origin, key: Self.join(path, key), problem: problem)
    }

    private func refused(_ key: String, _ line: Int, _ problem: String) -> ConfigurationError {
        ConfigurationError(
            origin: .line(line, file: file), key: Self.join(path, key), problem: problem)
    }
}
