// KeyInput: the key that a measurement's server asks for. It comes by standard input, because a
// command line can be read by everybody.

#if IOUring

import ArgumentParser
import Wire

struct KeyInput: ParsableArguments {
    @Flag(help: "Read the server's key, 64 hex digits, from standard input.")
    var keyFromInput = false

    /// Nil for a server that asks for none.
    func key() throws -> AuthenticationKey? {
        guard keyFromInput else { return nil }
        guard let line = readLine(), let key = AuthenticationKey(hexadecimal: line) else {
            throw BenchmarkFailure("standard input doesn't begin with a key of 64 hex digits")
        }
        return key
    }
}

#endif
