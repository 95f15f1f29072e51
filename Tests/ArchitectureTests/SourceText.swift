// SourceText: Swift source as the rules look at it: its lines, and its code without comments and
// text.
//
// Always holds: the stripped code has the same line breaks as the source, so that a line number
// found in it is the source's. What stands inside a text's interpolation counts as text.

/// One Swift file.
struct SourceText {
    /// Its path from the package's root.
    let path: String
    let text: String
    /// The text with every comment and every literal text blanked out, as characters.
    let code: [Character]

    init(path: String, text: String) {
        self.path = path
        self.text = text
        code = Self.stripped(text)
    }

    /// A word of the code: where it starts and on which line it stands, from 1.
    struct Word {
        let text: String
        let start: Int
        let line: Int
        /// The character before it that isn't a space, if any.
        let before: Character?
    }

    /// The code's identifiers and keywords in order.
    var words: [Word] {
        var words: [Word] = []
        var line = 1
        var position = 0
        var before: Character?
        while position < code.count {
            let character = code[position]
            if character.isLetter || character == "_" {
                let start = position
                while position < code.count,
                    code[position].isLetter || code[position].isNumber || code[position] == "_"
                {
                    position += 1
                }
                let text = String(code[start..<position])
                words.append(Word(text: text, start: start, line: line, before: before))
                before = code[position - 1]
                continue
            }
            if character == "\n" { line += 1 }
            if !character.isWhitespace { before = character }
            position += 1
        }
        return words
    }

    // MARK: Stripping

    private static func stripped(_ text: String) -> [Character] {
        let source = Array(text)
        var output: [Character] = []
        var position = 0
        while position < source.count {
            let end: Int
            if starts(source, position, "//") {
                end = source[position...].firstIndex(of: "\n") ?? source.count
            } else if starts(source, position, "/*") {
                end = endOfComment(source, position)
            } else if let opening = openingOfText(source, position) {
                end = endOfText(source, position, opening)
            } else {
                output.append(source[position])
                position += 1
                continue
            }
            // A literal leaves a mark, so that the words around it don't grow together.
            output.append(" ")
            output += source[position..<end].filter { $0 == "\n" }
            position = end
        }
        return output
    }

    private static func starts(_ source: [Character], _ position: Int, _ text: String) -> Bool {
        source[position...].starts(with: Array(text))
    }

    private static func endOfComment(_ source: [Character], _ start: Int) -> Int {
        var depth = 0
        var position = start
        while position < source.count {
            if starts(source, position, "/*") {
                depth += 1
                position += 2
            } else if starts(source, position, "*/") {
                depth -= 1
                position += 2
                if depth == 0 { return position }
            } else {
                position += 1
            }
        }
        return source.count
    }

    /// The number signs and quotes that open a literal at `position`, if one begins there.
    private static func openingOfText(
        _ source: [Character], _ position: Int
    ) -> (signs: Int, quotes: Int)? {
        let signs = source[position...].prefix { $0 == "#" }.count
        guard position + signs < source.count, source[position + signs] == "\"" else { return nil }
        return (signs, starts(source, position + signs, "\"\"\"") ? 3 : 1)
    }

    private static func endOfText(
        _ source: [Character], _ start: Int, _ opening: (signs: Int, quotes: Int)
    ) -> Int {
        let closing =
            String(repeating: "\"", count: opening.quotes)
            + String(repeating: "#", count: opening.signs)
        let escape = "\\" + String(repeating: "#", count: opening.signs)
        var position = start + opening.signs + opening.quotes
        while position < source.count {
            if starts(source, position, escape) {
                position += escape.count + 1
            } else if starts(source, position, closing) {
                return position + closing.count
            } else {
                position += 1
            }
        }
        return source.count
    }
}
