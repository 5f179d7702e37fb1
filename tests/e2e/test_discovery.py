"""What sidecars do when discovery is slow, silent, dishonest or wrong: nothing is guessed, nothing unprotected
carries a request, what is refused is named, and what worked goes on."""

import os
import socket
import sys

import pytest

from conftest import make_mesh, url
from test_policy import policy
from weftnet import SANITIZED, Proc, pcap, run, wait_for
from weftnet.control import NODE_IP4
from weftnet.inside import App, attempt, connect, echo, http1, inside
from weftnet.mesh import ROOT
from weftnet.mtls import make_leaf

HTTP = 8080
HALF_PORT = 16012
UNKNOWN = {4: "10.96.0.{}", 6: "fd96::{:x}"}


class World:
    def __init__(self, mesh):
        self.mesh, self.control = mesh, mesh.control
        self.client, self.web = mesh.pod("client"), mesh.pod("web", ports=[("http", HTTP)])
        # Outside of the mesh's ranges, for what must not be delayed.
        self.outside = mesh.pod("outside", meshed=False)
        run("ip", "-n", self.outside.netns, "addr", "add", "203.0.113.7/32", "dev", "eth0")
        run("ip", "-n", self.client.netns, "route", "add", "203.0.113.7/32", "via", self.outside.ip4)
        self.service = mesh.service("web", ("http", 80), target=HTTP)
        self.app, self.far = App(self.web, HTTP, http1()), App(self.outside, HTTP, http1())
        mesh.start()

    def get(self, ip, port=80):
        return self.client.exec("curl", "-sS", "-m", "15", "-i", url(ip, port), check=False).stdout


@pytest.fixture(scope="module")
def world():
    with make_mesh(control=[]) as m:
        w = World(m)
        yield w
        w.app.close()
        w.far.close()


def drop(mesh, on):
    """The node drops whatever comes for the control plane's port."""
    run("ip", "netns", "exec", mesh.node, "iptables", "-A" if on else "-D", "INPUT", "-p", "tcp", "--dport", "15012",
        "-j", "DROP")


def sent_to(pod, *ips):
    """TCP packets that left the pod for one of these addresses, in clear or not."""
    pod.recorder.catch_up()
    wanted = {socket.inet_pton(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip) for ip in ips}
    return [packet for packet in pcap.read_packets(pod.recorder.path) if packet[2] in wanted]


@pytest.mark.parametrize("how", ["drops SYNs", "is silent"])
def test_unknown_address(world, family, how):
    """The first connection to an unknown mesh address is refused in time with its reason, for HTTP and bytes."""
    n = 100 if how == "is silent" else 150
    unknown, raw = (UNKNOWN[family].format(n + i) for i in (1, 2))
    assert "HTTP/1.1 200" in world.get(world.service.ip(family))
    if how == "is silent":
        world.control.freeze()
    else:
        world.control.kill()
        drop(world.mesh, True)
    try:
        out = world.get(unknown)
        assert "HTTP/1.1 503" in out and "x-weft-reason: discovery" in out, out
        assert attempt(world.client, raw, 80, b"\x00raw")[0] == b""
        assert world.client.metric("weft_connections_refused_total", reason="discovery") >= 1
        assert sent_to(world.client, unknown, raw) == []
        # Known traffic goes on, and what lies outside of the mesh is not even asked for.
        assert "HTTP/1.1 200" in world.get(world.service.ip(family))
        asked = world.client.metric("weft_lookup_total")
        assert "HTTP/1.1 200" in world.get("203.0.113.7", HTTP)
        assert world.client.metric("weft_lookup_total") == asked
    finally:
        if how == "is silent":
            world.control.thaw()
        else:
            drop(world.mesh, False)
            world.control.start()
    world.control.wait_connected(2)
    assert "HTTP/1.1 200" in world.get(world.service.ip(family))


DIAL = """
import socket, sys, select
base, n = sys.argv[1], int(sys.argv[2])
v6 = ":" in base
held = []
for i in range(n):
    ip = base + (format(i + 256, "x") if v6 else f"{i // 250 % 250 + 1}.{i % 250 + 1}")
    s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET)
    s.setblocking(False)
    s.connect_ex((ip, 80))
    held.append(s)
    if len(held) > 400:
        held.pop(0).close()
print("done")
"""


def rss_kib(pod):
    with open(f"/proc/{pod.sidecar.pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def test_many_addresses(world):
    """An application that dials 100,000 addresses: bounded in the sidecar and at the control plane."""
    n = 5_000 if SANITIZED else 50_000

    def dial(number):
        for base in ("10.96.", "fd96::1:"):
            world.client.exec("/usr/bin/python3", "-c", DIAL, base, str(number), timeout=300)
        wait_for("connections to end", lambda: world.client.metric("weft_connections_open", ) < 20, timeout=60)
    # What it takes at most depends on how many of them are open at a time; what leaks is more each time.
    dial(min(n, 20_000))
    rss = [rss_kib(world.client)]
    for _ in range(3):
        dial(n)
        rss.append(rss_kib(world.client))
        if rss[-1] - rss[-2] < 2 * 1024:
            break
    if not SANITIZED:
        assert rss[-1] - rss[-2] < 2 * 1024, rss
    # What a connection in plaintext uses is not forgotten; afterwards it is.
    wait_for("subscriptions", lambda: world.client.metric("weft_discovery_subscriptions") <= 4096 + 1024 + 1024)
    assert "HTTP/1.1 200" in world.get(world.service.ip4)
    assert world.control.admin("/healthz/ready")[0] == 200


# -- a control plane that is not honest -----------------------------------------------------------------------------

class Half:
    """apps/halfplane.py before the real control plane; a pod's sidecar that lives from it."""

    def __init__(self, world):
        self.world, mesh = world, world.mesh
        pb2 = os.path.join(mesh.dir, "pb2")
        os.makedirs(pb2, exist_ok=True)
        run("protoc", f"--proto_path={ROOT}/proto", f"--python_out={pb2}", "weft/mesh/v1/discovery.proto",
            "weft/mesh/v1/mesh.proto")
        leaf = make_leaf(mesh, "halfplane", "spiffe://cluster.local/ns/weft-system/sa/weft-ctrlplane",
                         ca=mesh.control.signer())
        self.mode_file = os.path.join(mesh.dir, "mode")
        self.mode("whole")
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "apps", "halfplane.py")
        self.proc = Proc("halfplane", mesh.control.enter(
            sys.executable if sys.executable.startswith("/usr/bin") else "/usr/bin/python3", program, pb2,
            f"{NODE_IP4}:{HALF_PORT}", leaf + ".pem", leaf + "-key.pem", f"{NODE_IP4}:15012", mesh.control.root,
            self.mode_file), os.path.join(mesh.dir, "halfplane.log"))
        self.proc.wait_text("serving")

    def mode(self, text):
        with open(self.mode_file, "w") as f:
            f.write(text)

    def start(self, pod, **kw):
        self.world.control.reload()
        return pod.start_sidecar("--control-plane", f"{NODE_IP4}:{HALF_PORT}", **kw)


@pytest.fixture(scope="module")
def half(world):
    h = Half(world)
    yield h
    h.proc.kill()


@pytest.mark.parametrize("mode", ["no-policies", "no-revocations"])
def test_withheld(world, half, mode):
    """Everything but one required list: not ready, and no request reaches the application, by any way in."""
    pod = world.mesh.pod("half-" + mode, ports=[("http", HTTP)])
    stranger = world.mesh.pod("s-" + mode, meshed=False)
    app = App(pod, HTTP, http1())
    half.mode(mode)
    half.start(pod, wait=False)
    pod.sidecar.wait_text('"listening"')
    wait_for("the rest to have come", lambda: "certificate issued" in pod.sidecar.text() or
             "leaf" in pod.sidecar.text())
    world.control.settled()
    for family in (4, 6):
        assert "HTTP/1.1 503" in world.get(pod.ip(family), HTTP)
        assert attempt(stranger, pod.ip(family), HTTP, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")[0] == b""
    status, why = pod.admin("/healthz/ready")
    assert status == 503 and ("polic" if mode == "no-policies" else "revocation") in why, why
    assert not app.conns
    half.mode("whole")
    pod.sidecar.stop()
    half.start(pod, capture=False)
    out = world.get(pod.ip4, HTTP)
    assert "HTTP/1.1 200" in out, out
    pod.sidecar.stop()
    app.close()


def test_nack_is_visible(world, half):
    """A policy that the sidecar cannot take denies what it selects; proxy-status names resource, field and reason."""
    half.mode("bad-policy")
    pod = world.mesh.pod("nack", ports=[("http", HTTP)])
    app = App(pod, HTTP, http1())
    allow = policy([{}], "ALLOW", ns="default", name="open", selector={"matchLabels": {"app": "nack"}})
    world.mesh.apply(allow)
    half.start(pod)
    out = world.get(pod.ip4, HTTP)
    assert "HTTP/1.1 403" in out, out
    rejections = wait_for("the NACK", lambda: world.control.proxies()["default/nack"]["rejections"])
    assert rejections[0]["resource"] == "AuthorizationPolicy/default/open"
    assert "prefix" in rejections[0]["reason"] or "prefix" in rejections[0]["field"], rejections
    done = world.control.weft("proxy-status", check=False)
    assert "AuthorizationPolicy/default/open" in done.stdout and done.returncode == 1, done.stdout
    world.mesh.delete("AuthorizationPolicy", "open")
    half.mode("whole")
    world.control.reload()
    wait_for("the denial to go", lambda: "HTTP/1.1 200" in world.get(pod.ip4, HTTP))
    wait_for("the NACK to go", lambda: not world.control.proxies()["default/nack"]["rejections"])
    pod.sidecar.stop()
    app.close()


def test_unasked(world, half):
    """What was not asked for is not taken, and said."""
    half.mode("unasked")
    pod = world.mesh.pod("unasked")
    half.start(pod)
    assert "Service/default/unasked" not in pod.admin("/config_dump")[1].split('"rejections"')[0]
    assert "unasked" in pod.sidecar.text()
    pod.sidecar.stop()
    half.mode("whole")


def test_broken_deny_through_restarts(world):
    """A DENY that is edited into nonsense stays in force, and denies after both were restarted."""
    deny = policy([{"from": [{"source": {"principals": ["cluster.local/ns/default/sa/client"]}}]}], "DENY",
                  ns="default", name="no-client", selector={"matchLabels": {"app": "web"}})
    world.mesh.apply(deny)
    world.control.reload()
    assert "HTTP/1.1 403" in world.get(world.service.ip4)
    broken = {**deny, "spec": {**deny["spec"], "rulez": []}}
    world.mesh.apply(broken)
    world.mesh.write_manifests()
    wait_for("the complaint", lambda: "rulez" in world.control.admin("/problems")[1])
    assert "HTTP/1.1 403" in world.get(world.service.ip4)
    seen = len(world.app.conns)
    world.control.kill()
    world.web.sidecar.kill()
    world.client.sidecar.kill()
    world.control.start()
    for pod in (world.web, world.client):
        pod.start_sidecar(capture=False, fresh=False)
    for family in (4, 6):
        assert "HTTP/1.1 403" in world.get(world.service.ip(family))
    assert len(world.app.conns) == seen
    world.mesh.delete("AuthorizationPolicy", "no-client")
    world.control.reload()
    wait_for("the denial to go", lambda: "HTTP/1.1 200" in world.get(world.service.ip4))
