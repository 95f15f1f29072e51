// ConfigurationError: one refusal of a setting, in one line that says where, which key, and what to
// do.
//
// Always holds: the first refusal found is the one reported; nothing is started after it.

/// Where a setting came from.
package enum Origin: Hashable, Sendable {
    /// A line of a YAML document, counted from 1.
    case line(Int, file: String)
    /// An environment variable, by its name.
    case variable(String)
    /// A flag, by its name with its dashes.
    case flag(String)
    /// Nobody said anything: the value is the built-in one.
    case standard
}

/// A value and where it came from, so that a later check can still name the line.
package struct Setting<Value: Sendable>: Sendable {
    package let value: Value
    /// The dotted path of the key, such as `storage.block_size`.
    package let key: String
    package let origin: Origin

    package init(_ value: Value, key: String, origin: Origin) {
        self.value = value
        self.key = key
        self.origin = origin
    }

    /// A refusal of this setting.
    package func refused(_ problem: String) -> ConfigurationError {
        ConfigurationError(origin: origin, key: key, problem: problem)
    }
}

extension Setting: Equatable where Value: Equatable {}

/// Why a configuration can't be used.
package struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    package let origin: Origin
    /// The dotted path of the key; empty when the document as a whole is meant.
    package let key: String
    /// What is wrong and what would be right.
    package let problem: String

    package init(origin: Origin, key: String, problem: String) {
        self.origin = origin
        self.key = key
        self.problem = problem
    }

    /// `memkvd.yaml:7: storage.blok_size: unknown key; did you mean storage.block_size?`
    package var description: String {
        let named = key.isEmpty ? problem : "\(key): \(problem)"
        return switch origin {
        case .line(let line, let file): "\(file):\(line): \(named)"
        case .variable(let name): "\(name): \(problem)"
        case .flag(let name): "\(name): \(problem)"
        case .standard: named
        }
    }
}
