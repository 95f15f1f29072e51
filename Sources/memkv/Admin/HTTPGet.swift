// HTTPGet: one question to an admin endpoint, over HTTP, or over HTTPS where its certificate is
// known; libcurl speaks both.
//
// Always holds: no redirection is followed, no proxy is asked, and with a certificate's authority
// nothing is sent in the clear. Refuses answers above 16 MiB.
//
// One of the files that may say `unsafe`.

import CHTTP
import Client
import Foundation

/// An answer of the admin endpoint.
struct HTTPAnswer {
    let statusCode: Int
    let body: [UInt8]
}

/// By whose word an admin endpoint's certificate is believed.
enum AdminAuthority: Hashable {
    /// There is no certificate: plain HTTP.
    case none
    /// What the system believes.
    case system
    /// What a PEM file holds.
    case file(String)

    /// From `MEMKV_ADMIN_CA`.
    init(setting: String?) {
        switch setting ?? "" {
        case "": self = .none
        case "system": self = .system
        case let path: self = .file(path)
        }
    }
}

/// How admin endpoints are asked.
struct AdminAccess {
    let token: String?
    let authority: AdminAuthority

    /// Of a server of this program's own.
    static let plain = AdminAccess(token: nil, authority: .none)
}

enum HTTPGet {
    private static let answerLimitBytes = 16 << 20

    static func perform(
        _ path: String, on server: ServerAddress, by access: AdminAccess, deadline: MonotonicTime
    ) throws(CommandFailure) -> HTTPAnswer {
        let left = deadline.microseconds(since: BlockingClient.now) / 1000
        guard left > 0 else { throw failure(memkv_http_timed_out, "", server, access) }
        let scheme = access.authority == .none ? "http" : "https"
        var answer = unsafe memkv_http_answer()
        let result = unsafe withCStrings(
            "\(scheme)://\(server)\(path)", access.token.map { "Authorization: Bearer \($0)" },
            access.authority.path
        ) { url, authorization, authorities in
            var request = unsafe memkv_http_request(
                url: url, authorization: authorization, authorities: authorities,
                timeout_milliseconds: Int(left), limit_bytes: answerLimitBytes)
            return unsafe memkv_http_get(&request, &answer)
        }
        guard result == memkv_http_done else {
            let problem = unsafe withUnsafeBytes(of: &answer.problem) {
                unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            throw failure(result, problem, server, access)
        }
        defer { unsafe free(answer.body) }
        return HTTPAnswer(
            statusCode: unsafe answer.status_code,
            body: unsafe Array(
                UnsafeBufferPointer(start: answer.body, count: answer.body_bytes)))
    }

    private static func withCStrings<Result>(
        _ one: String, _ two: String?, _ three: String?,
        _ body: (UnsafePointer<CChar>, UnsafePointer<CChar>?, UnsafePointer<CChar>?) -> Result
    ) -> Result {
        unsafe one.withCString { one in
            unsafe withCString(two) { two in
                unsafe withCString(three) { three in unsafe body(one, two, three) }
            }
        }
    }

    private static func withCString<Result>(
        _ text: String?, _ body: (UnsafePointer<CChar>?) -> Result
    ) -> Result {
        guard let text else { return body(nil) }
        return unsafe text.withCString { unsafe body($0) }
    }

    private static func failure(
        _ result: memkv_http_result, _ problem: String, _ server: ServerAddress,
        _ access: AdminAccess
    ) -> CommandFailure {
        switch result {
        case memkv_http_host_unknown:
            CommandFailure(ConnectError.unknownHost(problem), server: server)
        case memkv_http_refused:
            CommandFailure(ConnectError.refused, server: server)
        case memkv_http_not_connected:
            CommandFailure(ConnectError.unreachable(problem), server: server)
        case memkv_http_timed_out:
            CommandFailure(.unreachable, "\(server) didn't answer in time")
        case memkv_http_not_http:
            CommandFailure(
                .unreachable, "\(server): its answer is not HTTP; is this the admin port?")
        case memkv_http_too_long:
            CommandFailure(
                .unreachable, "\(server): its answer is longer than \(answerLimitBytes) bytes")
        case memkv_http_not_trusted:
            CommandFailure(
                .refused,
                "\(server): its certificate isn't believed (\(problem)); "
                    + "name the PEM file with its authority in MEMKV_ADMIN_CA")
        case memkv_http_no_authorities:
            CommandFailure(
                .usage,
                "MEMKV_ADMIN_CA: \(access.authority.path ?? "system") can't be used (\(problem)); "
                    + "name a PEM file with certificates, or 'system'")
        default:
            CommandFailure(
                .unreachable,
                "\(server): \(problem)"
                    + (access.authority == .none
                        ? "; if its admin endpoint has a certificate, name its authority's PEM "
                            + "file in MEMKV_ADMIN_CA"
                        : "; does its admin endpoint have a certificate? Without one, leave "
                            + "MEMKV_ADMIN_CA out"))
        }
    }
}

extension AdminAuthority {
    /// The file to believe; nil without one.
    fileprivate var path: String? {
        if case .file(let path) = self { path } else { nil }
    }
}
