"""gRPC's own library as client and server, with plain bytes for messages.

    peer.py serve
        a server at a free port, which it prints; it has its methods in every service
    peer.py call ADDRESS SERVICE [TOKEN [ROOTS]]
        reads the names of calls, one a line, makes them, and prints what came of each in JSON
"""

import json
import os
import sys
import threading
from concurrent import futures

import grpc


class Echo(grpc.GenericRpcHandler):
    def __init__(self):
        self.cancelled = 0
        self.lock = threading.Lock()

    def service(self, call):
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        return {
            "Unary": unary(self.unary),
            "Counted": stream(self.counted),
            "Sum": grpc.stream_unary_rpc_method_handler(self.sum),
            "Mirror": grpc.stream_stream_rpc_method_handler(self.mirror),
            "Fail": unary(self.fail),
            "Wait": stream(self.wait),
            "Cancelled": unary(lambda request, context: str(self.cancelled).encode()),
            "Remaining": unary(self.remaining),
            "Die": stream(self.die),
            "Check": unary(self.health),
        }.get(call.method.rsplit("/", 1)[1])

    def unary(self, request, context):
        sent = dict(context.invocation_metadata())
        context.send_initial_metadata([("x-begin", "1"), ("x-seen", sent.get("x-sent", ""))])
        context.set_trailing_metadata([("x-end", "2"), ("x-raw-bin", b"\x00\xff")])
        return request

    def counted(self, request, context):
        for number in range(int(request)):
            yield str(number).encode()

    def sum(self, requests, context):
        return str(sum(len(request) for request in requests)).encode()

    def mirror(self, requests, context):
        yield from requests

    def fail(self, request, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: 100 % für alle")

    def wait(self, request, context):
        over = threading.Event()
        context.add_callback(over.set)
        yield b"begun"
        over.wait(30)
        with self.lock:
            self.cancelled += 1

    def remaining(self, request, context):
        return str(context.time_remaining()).encode()

    def die(self, request, context):
        yield b"one"
        yield b"two"
        # What was said is on its way first.
        threading.Event().wait(0.3)
        os._exit(1)

    def health(self, request, context):
        if request.endswith(b".Nothing"):
            context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return b"\x08\x01"


def serve():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    server.add_generic_rpc_handlers([Echo()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    # It ends with its parent.
    sys.stdin.read()
    server.stop(None)


class Client:
    def __init__(self, address, service, token=None, roots=None):
        self.service = service
        options = [("grpc.enable_retries", 0)]
        if roots:
            with open(roots, "rb") as file:
                credentials = grpc.ssl_channel_credentials(file.read())
            self.channel = grpc.secure_channel(address, credentials, options)
        else:
            self.channel = grpc.insecure_channel(address, options)
        self.metadata = [("authorization", f"Bearer {token}")] if token else []

    def unary(self, method, request=b"", timeout=10, metadata=None):
        call = self.channel.unary_unary(f"/{self.service}/{method}")
        return call.with_call(request, timeout=timeout, metadata=self.metadata + (metadata or []))

    def stream(self, method, request=b"", timeout=10):
        call = self.channel.unary_stream(f"/{self.service}/{method}")
        return call(request, timeout=timeout, metadata=self.metadata)

    def call_unary(self):
        answer, call = self.unary("Unary", b"hello", metadata=[("x-sent", "3")])
        begin, end = dict(call.initial_metadata()), dict(call.trailing_metadata())
        return {
            "answer": answer.decode(),
            "begin": begin.get("x-begin"),
            "seen": begin.get("x-seen"),
            "end": end.get("x-end"),
            "raw": end.get("x-raw-bin", b"").hex(),
        }

    def call_large(self):
        answer, _ = self.unary("Unary", b"x" * 3_000_000)
        return len(answer)

    def call_empty(self):
        answer, _ = self.unary("Unary", b"")
        return len(answer)

    def call_counted(self):
        return [message.decode() for message in self.stream("Counted", b"5")]

    def call_none(self):
        return [message.decode() for message in self.stream("Counted", b"0")]

    def call_many(self):
        return sum(1 for _ in self.stream("Counted", b"20000", timeout=30))

    def call_sum(self):
        call = self.channel.stream_unary(f"/{self.service}/Sum")
        return call(iter([b"x" * 1000] * 500), timeout=10, metadata=self.metadata).decode()

    def call_mirror(self):
        """Each message is sent only when the answer to the one before has come."""
        go_on = threading.Semaphore(1)

        def requests():
            for number in range(20):
                if not go_on.acquire(timeout=5):
                    return
                yield str(number).encode()

        answers = []
        call = self.channel.stream_stream(f"/{self.service}/Mirror")
        for answer in call(requests(), timeout=10, metadata=self.metadata):
            answers.append(answer.decode())
            go_on.release()
        return answers

    def call_fail(self):
        return self.unary("Fail")[0].decode()

    def call_unknown(self):
        return self.unary("Nothing")[0].decode()

    def call_delete(self):
        return self.unary("Delete")[0].decode()

    def call_elsewhere(self):
        call = self.channel.unary_unary("/test.Other/Unary")
        return call(b"", timeout=10).decode()

    def call_guarded(self):
        call = self.channel.unary_unary("/test.Guarded/Unary")
        return call(b"", timeout=10).decode()

    def call_limited(self):
        call = self.channel.unary_unary("/test.Limited/Unary")
        try:
            call(b"", timeout=10)
        except grpc.RpcError as error:
            # The server has no such method: the call has passed the gateway.
            if error.code() != grpc.StatusCode.UNIMPLEMENTED:
                raise
        return call(b"", timeout=10).decode()

    def call_deadline(self):
        return [message.decode() for message in self.stream("Wait", timeout=0.5)]

    def call_remaining(self):
        return float(self.unary("Remaining", timeout=5)[0])

    def call_cancel(self):
        before = int(self.unary("Cancelled")[0])
        call = self.stream("Wait")
        first = next(call).decode()
        call.cancel()
        for _ in range(100):
            if int(self.unary("Cancelled")[0]) > before:
                return first
            threading.Event().wait(0.05)
        return "the server was not told"

    def call_parallel(self):
        call = self.channel.unary_unary(f"/{self.service}/Unary")
        calls = [call.future(str(number).encode(), timeout=20, metadata=self.metadata) for number in range(300)]
        return sum(int(one.result()) for one in calls)

    def call_die(self):
        seen = []
        try:
            for message in self.stream("Die"):
                seen.append(message.decode())
        except grpc.RpcError as error:
            return [seen, error.code().name]
        return [seen, "OK"]

    def call(self, name):
        try:
            return {"value": getattr(self, f"call_{name}")()}
        except grpc.RpcError as error:
            metadata = {}
            for part in (error.initial_metadata(), error.trailing_metadata()):
                metadata.update({name: value for name, value in part or () if isinstance(value, str)})
            return {"code": error.code().name, "details": error.details(), "metadata": metadata}


def call(arguments):
    client = Client(*arguments)
    for name in sys.stdin:
        print(json.dumps({name.strip(): client.call(name.strip())}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        call(sys.argv[2:])
