"""gRPC with python3-grpcio at both ends: unary and streaming calls, metadata, trailers, deadlines, cancellation, errors;
and the gRPC status of what the mesh refuses."""

import json
import os

import pytest

from conftest import make_mesh
from weftnet import SANITIZED, sock

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "apps", "rpc.py")
PORT = 50051
LARGE = (8 if SANITIZED else 16) << 20
OK, CANCELLED, DEADLINE, DENIED, UNAVAILABLE = 0, 1, 4, 7, 14


class World:
    """declared: by the port's name; otherwise found out."""

    def __init__(self, m, declared=True):
        self.mesh, self.client, self.intruder = m, m.pod("client"), m.pod("intruder")
        self.web = m.pod("web", ports=[("grpc", PORT)] if declared else [])
        self.service = m.service("web", ("grpc" if declared else "any", 80), target=PORT)
        m.apply({"apiVersion": "mesh.weft.dev/v1alpha1", "kind": "AuthorizationPolicy",
                 "metadata": {"name": "no-intruder", "namespace": "default"},
                 "spec": {"selector": {"matchLabels": {"app": "web"}}, "action": "DENY", "rules": [
                     {"from": [{"source": {"principals": [f"{m.trust_domain}/ns/default/sa/intruder"]}}]}]}})
        self.starts = 0
        self.app = self.serve()
        m.start()

    def serve(self):
        self.starts += 1
        return self.web.spawn(f"rpc{self.starts}", "/usr/bin/python3", PROGRAM, "serve", str(PORT), ready="serving")

    def target(self, family):
        ip = self.service.ip(family)
        return f"ipv6:[{ip}]:80" if family == 6 else f"ipv4:{ip}:80"

    def args(self, family, case, *args):
        return ["/usr/bin/python3", PROGRAM, case, self.target(family), *map(str, args)]

    def run(self, family, case, *args, pod=None):
        return json.loads((pod or self.client).exec(*self.args(family, case, *args)).stdout)

    def seen(self, tag):
        lines = [json.loads(line) for line in self.app.text().splitlines() if line.startswith("{")]
        return [e for e in lines if (e.get("tag") or "").startswith(tag)]


@pytest.fixture(scope="module", params=[True, False], ids=["declared", "undeclared"])
def world(request):
    with make_mesh() as m:
        yield World(m, request.param)


def test_unary(world, family):
    tag = f"unary{family}"
    got = world.run(family, "unary", tag, 100, 500)
    assert got["calls"] == 500
    assert [(e["tag"], e["sha"]) for e in world.seen(tag)] == [(f"{tag}-{i}", got["sha"]) for i in range(500)]


def test_large_messages(world, family):
    tag = f"large{family}"
    got = world.run(family, "unary", tag, LARGE, 1)
    assert [e["sha"] for e in world.seen(tag)] == [got["sha"]]


def test_compressed(world, family):
    assert world.run(family, "compressed", f"gzip{family}") == {"same": True}


def test_client_streaming(world, family):
    tag = f"up{family}"
    assert world.run(family, "up", tag, 5000) == {"same": True}
    assert world.seen(tag) == [{"method": "count_up", "tag": tag, "n": 5000}]


def test_server_streaming(world, family):
    tag = f"down{family}"
    assert world.run(family, "down", tag, 5000, 1000) == {"n": 5000}
    assert world.seen(tag) == [{"method": "count_down", "tag": tag, "n": 5000}]


def test_bidirectional_streaming(world, family):
    tag = f"chat{family}"
    assert world.run(family, "chat", tag, 1000) == {"n": 1000}
    assert world.seen(tag) == [{"method": "chat", "tag": tag, "n": 1000}]


@pytest.mark.parametrize("code", [1, 2, 3, 5, 7, 8, 10, 13, 14, 15, 16])
def test_errors_of_the_application(world, family, code):
    details = "why not: grün, 100% \t."
    got = world.run(family, "fail", f"fail{family}", code, details)
    assert got == {"code": code, "details": details, "why": "asked"}
    sock.wait_for("the log", lambda: [e for e in world.web.log() if e.get("grpc_status") == code])


def test_deadline(world, family):
    """The deadline ends the call at the client and, by its reset, at the server."""
    tag = f"deadline{family}"
    assert world.run(family, "deadline", tag) == {"code": DEADLINE}
    sock.wait_for("the server to see it", lambda: len(world.seen(tag)) == 2)
    assert world.seen(tag) == [{"method": "wait", "tag": tag, "deadline": True}, {"method": "over", "tag": tag}]


def test_cancel(world, family):
    tag = f"cancel{family}"
    assert world.run(family, "cancel", tag) == {"first": "first", "code": CANCELLED}
    sock.wait_for("the server to see it", lambda: len(world.seen(tag)) == 2)
    assert world.seen(tag) == [{"method": "drip", "tag": tag, "deadline": False}, {"method": "over", "tag": tag}]


def test_denied_by_policy(world, family):
    got = world.run(family, "call", f"denied{family}", pod=world.intruder)
    assert got["code"] == DENIED and got["reason"] == "RBAC" and "denied by policy" in got["details"]
    assert not world.seen(f"denied{family}")


def test_server_dies_and_is_away(family):
    with make_mesh() as m:
        w = World(m)
        client = w.client.spawn("drip", *w.args(family, "drip", "dies"), ready="first")
        w.app.kill()
        client.wait_text('"code"')
        got = json.loads(client.text().splitlines()[-1])
        assert (got["code"], got["reason"]) == (UNAVAILABLE, "UC") and "closed the connection" in got["details"]
        got = w.run(family, "call", "away")
        assert got["code"] == UNAVAILABLE and got["reason"] == "UF" and "could not connect" in got["details"]
        w.app = w.serve()
        assert w.run(family, "call", "back") == {"code": OK}
        assert [e["tag"] for e in w.seen("back")] == ["back"]
