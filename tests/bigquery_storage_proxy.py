"""What stands between a client and the emulator's Storage APIs in checks.

`Gateway` speaks gRPC and answers some calls with an error instead, or works and loses the answer; it keeps the headers
that came. `Cutter` knows bytes only and cuts a connection after so many of them.
"""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import grpc
from bigquery_server import free_port
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

LIMIT = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]


class Refusal:
    """Answers `times` calls of a method (or any) with a code; `after` the work is done or before."""

    def __init__(self, method: str, code: grpc.StatusCode, text: str = "made by a check", times: int = 1, after: bool = False) -> None:
        self.method, self.code, self.text, self.times, self.after = method, code, text, times, after


class Gateway(grpc.GenericRpcHandler):
    """A gRPC server that passes bytes on to the emulator."""

    def __init__(self, emulator_port: int) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{emulator_port}", options=LIMIT)
        self.refusals: list[Refusal] = []
        self.calls: list[tuple[str, dict]] = []
        self.requests: list[tuple[str, bytes]] = []
        self.lock = threading.Lock()
        self.server = grpc.server(ThreadPoolExecutor(16), handlers=[self], options=LIMIT)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def close(self) -> None:
        self.server.stop(0).wait()
        self.channel.close()

    def service(self, details):
        method = details.method.rsplit("/", 1)[1]
        if method == "ReadRows":
            forward = self.channel.unary_stream(details.method)
            return grpc.unary_stream_rpc_method_handler(lambda request, context: self.stream(method, forward, request, context))
        if method == "AppendRows":
            forward = self.channel.stream_stream(details.method)
            return grpc.stream_stream_rpc_method_handler(lambda requests, context: self.append(forward, requests, context))
        forward = self.channel.unary_unary(details.method)
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self.one(method, forward, request, context))

    def seen(self, method: str, context) -> None:
        with self.lock:
            self.calls.append((method, dict(context.invocation_metadata())))

    def refusal(self, method: str, after: bool) -> Refusal | None:
        with self.lock:
            found = [one for one in self.refusals if one.times and one.after == after and one.method in ("", method)]
            if found:
                found[0].times -= 1
            return found[0] if found else None

    def refuse(self, method: str, context, after: bool = False) -> None:
        refusal = self.refusal(method, after)
        if refusal:
            context.abort(refusal.code, refusal.text)

    def one(self, method: str, forward, request: bytes, context) -> bytes:
        self.seen(method, context)
        self.refuse(method, context)
        with self.lock:
            self.requests.append((method, request))
        try:
            answer = forward(request)
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())
        self.refuse(method, context, after=True)
        return answer

    def stream(self, method: str, forward, request: bytes, context):
        self.seen(method, context)
        self.refuse(method, context)
        with self.lock:
            self.requests.append((method, request))
        try:
            for answer in forward(request):
                yield answer
                # After the first rows: the client has to go on behind them.
                self.refuse(method, context, after=True)
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())

    def append(self, forward, requests, context):
        self.seen("AppendRows", context)
        self.refuse("AppendRows", context)

        def kept():
            for request in requests:
                with self.lock:
                    self.requests.append(("AppendRows", request))
                yield request

        try:
            for answer in forward(kept()):
                self.refuse("AppendRows", context, after=True)
                yield answer
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())


class Cutter:
    """Passes bytes on, and cuts connections: `limits` are bytes from the server after which the next ones are cut."""

    def __init__(self, port: int) -> None:
        self.target, self.limits, self.cuts = port, [], 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            limit = self.limits.pop(0) if self.limits else None
            threading.Thread(target=self.pass_on, args=(client, server, None), daemon=True).start()
            threading.Thread(target=self.pass_on, args=(server, client, limit), daemon=True).start()

    def pass_on(self, source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        passed = 0
        try:
            while data := source.recv(1024):
                passed += len(data)
                if limit is not None and passed > limit:
                    self.cuts += 1
                    break
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def stranger() -> grpc.Server:
    """A server at `localhost` whose certificate nobody has signed; `port` is where."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
    certificate = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False).sign(key, hashes.SHA256())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    server = grpc.server(ThreadPoolExecutor(1))
    credentials = grpc.ssl_server_credentials([(pem, certificate.public_bytes(serialization.Encoding.PEM))])
    server.port = server.add_secure_port("localhost:0", credentials)
    server.start()
    return server


def closed_port() -> int:
    """A port where nobody listens."""
    return free_port()
