"""The gRPC services of the control plane as python3-grpcio calls them: messages from the descriptors that the build
makes, calls by path, nothing of ours in between."""

import os
import queue
import subprocess

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

BUILD = os.path.abspath(os.environ.get("WEFT_BUILD", "build/release"))
DESCRIPTORS = os.path.join(BUILD, "..", "gen", "descriptors.pb")


def load():
    """Message classes by full name, of every message in proto/."""
    pool, files = descriptor_pool.DescriptorPool(), descriptor_pb2.FileDescriptorSet()
    with open(DESCRIPTORS, "rb") as f:
        files.ParseFromString(f.read())
    if hasattr(message_factory, "GetMessageClass"):
        make = message_factory.GetMessageClass
    else:
        make = message_factory.MessageFactory(pool).GetPrototype
    out = {}
    for proto in files.file:
        pool.Add(proto)
        for m in proto.message_type:
            name = f"{proto.package}.{m.name}"
            out[name] = make(pool.FindMessageTypeByName(name))
    return out


MESSAGES = load()


def message(_name, **fields):
    return MESSAGES[_name](**fields)


def mesh(_name, **fields):
    return message(f"weft.mesh.v1.{_name}", **fields)


class Api:
    """One channel to the control plane; its certificate is verified against root for the name localhost."""

    def __init__(self, target, root, credential=None):
        with open(root, "rb") as f:
            creds = grpc.ssl_channel_credentials(root_certificates=f.read())
        self.channel = grpc.secure_channel(target, creds, [("grpc.ssl_target_name_override", "localhost")])
        self.metadata = [("authorization", f"Bearer {credential}")] if credential else []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def unary(self, path, request, answer, timeout=10):
        call = self.channel.unary_unary(path, request_serializer=lambda m: m.SerializeToString(),
                                        response_deserializer=MESSAGES[answer].FromString)
        return call(request, timeout=timeout, metadata=self.metadata)

    def health(self, service=""):
        answer = self.unary("/grpc.health.v1.Health/Check", message("grpc.health.v1.HealthCheckRequest", service=service),
                            "grpc.health.v1.HealthCheckResponse")
        return answer.status  # 1: SERVING, 2: NOT_SERVING

    def watch(self, service="", timeout=30):
        call = self.channel.unary_stream("/grpc.health.v1.Health/Watch", request_serializer=lambda m: m.SerializeToString(),
                                         response_deserializer=MESSAGES["grpc.health.v1.HealthCheckResponse"].FromString)
        return call(message("grpc.health.v1.HealthCheckRequest", service=service), timeout=timeout)

    def services(self, version="v1"):
        package = f"grpc.reflection.{version}"
        call = self.channel.stream_stream(f"/{package}.ServerReflection/ServerReflectionInfo",
                                          request_serializer=lambda m: m.SerializeToString(),
                                          response_deserializer=MESSAGES[f"{package}.ServerReflectionResponse"].FromString)
        request = message(f"{package}.ServerReflectionRequest", list_services="*")
        answers = list(call(iter([request]), timeout=10))
        assert len(answers) == 1
        return {s.name for s in answers[0].list_services_response.service}

    def sign(self, csr):
        return self.unary("/weft.mesh.v1.Identity/Sign", mesh("SignRequest", csr=csr), "weft.mesh.v1.SignResponse")

    def discover(self, timeout=60):
        return Discovery(self, timeout)


class Discovery:
    """One Discovery stream, spoken by hand."""

    def __init__(self, api, timeout):
        self.requests = queue.Queue()
        call = api.channel.stream_stream("/weft.mesh.v1.Discovery/Stream", request_serializer=lambda m: m.SerializeToString(),
                                         response_deserializer=MESSAGES["weft.mesh.v1.DiscoveryResponse"].FromString)
        self.call = call(iter(self.requests.get, None), timeout=timeout, metadata=api.metadata)

    def send(self, **fields):
        self.requests.put(mesh("DiscoveryRequest", **fields))

    def start(self, *names, version="python-1.0", **fields):
        self.send(node=mesh("Node", version=version), subscribe=[mesh("Key", name=n) for n in names], **fields)

    def get(self):
        return next(self.call)

    def ack(self, response, rejected=()):
        self.send(response_nonce=response.nonce, rejected=[mesh("Rejection", **r) for r in rejected])

    def settle(self):
        """Acknowledges until the position came; all resources of it by name."""
        out = {}
        while True:
            response = self.get()
            out.update({r.name: r for r in response.resources})
            self.ack(response)
            if response.position:
                return out, response

    def close(self):
        self.requests.put(None)
        self.call.cancel()


def make_csr(folder, name):
    """A fresh P-256 key and a signing request that asks for nothing; DER."""
    key, csr = os.path.join(folder, f"{name}.key"), os.path.join(folder, f"{name}.csr")
    subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    key, "-out", csr, "-outform", "DER", "-subj", "/"], check=True, capture_output=True)
    with open(csr, "rb") as f:
        return f.read()
