"""Certificates that live for seconds: leaves and then the root are replaced under load with no failed request,
and leaves that ran out while the control plane was away close the mesh until it is back, without a restart."""

import json
import os
import ssl
import subprocess
import threading

import pytest

from conftest import make_mesh, url
from weftnet import SANITIZED, apps, wait_for
from weftnet.load import Load
from weftnet.mtls import dial_tls, make_leaf

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "apps", "rpc.py")
LEAF_S = 10
HTTP = """
  server { listen 8080; listen [::]:8080; keepalive_timeout 60s;
    location / { default_type text/plain; return 200 "$server_addr $http_x_tag\\n"; } }
"""


class Serials(threading.Thread):
    """Shakes hands with a pod's sidecar again and again, as a peer of the mesh, and keeps the serials it shows."""

    def __init__(self, source, dest, leaf):
        super().__init__(daemon=True)
        self.source, self.dest, self.leaf, self.over = source, dest, leaf, threading.Event()
        self.seen, self.failures = [], []
        self.start()

    def run(self):
        while not self.over.is_set():
            try:
                with dial_tls(self.source, self.dest.ip4, 8080, self.leaf) as s:
                    serial = ssl_serial(s)
                    if serial not in self.seen:
                        self.seen.append(serial)
            except OSError as e:
                self.failures.append(repr(e))
            self.over.wait(0.5)

    def stop(self):
        self.over.set()
        self.join(20)
        return self.seen


def ssl_serial(s):
    """Serial number of the peer's leaf."""
    pem = ssl.DER_cert_to_PEM_cert(s.getpeercert(binary_form=True))
    out = subprocess.run(["openssl", "x509", "-noout", "-serial"], input=pem, capture_output=True, text=True, check=True)
    return out.stdout.strip()


class World:
    def __init__(self, mesh):
        self.mesh, self.control = mesh, mesh.control
        self.client = mesh.pod("client")
        self.web = mesh.pod("web", ports=[("http", 8080), ("grpc", 50051)])
        self.probe = mesh.pod("probe", meshed=False)
        self.service = mesh.service("web", [{"name": "http", "port": 80, "targetPort": 8080},
                                            {"name": "grpc", "port": 81, "targetPort": 50051}])
        self.server = apps.Nginx(self.web, HTTP, [8080])
        self.web.spawn("rpc", "/usr/bin/python3", PROGRAM, "serve", "50051", ready="serving")
        mesh.start()

    def everything(self):
        """200 requests/s on 16 connections, 20 new connections/s, one gRPC stream."""
        targets = [(self.service.ip4, 80), (self.service.ip6, 80)]
        return [Load(self.client, targets, workers=16, pace=16 / 200, per_connection=10 ** 9),
                Load(self.client, targets, workers=4, pace=4 / 20, per_connection=1)]

    def stream(self):
        return self.client.spawn("hold", "/usr/bin/python3", PROGRAM, "hold", f"ipv4:{self.service.ip4}:81", "held",
                                 ready="first")

    def end_stream(self, proc):
        """It went on to the end, was reopened only where it was drained, and lost nothing."""
        before = proc.text().count("beat")
        wait_for("the stream to go on", lambda: proc.text().count("beat") > before)
        proc.stop()
        assert '"error"' not in proc.text(), proc.text()[-2000:]

    def serial(self, pod):
        return json.loads(pod.admin("/config_dump")[1])["identity"]["serial"]


@pytest.fixture(scope="module")
def world():
    with make_mesh(control=["--leaf-lifetime", f"{LEAF_S}s", "--backdate", "5s", "--issue-per-minute", "600",
                            "--issue-burst", "100"]) as m:
        yield World(m)


def test_leaves_are_renewed_under_load(world):
    """A minute of ten-second leaves."""
    leaf = make_leaf(world.mesh, "prober", "spiffe://cluster.local/ns/default/sa/prober", ca=world.control.signer())
    serials = Serials(world.probe, world.web, leaf)
    loads, stream = world.everything(), world.stream()
    seconds = 30 if SANITIZED else 60
    loads[0].wait_more(200 * seconds)
    seen = serials.stop()
    for load in loads:
        load.finish(10)
    for load in loads:
        load.judge([world.server])
    world.end_stream(stream)
    assert not serials.failures, serials.failures
    assert len(seen) >= (3 if SANITIZED else 5), seen


def test_root_is_replaced_under_load(world):
    old = make_leaf(world.mesh, "old", "spiffe://cluster.local/ns/default/sa/prober", ca=world.control.signer())
    with dial_tls(world.probe, world.web.ip4, 8080, old):
        pass
    loads, stream = world.everything(), world.stream()
    world.control.ca("rotate", "--overlap", "5s")
    assert json.loads(world.control.ca("status", "-o", "json").stdout)["rotation"] is not None
    wait_for("the old root to be gone",
             lambda: json.loads(world.control.ca("status", "-o", "json").stdout)["rotation"] is None, timeout=90)
    loads[0].wait_more(400)
    for load in loads:
        load.finish(10)
    for load in loads:
        load.judge([world.server])
    world.end_stream(stream)

    def refused():
        try:
            with dial_tls(world.probe, world.web.ip4, 8080, old) as s:
                return s.recv(1) == b""
        except (OSError, ssl.SSLError):
            return True
    assert refused(), "a leaf of the old root is still believed"
    assert world.web.metric("weft_connections_refused_total", reason="cert_untrusted") >= 1
    new = make_leaf(world.mesh, "new", "spiffe://cluster.local/ns/default/sa/prober", ca=world.control.signer())
    with dial_tls(world.probe, world.web.ip4, 8080, new):
        pass


def closed(pod, ip, leaf):
    """Whoever does not mind the expired certificate of the server gets nothing there either."""
    try:
        with dial_tls(pod, ip, 8080, leaf) as s:
            return s.recv(1) == b""
    except OSError:
        return True


def test_expired_while_the_control_plane_is_away(world, family):
    """Closed when the leaf has run out; open again when the control plane is back, with no restart."""
    ip = world.service.ip(family)

    def get():
        return world.client.exec("curl", "-sS", "-m", "10", "-i", url(ip, 80), check=False).stdout
    assert "HTTP/1.1 200" in get()
    pids = [p.sidecar.pid for p in (world.client, world.web)]
    leaf = make_leaf(world.mesh, "late", "spiffe://cluster.local/ns/default/sa/prober", ca=world.control.signer())
    world.control.kill()
    for pod in (world.client, world.web):
        wait_for("the leaf to run out", lambda pod=pod: pod.admin("/healthz/ready")[0] == 503, timeout=3 * LEAF_S)
        assert "certificate" in pod.admin("/healthz/ready")[1]
    served = len(world.server.records())
    assert "HTTP/1.1 503" in get()
    assert closed(world.probe, world.web.ip(family), leaf), "the server's sidecar still serves under its own"
    assert world.web.metric("weft_connections_refused_total", reason="own_certificate") >= 1
    assert len(world.server.records()) == served
    world.control.start()
    for pod in (world.client, world.web):
        wait_for("recovery", lambda pod=pod: pod.admin("/healthz/ready")[0] == 200, timeout=60)
    wait_for("traffic", lambda: "HTTP/1.1 200" in get())
    assert pids == [p.sidecar.pid for p in (world.client, world.web)]
    assert all(p.sidecar.alive() for p in (world.client, world.web))
