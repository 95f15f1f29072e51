// Docs/configuration.md against the schema: every key is described, and the example is one that
// works.

import Engine
import Foundation
import Testing

@testable import Settings

@Suite struct DocumentationTests {
    private static func page() throws -> String {
        let root = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        return try String(
            contentsOf: root.appending(path: "Docs/configuration.md"), encoding: .utf8)
    }

    @Test func everyKeyIsDescribed() throws {
        let page = try Self.page()
        let sections = ["network.limits", "storage.drives", "storage.eviction", "storage.scrub"]
        for key in ServerDocument.allKeys where !sections.contains(key) {
            #expect(page.contains("| `\(key)` |"), "\(key) isn't in the table")
        }
        for key in ServerDocument.allKeysNotBuilt {
            #expect(page.contains("`\(key)`"), "\(key) isn't listed as not built")
        }
        for variable in ServerInvocation.variableNames {
            #expect(page.contains("`\(variable)`"), "\(variable) isn't described")
        }
    }

    @Test func theLimitsExampleShowsTheDefaults() throws {
        let page = try Self.page()
        let text = try #require(
            page.components(separatedBy: "```yaml\n").first { $0.contains("  limits:\n") })
        let example = try #require(text.components(separatedBy: "```").first)
        let document = try ServerDocument(text: example, file: "example.yaml")
        let invocation = try ServerInvocation(
            listenFlag: nil, dataFlag: "/x", configFlag: nil, environment: [:])
        let settings = try ServerSettings(invocation: invocation, document: document)
        #expect(settings.limits == SessionLimits())
    }

    @Test func theExampleIsAccepted() throws {
        let page = try Self.page()
        let example = try #require(page.components(separatedBy: "```yaml\n").dropFirst().first)
        let text = try #require(example.components(separatedBy: "```").first)
        let document = try ServerDocument(text: text, file: "example.yaml")
        let invocation = try ServerInvocation(
            listenFlag: nil, dataFlag: nil, configFlag: nil, environment: [:])
        let settings = try ServerSettings(invocation: invocation, document: document)
        // It shows the defaults, so leaving a line out changes nothing.
        #expect(settings.listen == .standard)
        #expect(settings.slabBytes == ServerSettings.standardSlabBytes)
        #expect(settings.poolBytes == ServerSettings.standardPoolBytes)
        #expect(settings.engine.blockSizeBytes == 4 << 20)
        #expect(settings.engine.minimumSlotBytes == 64 << 10)
        #expect(settings.engine.evictionWatermarkPercent == 95)
        #expect(
            settings.engine.scrubBytesPerSecond == ServerSettings.standardScrubBytesPerSecond)
        #expect(
            settings.engine.scrubPauseMicroseconds == EngineConfiguration().scrubPauseMicroseconds)
    }
}
