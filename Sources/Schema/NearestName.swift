// NearestName: the name that was probably meant, for "did you mean".

/// Finds the nearest of several names by edit distance.
package enum NearestName {
    /// The name closest to `word`; nil when none is near enough to be a slip of the fingers: more
    /// than a third of the letters differ.
    package static func of(_ word: String, among names: [String]) -> String? {
        let measured = names.map { (name: $0, distance: distance(Array(word), Array($0))) }
        guard let best = measured.min(by: { $0.distance < $1.distance }) else { return nil }
        return best.distance * 3 <= max(word.count, 3) ? best.name : nil
    }

    /// Levenshtein's distance: insertions, deletions and replacements from one word to the other.
    static func distance(_ left: [Character], _ right: [Character]) -> Int {
        var row = Array(0...right.count)
        for (i, letter) in left.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, other) in right.enumerated() {
                let replaced = diagonal + (letter == other ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(replaced, row[j] + 1, diagonal + 1)
            }
        }
        return row[right.count]
    }
}
