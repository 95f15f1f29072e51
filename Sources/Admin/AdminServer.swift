// AdminServer: the admin endpoint's HTTP. The only file that knows Hummingbird.
//
// Always holds: it answers from an `AdminModel`, on a thread that is no shard's, and changes
// nothing. Refuses unknown paths with 404 and other methods than GET and HEAD with 405.

private import Hummingbird
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
        model: AdminModel, host: String, port: UInt16, logger: Logger,
        listening: @escaping @Sendable () -> Void
    ) async throws(AdminServerError) {
        let responder = CallbackResponder<BasicRequestContext> { request, _ in
            respond(to: request, model)
        }
        let application = Application(
            responder: responder,
            configuration: .init(address: .hostname(host, port: Int(port)), serverName: nil),
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

    private static func respond(to request: Request, _ model: AdminModel) -> Response {
        let path = AdminPath(rawValue: request.uri.path) ?? .other
        model.traffic.note(path)
        guard request.method == .get || request.method == .head else {
            return Response(status: .methodNotAllowed, headers: [.allow: "GET, HEAD"])
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
