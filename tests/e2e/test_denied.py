"""Who is denied causes nothing: no connection to the application, no banner, not even a packet on the pod's
loopback. The application is nginx, which speaks first; a recording of the loopback is the witness."""

import os
import socket

import pytest

from conftest import make_mesh
from test_policy import policy, source
from weftnet import wait_for
from weftnet.inside import attempt, connect, read_until
from weftnet.mtls import dial_tls, make_leaf
from weftnet.pcap import Recorder, read_packets

BANNER = b"220 nginx says hello first\n"
PORTS = {"tcp": 9100, "any": 9101}  # declared TCP, and nothing declared
CONF = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log stderr;
load_module modules/ngx_stream_module.so;
events {{ worker_connections 256; }}
stream {{
  log_format who '$remote_addr $server_port $status';
  access_log {dir}/stream.log who;
  server {{ listen 9100; listen [::]:9100; listen 9101; listen [::]:9101; return "220 nginx says hello first\\n"; }}
}}
"""


class Loopback(Recorder):
    """A recording of a pod's loopback: what its sidecar says to its application passes there."""

    def __init__(self, pod):
        super().__init__(pod.netns, "lo", os.path.join(pod.dir, "lo.pcap"))

    def packets(self):
        self.catch_up()
        return sum(sport in PORTS.values() or dport in PORTS.values()
                   for _, sport, _, dport, *_ in read_packets(self.path))


class Lab:
    def __init__(self, mesh):
        self.friend, self.enemy = mesh.pod("friend"), mesh.pod("enemy")
        self.stranger = mesh.pod("stranger", meshed=False)
        self.web = mesh.pod("web", ports=[(name, port) for name, port in PORTS.items()])
        mesh.service("web", [{"name": name, "port": port} for name, port in PORTS.items()])
        mesh.apply(policy([source(principals=[self.enemy.spiffe_id[9:]])], "DENY", name="no-enemy", ns="default"))
        os.chmod(self.web.dir, 0o777)
        conf = os.path.join(self.web.dir, "nginx.conf")
        with open(conf, "w") as f:
            f.write(CONF.format(dir=self.web.dir))
        self.web.spawn("nginx", "nginx", "-c", conf, "-e", "stderr")
        for port in PORTS.values():
            self.web.wait_port(port)
        mesh.start("--handshake-timeout", "1s", "--detect-timeout", "1s")
        self.loopback = Loopback(self.web)
        self.leaves = {p.name: make_leaf(mesh, p.name, p.spiffe_id) for p in (self.friend, self.enemy)}

    def served(self):
        with open(os.path.join(self.web.dir, "stream.log")) as f:
            return len(f.readlines())


@pytest.fixture(scope="module")
def lab():
    with make_mesh() as m:
        lab = Lab(m)
        yield lab
        lab.loopback.stop()


def silence(lab, fn):
    """fn() must leave no trace at the application."""
    served, packets = lab.served(), lab.loopback.packets()
    out = fn()
    assert lab.served() == served, "nginx served somebody"
    assert lab.loopback.packets() == packets, "something passed on the loopback"
    return out


@pytest.mark.parametrize("port", PORTS.values(), ids=PORTS.keys())
def test_the_allowed_one_sees_the_banner(lab, family, port):
    served, packets = lab.served(), lab.loopback.packets()
    with connect(lab.friend, lab.web.ip(family), port) as s:
        assert read_until(s, b"\n") == BANNER
    wait_for("nginx's log", lambda: lab.served() > served)
    assert lab.loopback.packets() > packets, "the witness sees nothing"


@pytest.mark.parametrize("payload", [b"", b"\x00hello", b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"],
                         ids=["silent", "raw", "http"])
@pytest.mark.parametrize("port", PORTS.values(), ids=PORTS.keys())
def test_the_denied_one_does_not(lab, family, port, payload):
    def refusals():
        return lab.web.metric("weft_connections_refused_total", direction="inbound", reason="RBAC") + \
            lab.web.metric("weft_requests_total", direction="inbound", reason="RBAC")

    before = refusals()

    def call():
        s = connect(lab.enemy, lab.web.ip(family), port)
        with s:
            s.sendall(payload)
            data = b""
            try:
                while piece := s.recv(4096):
                    data += piece
                    if data.startswith(b"HTTP/1.1 403") and b"access denied" in data:
                        break
            except OSError:
                pass
        return data

    data = silence(lab, call)
    assert b"220" not in data and (data == b"" or data.startswith((b"HTTP/1.1 403", b"HTTP/1.1 503"))), data
    wait_for("the refusal", lambda: refusals() > before)


@pytest.mark.parametrize("port", PORTS.values(), ids=PORTS.keys())
def test_a_stranger_does_not(lab, family, port):
    for payload in (b"", b"\x00hello", b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"):
        data, how = silence(lab, lambda: attempt(lab.stranger, lab.web.ip(family), port, payload))
        assert data == b"" and how in ("reset", "eof")


@pytest.mark.parametrize("alpn", ["weft/tcp", "weft/http1.1", "weft/h2", "weft/h2-h1"])
@pytest.mark.parametrize("port", PORTS.values(), ids=PORTS.keys())
def test_a_denied_key_without_a_sidecar_does_not(lab, family, port, alpn):
    """The enemy's key in hands that speak to the inbound sidecar directly."""
    def call():
        with dial_tls(lab.stranger, lab.web.ip(family), port, lab.leaves["enemy"], alpn, timeout=3) as s:
            try:
                if alpn == "weft/http1.1":
                    s.sendall(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
                if alpn.startswith("weft/h2"):
                    s.sendall(b"no preface of HTTP/2\r\n\r\n")
                return b"".join(iter(lambda: s.recv(4096), b""))
            except (OSError, socket.timeout):
                return b""

    data = silence(lab, call)
    assert b"220" not in data and (alpn != "weft/http1.1" or data.startswith(b"HTTP/1.1 403")), data
