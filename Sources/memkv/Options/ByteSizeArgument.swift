// Sizes as arguments: the same spelling as in a configuration file.

import ArgumentParser
import Settings

extension ByteSize: ExpressibleByArgument {
    package init?(argument: String) { self.init(parsing: argument) }

    package var defaultValueDescription: String { exact }
}
