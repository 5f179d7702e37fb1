"""What a connection speaks is found out without anybody waiting for anybody, and never past policy: servers that speak
first, clients that speak late, redis, TLS of the application's own, and ports whose name decides. The detection timer
is at 60 s throughout, longer than any wait of a test."""

import os
import time

import pytest

from conftest import make_mesh
from weftnet import apps, http1, run, sock
from weftnet.world import url

HTTP = """
  server { listen 8080; listen [::]:8080; location / { default_type text/plain;
    return 200 "$http_x_tag from [$http_x_forwarded_client_cert]\\n"; } }
  server { listen 8443 ssl; listen [::]:8443 ssl; ssl_certificate {dir}/own.pem; ssl_certificate_key {dir}/own.key;
    location / { default_type text/plain; return 200 "own TLS, [$http_x_forwarded_client_cert]\\n"; } }
"""
STREAM = """stream { server { listen 2525; listen [::]:2525; return "220 the server speaks first\\n"; } }"""
BANNER = b"220 the server speaks first\n"
RAW = 9001


class World:
    def __init__(self, m):
        self.mesh, self.client, self.intruder = m, m.pod("client"), m.pod("intruder")
        self.web = m.pod("web", ports=[("http-strict", RAW), ("tcp-raw", RAW + 1)])
        self.service = m.service("web", [
            {"name": name, "port": port, "targetPort": target} for name, port, target in (
                ("web", 80, 8080), ("mail", 25, 2525), ("own", 443, 8443), ("redis", 6379, 6379),
                ("http-strict", 90, RAW), ("tcp-raw", 91, RAW + 1), ("openssl", 92, 4433))])
        m.apply({"apiVersion": "mesh.weft.dev/v1alpha1", "kind": "AuthorizationPolicy",
                 "metadata": {"name": "no-intruder", "namespace": "default"},
                 "spec": {"selector": {"matchLabels": {"app": "web"}}, "action": "DENY", "rules": [
                     {"from": [{"source": {"principals": [f"{m.trust_domain}/ns/default/sa/intruder"]}}]}]}})
        self.key, self.cert = os.path.join(self.web.dir, "own.key"), os.path.join(self.web.dir, "own.pem")
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=own.example", "-addext", "subjectAltName=DNS:own.example", "-keyout", self.key, "-out", self.cert)
        for f in (self.key, self.cert):
            os.chmod(f, 0o644)
        self.nginx = apps.Nginx(self.web, HTTP, [8080, 8443, 2525], STREAM)
        self.web.spawn("redis", "redis-server", "--bind", "0.0.0.0", "::", "--protected-mode", "no", "--save", "",
                       "--dir", "/tmp", ready="Ready to accept connections")
        self.web.spawn("s_server", "openssl", "s_server", "-accept", "4433", "-cert", self.cert, "-key", self.key, "-rev",
                       ready="ACCEPT")
        m.start("--detect-timeout", "60s")

    def connect(self, family, port, pod=None):
        return sock.connect(pod or self.client, self.service.ip(family), port)

    def detected(self, verdict, direction="outbound"):
        return self.client.metric("weft_detections_total", direction=direction, verdict=verdict)


@pytest.fixture(scope="module")
def world():
    with make_mesh() as m:
        yield World(m)


def test_server_speaks_first_and_is_remembered(world, family):
    """One connection teaches that the port is opaque; those after it need no finding out."""
    before = world.detected("server-first")
    for _ in range(3):
        with world.connect(family, 25) as s:
            assert sock.read_all(s) == (BANNER, True)
    assert world.detected("server-first") == before + 1


def test_silence_teaches_nothing(world, family):
    """A client that never spoke leaves HTTP to be found by the next."""
    with world.connect(family, 80):
        pass
    with world.connect(family, 80) as s, s.makefile("rb") as f:
        s.sendall(http1.request(tag=f"next{family}"))
        assert http1.read_response(f).body == f"next{family} from [By={world.web.spiffe_id};URI={world.client.spiffe_id}]\n".encode()


def test_client_that_waits_five_seconds(world):
    """It is routed, and refused, like a fast one; on both families."""
    slow = [(family, pod, world.connect(family, 80, pod)) for family in (4, 6) for pod in (world.client, world.intruder)]
    time.sleep(5)  # this is what is tested, not hoped for
    tags = []
    for family, pod, s in slow:
        with s, s.makefile("rb") as f:
            tag = f"slow{family}-{pod.name}"
            s.sendall(http1.request(tag=tag))
            m = http1.read_response(f)
            if pod is world.intruder:
                assert (m.status, m.get("x-weft-reason")) == (403, "RBAC")
            else:
                tags.append(tag)
                assert m.status == 200 and m.body.startswith(f"{tag} from [By=".encode())
    apps.agree(tags, lambda: [e["tag"] for e in world.nginx.records("slow")])


def test_client_that_types_slowly(world, family):
    """A request line in pieces is one request line."""
    with world.connect(family, 80) as s, s.makefile("rb") as f:
        for piece in http1.request(tag=f"typed{family}").splitlines(keepends=True):
            for i in range(0, len(piece), 3):
                s.sendall(piece[i:i + 3])
                time.sleep(0.002)  # so that pieces do not travel together
        assert http1.read_response(f).status == 200
    apps.agree([f"typed{family}"], lambda: [e["tag"] for e in world.nginx.records(f"typed{family}")])


def test_redis(world, family):
    def cli(*args, input=None):
        return world.client.exec("redis-cli", "-h", world.service.ip(family), *args, input=input).stdout
    keys = [f"tag{family}-{i}" for i in range(2000)]
    assert cli("ping") == "PONG\n"
    out = cli("--pipe", input="".join(f"SET {k} value-of-{k}\r\n" for k in keys))
    assert "errors: 0, replies: 2000" in out
    stored = world.web.exec("redis-cli", "--scan", "--pattern", f"tag{family}-*").stdout.split()
    assert not apps.differences(keys, stored)
    assert cli("mget", *keys[:50]).split() == [f"value-of-{k}" for k in keys[:50]]
    assert cli("-x", "set", f"big{family}", input="v" * 5000000) == "OK\n"
    assert cli("strlen", f"big{family}").strip() == "5000000"


def test_redis_subscriber_that_only_listens(world, family):
    sub = world.client.spawn(f"sub{family}", "redis-cli", "-h", world.service.ip(family), "subscribe", f"news{family}",
                             ready="subscribe")
    for i in range(10):
        world.client.exec("redis-cli", "-h", world.service.ip(family), "publish", f"news{family}", f"item-{i}")
    sub.wait_text("item-9")
    assert [f"item-{i}" in sub.text() for i in range(10)] == [True] * 10
    sub.kill()


@pytest.mark.parametrize("bytes_, status", [(b"\0\1\2 not HTTP\r\n\r\n", 400), (b"hello\r\n\r\n", 400),
                                            (b"GET\r\n\r\n", 400)], ids=["binary", "word", "cut"])
def test_declared_http_is_answered_as_http(world, family, bytes_, status):
    """On a port named http- what is no HTTP gets 400 and reaches nobody."""
    with sock.Server(world.web, RAW, lambda s: server.seen.append(sock.read_all(s))) as server:
        with world.connect(family, 90) as s, s.makefile("rb") as f:
            s.sendall(bytes_)
            assert http1.read_response(f).status == status
        assert not server.seen and server.accepted == 0


def test_declared_http_refuses_tls(world, family):
    with sock.Server(world.web, RAW, sock.read_all) as server:
        done = world.client.exec("curl", "-sSk", "-m", "20", url(world.service.ip(family), 90).replace("http:", "https:"),
                                 check=False)
        assert done.returncode == 35 and server.accepted == 0  # the handshake failed


def test_tls_of_the_application_curl(world, family):
    """The client sees the application's own certificate; nothing is added to what it carries."""
    done = world.client.exec("curl", "-sSv", "-m", "20", "--cacert", world.cert, "--connect-to",
                             f"own.example:443:{f'[{world.service.ip6}]' if family == 6 else world.service.ip4}:443",
                             "-H", f"x-tag: own{family}", "https://own.example/")
    assert done.stdout == "own TLS, []\n" and "CN=own.example" in done.stderr
    apps.agree([f"own{family}"], lambda: [e["tag"] for e in world.nginx.records(f"own{family}")])
    assert world.detected("tls") >= 1


def test_tls_of_the_application_openssl(world, family):
    ip = world.service.ip(family)
    out = world.client.exec("openssl", "s_client", "-connect", f"[{ip}]:92" if family == 6 else f"{ip}:92", "-CAfile",
                            world.cert, "-verify_return_error", "-servername", "own.example", "-quiet",
                            "-nocommands", input=f"tag{family} ping\nCLOSE\n").stdout
    assert f"gnip {family}gat" in out


def test_port_named_tcp_is_never_sniffed(world, family):
    """HTTP on it passes byte by byte as it is, also before a line is whole."""
    forged = b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-Client-Cert: By=me\r\n\r\n"

    def script(s):
        server.seen.append(sock.read_exactly(s, 4))
        server.seen.append(sock.read_exactly(s, len(forged) - 4))
        s.sendall(b"SSH-2.0-like\r\n")
    with sock.Server(world.web, RAW + 1, script) as server, world.connect(family, 91) as s:
        s.sendall(forged[:4])
        sock.wait_for("the first bytes", lambda: server.seen)
        s.sendall(forged[4:])
        assert sock.read_all(s) == (b"SSH-2.0-like\r\n", True)
        server.settle()
        assert b"".join(server.seen) == forged and not server.failed
