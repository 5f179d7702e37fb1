"""WebSocket through two sidecars (RFC 8441 between them) with python3-websockets at both ends."""

import json
import os

import pytest

from conftest import make_mesh
from weftnet import SANITIZED, http1, sock

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "apps", "ws.py")
MESSAGES = 2000 if SANITIZED else 10000
PORT = 8765


class World:
    def __init__(self, m, declared):
        self.client, self.web = m.pod("client"), m.pod("web", ports=[("http", PORT)] if declared else [])
        self.service = m.service("web", ("http" if declared else "any", 80), target=PORT)
        self.app = self.web.spawn("ws", "/usr/bin/python3", PROGRAM, "serve", str(PORT), ready="serving")
        m.start()

    def url(self, family):
        ip = self.service.ip(family)
        return f"ws://[{ip}]/chat" if family == 6 else f"ws://{ip}/chat"

    def run(self, *args):
        done = self.client.exec("/usr/bin/python3", PROGRAM, *args)
        return json.loads(done.stdout)

    def seen(self, tag):
        """What the server saw of the connection with that tag, once it has ended."""
        def found():
            lines = [json.loads(line) for line in self.app.text().splitlines() if line.startswith("{")]
            return [e for e in lines if e["tag"] == tag]
        return sock.wait_for(f"the end of {tag}", found)


@pytest.fixture(scope="module", params=[True, False], ids=["declared", "undeclared"])
def world(request):
    with make_mesh() as m:
        yield World(m, request.param)


def test_echo(world, family):
    tag = f"echo-{family}"
    assert world.run("echo", world.url(family), tag, str(MESSAGES)) == {"tag": tag, "same": MESSAGES, "code": 1000}
    assert world.seen(tag) == [{"tag": tag, "count": MESSAGES, "code": 1000, "reason": ""}]


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
def test_client_closes(world, family, code):
    before = len(world.app.text().splitlines())
    assert world.run("close", world.url(family), str(code)) == {"code": code}
    sock.wait_for("the server to see it", lambda: len(world.app.text().splitlines()) > before)
    assert world.seen(f"close-{code}")[-1] == {"tag": f"close-{code}", "count": 0, "code": code, "reason": "bye"}


@pytest.mark.parametrize("code", [1000, 1011, 4000])
def test_server_closes(world, family, code):
    assert world.run("closed-by-server", world.url(family), str(code)) == {"code": code, "reason": "asked for"}


def test_refused_upgrade(world, family):
    """The server's own refusal arrives as what it is, and the connection serves on."""
    with sock.connect(world.client, world.service.ip(family), 80) as s, s.makefile("rb") as f:
        s.sendall(http1.request(headers=[("Connection", "Upgrade"), ("Upgrade", "websocket"),
                                         ("Sec-WebSocket-Version", "7"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]))
        m = http1.read_response(f)
        assert m.status in (400, 426) and b"version" in m.body.lower()


def test_server_dies(family):
    """An open WebSocket whose server is killed ends for the client without a close code of the server's."""
    with make_mesh() as m:
        w = World(m, True)
        client = w.client.spawn("idle", "/usr/bin/python3", PROGRAM, "idle", w.url(family), "idle", ready="open")
        w.app.kill()
        client.wait_text('"code"')
        assert '"code": 1006' in client.text()
