"""A control plane in the middle: passes Identity and Discovery on to the real one and changes what comes back.
halfplane.py PB2_FOLDER LISTEN CERT KEY REAL ROOT MODE_FILE; the mode is read anew for each message:
  whole             nothing is changed
  no-policies       the list of policies, and policies, are left out
  no-revocations    the same for revocations
  bad-policy        every AuthorizationPolicy gets an address block that no sidecar takes
  unasked           a Service that nobody asked for is put into every response"""

import sys
from concurrent import futures

import grpc

sys.path.insert(0, sys.argv[1])
from weft.mesh.v1 import discovery_pb2, mesh_pb2  # noqa: E402

_, _, LISTEN, CERT, KEY, REAL, ROOT, MODE = sys.argv
OPTIONS = [("grpc.ssl_target_name_override", "localhost"), ("grpc.max_receive_message_length", -1)]


def read(path):
    with open(path, "rb") as f:
        return f.read()


def bend(response):
    mode = read(MODE).decode().strip()
    kept = list(response.resources)
    if mode == "no-policies":
        response.required.ClearField("authorization_policies")
        kept = [r for r in kept if r.WhichOneof("kind") != "authorization_policy"]
    if mode == "no-revocations":
        response.required.ClearField("revocations")
        kept = [r for r in kept if r.WhichOneof("kind") != "revocations"]
    if mode == "bad-policy":
        for r in kept:
            if r.WhichOneof("kind") == "authorization_policy":
                source = r.authorization_policy.rules.add().__getattribute__("from").add()
                source.ip_blocks.add(address=b"\x0a\x00\x00\x00", prefix=200)
    if mode == "unasked":
        kept.append(mesh_pb2.Resource(name="Service/default/unasked", hash=b"h" * 32,
                                      service=mesh_pb2.Service(namespace="default", name="unasked")))
    del response.resources[:]
    response.resources.extend(kept)
    return response


def credential(context):
    return tuple((k, v) for k, v in context.invocation_metadata() if k == "authorization")


def stream(requests, context):
    call = UP.stream_stream("/weft.mesh.v1.Discovery/Stream")(requests, metadata=credential(context))
    context.add_callback(call.cancel)
    try:
        for raw in call:
            yield bend(discovery_pb2.DiscoveryResponse.FromString(raw)).SerializeToString()
    except grpc.RpcError as e:
        context.abort(e.code(), e.details())


def sign(request, context):
    try:
        return UP.unary_unary("/weft.mesh.v1.Identity/Sign")(request, metadata=credential(context), timeout=10)
    except grpc.RpcError as e:
        context.abort(e.code(), e.details())


UP = grpc.secure_channel(REAL, grpc.ssl_channel_credentials(read(ROOT)), options=OPTIONS)
server = grpc.server(futures.ThreadPoolExecutor(32))
server.add_generic_rpc_handlers((
    grpc.method_handlers_generic_handler("weft.mesh.v1.Discovery", {
        "Stream": grpc.stream_stream_rpc_method_handler(stream)}),
    grpc.method_handlers_generic_handler("weft.mesh.v1.Identity", {
        "Sign": grpc.unary_unary_rpc_method_handler(sign)})))
if not server.add_secure_port(LISTEN, grpc.ssl_server_credentials([(read(KEY), read(CERT))])):
    raise SystemExit(f"{LISTEN} is taken")
server.start()
print("serving", flush=True)
server.wait_for_termination()
