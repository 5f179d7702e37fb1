"""A gRPC server and client of python3-grpcio, as programs for pods; messages are plain bytes.
rpc.py serve PORT | rpc.py CASE TARGET [ARGUMENT...]; each prints JSON lines of what it saw."""

import hashlib
import json
import sys
import threading
from concurrent import futures

import grpc

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
NAME = "weft.test.Echo"


def tell(**what):
    print(json.dumps(what), flush=True)


def tag_of(context):
    return dict(context.invocation_metadata()).get("x-tag")


# -- the server ------------------------------------------------------------------------------------------------------------

def unary(request, context):
    tell(method="unary", tag=tag_of(context), sha=hashlib.sha256(request).hexdigest())
    got = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-initial", "i"), ("x-echo-bin", got.get("x-blob-bin", b""))))
    context.set_trailing_metadata((("x-trailer", "t"), ("x-trailer-bin", b"\x00\xff")))
    return request


def fail(request, context):
    """request: status code and details."""
    code, details = request.decode().split(" ", 1)
    tell(method="fail", tag=tag_of(context), code=int(code))
    context.set_trailing_metadata((("x-why", "asked"),))
    context.abort(next(c for c in grpc.StatusCode if c.value[0] == int(code)), details)


def count_up(requests, context):
    digest, n = hashlib.sha256(), 0
    for r in requests:
        digest.update(r)
        n += 1
    tell(method="count_up", tag=tag_of(context), n=n)
    return f"{n} {digest.hexdigest()}".encode()


def count_down(request, context):
    n, size = map(int, request.split())
    for i in range(n):
        yield b"%d " % i + b"d" * size
    tell(method="count_down", tag=tag_of(context), n=n)


def chat(requests, context):
    n = 0
    for r in requests:
        n += 1
        yield r
    tell(method="chat", tag=tag_of(context), n=n)


def watch(context, method):
    """Tells now and when the call is over; the event is set then."""
    over = threading.Event()
    tag = tag_of(context)
    tell(method=method, tag=tag, deadline=(context.time_remaining() or 1e9) < 60)

    def on_over():
        tell(method="over", tag=tag)
        over.set()
    context.add_callback(on_over)
    return over


def wait(request, context):
    """Until the client is gone."""
    watch(context, "wait").wait(30)
    return b""


def drip(request, context):
    """One message, and then nothing until the client is gone."""
    over = watch(context, "drip")
    yield b"first"
    over.wait(30)


def serve(port):
    server = grpc.server(futures.ThreadPoolExecutor(32), options=OPTIONS)
    methods = {"unary": grpc.unary_unary_rpc_method_handler(unary), "fail": grpc.unary_unary_rpc_method_handler(fail),
               "wait": grpc.unary_unary_rpc_method_handler(wait), "chat": grpc.stream_stream_rpc_method_handler(chat),
               "drip": grpc.unary_stream_rpc_method_handler(drip),
               "count_up": grpc.stream_unary_rpc_method_handler(count_up),
               "count_down": grpc.unary_stream_rpc_method_handler(count_down)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, methods),))
    if not server.add_insecure_port(f"[::]:{port}"):
        raise SystemExit(f"port {port} is taken")
    server.start()
    tell(serving=port)
    server.wait_for_termination()


# -- the client ------------------------------------------------------------------------------------------------------------

def method(channel, kind, name):
    return getattr(channel, kind)(f"/{NAME}/{name}")


def case_unary(channel, tag, size="100", count="1"):
    call = method(channel, "unary_unary", "unary")
    message = bytes(i * 31 % 251 for i in range(1000)) * (int(size) // 1000 + 1)
    message = message[:int(size)]
    for i in range(int(count)):
        answer, rpc = call.with_call(message, metadata=(("x-tag", f"{tag}-{i}"), ("x-blob-bin", b"\x01\x00\xfe")), timeout=60)
        initial, trailing = dict(rpc.initial_metadata()), dict(rpc.trailing_metadata())
        assert answer == message, "the answer differs"
        assert initial["x-initial"] == "i" and initial["x-echo-bin"] == b"\x01\x00\xfe", initial
        assert trailing["x-trailer"] == "t" and trailing["x-trailer-bin"] == b"\x00\xff", trailing
    tell(calls=int(count), sha=hashlib.sha256(message).hexdigest())


def case_compressed(channel, tag):
    call = method(channel, "unary_unary", "unary")
    message = b"compress me " * 10000
    answer = call(message, metadata=(("x-tag", tag),), compression=grpc.Compression.Gzip, timeout=60)
    tell(same=answer == message)


def case_fail(channel, tag, code, details):
    call = method(channel, "unary_unary", "fail")
    try:
        call(f"{code} {details}".encode(), metadata=(("x-tag", tag),), timeout=60)
    except grpc.RpcError as e:
        tell(code=e.code().value[0], details=e.details(), why=dict(e.trailing_metadata()).get("x-why"))


def case_call(channel, tag):
    """One call; its status, whatever it is."""
    try:
        method(channel, "unary_unary", "unary")(b"x", metadata=(("x-tag", tag),), timeout=20)
        tell(code=0)
    except grpc.RpcError as e:
        metadata = dict(e.initial_metadata() or ()) | dict(e.trailing_metadata() or ())
        tell(code=e.code().value[0], details=e.details(), reason=metadata.get("x-weft-reason"))


def case_deadline(channel, tag):
    try:
        method(channel, "unary_unary", "wait")(b"", metadata=(("x-tag", tag),), timeout=0.5)
    except grpc.RpcError as e:
        tell(code=e.code().value[0])


def case_cancel(channel, tag):
    rpc = method(channel, "unary_stream", "drip")(b"", metadata=(("x-tag", tag),))
    first = next(rpc)
    rpc.cancel()
    tell(first=first.decode(), code=rpc.code().value[0])


def case_drip(channel, tag):
    """Reads until the stream ends, however that be."""
    rpc = method(channel, "unary_stream", "drip")(b"", metadata=(("x-tag", tag),))
    try:
        for message in rpc:
            tell(message=message.decode())
    except grpc.RpcError as e:
        tell(code=e.code().value[0], details=e.details(), reason=dict(e.trailing_metadata()).get("x-weft-reason"))


def case_up(channel, tag, count):
    messages = [b"%d " % i + b"u" * (i * 37 % 3000) for i in range(int(count))]
    answer = method(channel, "stream_unary", "count_up")(iter(messages), metadata=(("x-tag", tag),), timeout=60)
    want = f"{len(messages)} {hashlib.sha256(b''.join(messages)).hexdigest()}"
    tell(same=answer.decode() == want)


def case_down(channel, tag, count, size):
    n = 0
    for message in method(channel, "unary_stream", "count_down")(f"{count} {size}".encode(),
                                                                 metadata=(("x-tag", tag),), timeout=60):
        assert message == b"%d " % n + b"d" * int(size), "a message differs"
        n += 1
    tell(n=n)


def case_chat(channel, tag, count):
    """Strictly in turn: each message goes out when the answer to the one before has come."""
    ready, n = threading.Semaphore(1), 0

    def messages():
        for i in range(int(count)):
            ready.acquire()
            yield b"message %d" % i
    for answer in method(channel, "stream_stream", "chat")(messages(), metadata=(("x-tag", tag),), timeout=60):
        assert answer == b"message %d" % n, "out of turn"
        n += 1
        ready.release()
    tell(n=n)


def hold(channel, tag, n):
    """One bidirectional stream, a message a fifth of a second, each answered before the next; returns how many
    were answered in all when the stream is drained under it."""
    answered, over = threading.Semaphore(1), threading.Event()

    def messages():
        while not over.is_set():
            answered.acquire()
            if over.wait(0.2 if n else 0):
                return
            yield b"beat %d" % n
    try:
        for answer in method(channel, "stream_stream", "chat")(messages(), metadata=(("x-tag", tag),)):
            assert answer == b"beat %d" % n, f"{answer!r} where beat {n} was sent"
            n += 1
            tell(beat=n, first="first" if n == 1 else None)
            answered.release()
    except grpc.RpcError as e:
        if e.code() is not grpc.StatusCode.UNAVAILABLE:
            tell(error=e.code().name, details=e.details())
        tell(reopened=e.details(), reason=dict(e.trailing_metadata() or ()).get("x-weft-reason"))
    finally:
        over.set()
        answered.release()
    return n


def case_hold(channel, tag):
    """A stream for ever, opened anew where it is drained."""
    n = 0
    while True:
        n = hold(channel, tag, n)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        with grpc.insecure_channel(sys.argv[2], options=OPTIONS) as made:
            globals()["case_" + sys.argv[1]](made, *sys.argv[3:])
