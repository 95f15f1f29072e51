// Output: lines on standard output, each there when it is printed, whatever it is piped into.

internal import Foundation

enum Output {
    static func say(_ line: String) {
        print(line)
        fflush(nil)
    }
}
