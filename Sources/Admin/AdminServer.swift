// AdminServer: the admin endpoint's HTTP or HTTPS. The only file that knows Hummingbird.
//
// Always holds: it answers from an `AdminModel`, on a thread that is no shard's, and changes
// nothing. Refuses unknown paths with 404, other methods than GET and HEAD with 405, a path that
// asks for the token with 401, a body with 413.

private import Hummingbird
private import HummingbirdCore
private import HummingbirdTLS
package import Logging
private import NIOCore

/// Why the admin endpoint doesn't run.
package enum AdminServerError: Error, Hashable, Sendable {
    /// Somebody else has the port.
    case addressInUse
    /// Anything else, in the words of the system.
    case failed(String)
}

/// The admin endpoint.
package enum AdminServer {
    /// Serves `model` on `host`:`port` until the surrounding task is cancelled; then it returns.
    /// `listening` is called once, when connections are taken.
    package static func run(
        model: AdminModel, host: String, port: UInt16, security: AdminSecurity, logger: Logger,
        listening: @escaping @Sendable () -> Void
    ) async throws(AdminServerError) {
        let responder = CallbackResponder<BasicRequestContext> { request, _ in
            respond(to: request, model, security)
        }
        let server: HTTPServerBuilder
        do {
            server = try builder(security)
        } catch {
            throw .failed("\(error)")
        }
        let application = Application(
            responder: responder, server: server,
            configuration: .init(
                address: .hostname(host, port: Int(port)), serverName: nil),
            onServerRunning: { _ in listening() }, logger: logger)
        do {
            try await application.run()
        } catch is CancellationError {
            return
        } catch let error as IOError where error.errnoCode == addressInUse {
            throw .addressInUse
        } catch {
            throw .failed("\(error)")
        }
    }

    /// Connections at once.
    private static let connectionLimit = 256
    /// A connection that says nothing for so long is closed.
    private static let idleSeconds: Int64 = 30
    private static let headerLimitBytes = 16 << 10

    private static func builder(_ security: AdminSecurity) throws -> HTTPServerBuilder {
        let connections = AdminConnections(limit: connectionLimit)
        let plain = HTTPServerBuilder.http1(
            configuration: .init(
                additionalChannelHandlers: [connections.watch()],
                idleTimeout: .seconds(idleSeconds),
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: headerLimitBytes, maxHeaderListSize: headerLimitBytes,
                    maxHeaderFieldCount: 64)))
        guard let transport = security.transport else { return plain }
        return try .tls(plain, tlsConfiguration: transport.configuration)
    }

    private static func respond(
        to request: Request, _ model: AdminModel, _ security: AdminSecurity
    ) -> Response {
        let path = AdminPath(rawValue: request.uri.path) ?? .other
        model.traffic.note(path)
        guard request.method == .get || request.method == .head else {
            return Response(status: .methodNotAllowed, headers: [.allow: "GET, HEAD"])
        }
        let length = request.headers[.contentLength].flatMap { Int($0) } ?? 0
        guard length == 0, request.headers[.transferEncoding] == nil else {
            return Response(status: .contentTooLarge, headers: [.connection: "close"])
        }
        guard security.admits(path, authorization: request.headers[.authorization]) else {
            return Response(
                status: .unauthorized, headers: [.wwwAuthenticate: "Bearer realm=\"memkv\""])
        }
        guard let answer = answer(to: path, model) else { return Response(status: .notFound) }
        return request.method == .get
            ? response(answer) : response(answer).createHeadResponse()
    }

    private static func answer(to path: AdminPath, _ model: AdminModel) -> AdminAnswer? {
        switch path {
        case .health: model.health()
        case .ready: model.ready()
        case .status: model.status(now: .now)
        case .metrics: model.metrics(now: .now)
        case .other: nil
        }
    }

    private static func response(_ answer: AdminAnswer) -> Response {
        let type =
            switch answer.format {
            case .json: "application/json"
            case .text: "text/plain; charset=utf-8"
            case .exposition: Exposition.contentType
            }
        return Response(
            status: .init(code: answer.statusCode), headers: [.contentType: type],
            body: .init(byteBuffer: ByteBuffer(string: answer.body)))
    }
}
