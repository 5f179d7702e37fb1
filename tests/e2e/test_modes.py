"""PERMISSIVE and DISABLE by workload and port, through capture: modes change under load without a failed request,
plaintext is admitted where it may and counted by its source, and no failure is ever answered by plaintext."""

import pytest

from conftest import make_mesh, url
from weftnet import apps, run, wait_for
from weftnet.inside import App, attempt, connect, echo, http1
from weftnet.load import Load

HTTP, OTHER, RAW, QUIET = 8080, 8081, 9090, 9091
NGINX = """
  server { listen 8080; listen [::]:8080; listen 8081; listen [::]:8081; keepalive_timeout 60s;
    location / { default_type text/plain; return 200 "$server_addr $http_x_tag\\n"; } }
"""


def peer_auth(mode, ports=None, name="web"):
    spec = {"selector": {"matchLabels": {"app": "web"}}, "mtls": {"mode": mode}}
    if ports:
        spec["portLevelMtls"] = {str(p): {"mode": m} for p, m in ports.items()}
    return {"apiVersion": "mesh.weft.dev/v1alpha1", "kind": "PeerAuthentication",
            "metadata": {"name": name, "namespace": "default"}, "spec": spec}


class World:
    def __init__(self, mesh):
        self.mesh, self.control = mesh, mesh.control
        self.client, self.stranger = mesh.pod("client"), mesh.pod("stranger", meshed=False)
        self.web = mesh.pod("web", ports=[("http", HTTP), ("http", OTHER), ("tcp", RAW), ("tcp", QUIET)])
        self.service = mesh.service("web", ("http", 80), target=HTTP)
        self.server = apps.Nginx(self.web, NGINX, [HTTP, OTHER])
        self.raw = App(self.web, RAW, echo(b"220 web\r\n"))
        self.quiet = App(self.web, QUIET, echo())
        mesh.start()

    def set(self, mode, ports=None):
        self.mesh.apply(peer_auth(mode, ports))
        self.control.reload()

    def plain(self, family, port=HTTP):
        """What a pod without sidecar gets."""
        return self.stranger.exec("curl", "-sS", "-m", "10", "-i", url(self.web.ip(family), port), check=False).stdout

    def get(self, ip, port):
        return self.client.exec("curl", "-sS", "-m", "10", "-i", url(ip, port), check=False).stdout


@pytest.fixture(scope="module")
def world():
    with make_mesh(control=[]) as m:
        w = World(m)
        yield w
        w.raw.close()
        w.quiet.close()


def test_modes_change_under_load(world):
    load = Load(world.client, [(world.service.ip4, 80), (world.service.ip6, 80), (world.web.ip4, OTHER)])
    for mode in ("PERMISSIVE", "DISABLE", "STRICT", "DISABLE", "PERMISSIVE", "STRICT"):
        world.set(mode)
        load.wait_more(100)
        for family in (4, 6):
            assert ("HTTP/1.1 200" in world.plain(family)) == (mode != "STRICT"), mode
    load.finish(100)
    load.judge([world.server])


def test_plaintext_is_counted_by_its_source(world, family):
    world.set("PERMISSIVE")
    before = world.web.metric("weft_requests_total", direction="inbound", tls="none")
    assert "HTTP/1.1 200" in world.plain(family)
    wait_for("the count", lambda: world.web.metric("weft_requests_total", direction="inbound", tls="none") > before)
    assert "stranger" in world.web.metrics() or world.stranger.ip(family) in world.web.metrics()


def test_port_level(world, family):
    """One port open, the others closed; and the other way round."""
    world.set("STRICT", {OTHER: "PERMISSIVE"})
    assert "HTTP/1.1 200" in world.plain(family, OTHER)
    assert world.plain(family, HTTP) == ""
    assert attempt(world.stranger, world.web.ip(family), RAW, b"x\n")[0] == b""
    world.set("DISABLE", {HTTP: "STRICT"})
    assert world.plain(family, HTTP) == ""
    assert "HTTP/1.1 200" in world.plain(family, OTHER)
    for port in (HTTP, OTHER):
        assert "HTTP/1.1 200" in world.get(world.web.ip(family), port)


def test_open_plaintext_ends_with_strict(world, family):
    world.set("PERMISSIVE")
    with connect(world.stranger, world.web.ip(family), RAW) as s:
        assert s.recv(100) == b"220 web\r\n"
        world.set("STRICT")
        try:
            assert s.recv(100) == b""
        except ConnectionResetError:
            pass
    assert world.web.metric("weft_connections_refused_total", reason="plaintext") >= 1


@pytest.mark.parametrize("mode", ["STRICT", "PERMISSIVE", "DISABLE"])
def test_reset_hello(world, mode):
    """Every ClientHello is reset on the wire: errors, never plaintext (the recording is the judge of that too).
    A server that speaks first is left out: where plaintext is admitted its first words go to whoever connects."""
    world.set(mode)
    world.client.sidecar.stop()
    world.client.start_sidecar(capture=False, fresh=False)
    rules = [[tool, "-t", "filter", "{}", "INPUT", "-p", "tcp", "--dport", "15006", "-m", "string", "--algo", "bm",
              "--hex-string", hello, "--from", "40", "--to", "100", "-j", "REJECT", "--reject-with", "tcp-reset"]
             for tool in ("iptables", "ip6tables") for hello in ("|160301|", "|160303|")]

    def each(action):
        for rule in rules:
            run("ip", "netns", "exec", world.web.netns, *[action if a == "{}" else a for a in rule])
    each("-A")
    try:
        served = len(world.server.records())
        for family in (4, 6):
            for ip, port in ((world.service.ip(family), 80), (world.web.ip(family), OTHER)):
                out = world.get(ip, port)
                assert "HTTP/1.1 503" in out and "x-weft-reason: UF" in out, out
            assert attempt(world.client, world.web.ip(family), QUIET, b"raw\n")[0] == b""
        assert len(world.server.records()) == served and world.quiet.bytes() == b""
    finally:
        each("-D")
    wait_for("service", lambda: "HTTP/1.1 200" in world.get(world.service.ip4, 80))


def test_server_without_its_sidecar(world, family):
    """In a STRICT namespace it receives no byte; where its mode admits plaintext it does."""
    world.set("STRICT")
    name = f"bare{family}"
    bare = world.mesh.pod(name, meshed=False, ports=[("http", HTTP)])
    app = App(bare, HTTP, http1())
    svc = world.mesh.service(name, ("http", 80), target=HTTP)
    world.control.reload()
    for ip, port in ((svc.ip(family), 80), (bare.ip(family), HTTP)):
        out = world.get(ip, port)
        assert "HTTP/1.1 503" in out and "x-weft-reason: strict" in out, out
    assert not app.conns
    auth = peer_auth("DISABLE", name=name)
    auth["spec"]["selector"]["matchLabels"]["app"] = name
    world.mesh.apply(auth)
    world.control.reload()
    for ip, port in ((svc.ip(family), 80), (bare.ip(family), HTTP)):
        assert "HTTP/1.1 200" in world.get(ip, port)
    app.close()


def test_server_whose_sidecar_does_not_run(world, family):
    """Its pod has one, and the redirect that comes before it: nobody answers, and the application receives no byte."""
    world.set("STRICT")
    name = f"late{family}"
    late = world.mesh.pod(name, ports=[("http", HTTP)])
    app = App(late, HTTP, http1())
    svc = world.mesh.service(name, ("http", 80), target=HTTP)
    late.capture()
    world.control.reload()
    for ip, port in ((svc.ip(family), 80), (late.ip(family), HTTP)):
        out = world.get(ip, port)
        assert "HTTP/1.1 503" in out and "x-weft-reason: UF" in out, out
    assert attempt(world.stranger, late.ip(family), HTTP, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")[0] == b""
    assert not app.conns
    late.start_sidecar(capture=False)
    assert "HTTP/1.1 200" in world.get(svc.ip(family), 80)
    app.close()
