"""A running sidecar and the state files that are dropped onto it: what is torn, foreign, expired or not a
proper file is refused whole, the old state stays in force, and metric and log say so."""

import os
import time

import pytest

from conftest import make_mesh
from test_policy import GET, policy
from weftnet import run, wait_for
from weftnet.inside import App, attempt, connect, http1, read_response
from weftnet.mesh import PROXY_UID, WEFT
from weftnet.mtls import make_leaf, make_root


class Lab:
    def __init__(self, mesh):
        self.mesh = mesh
        self.client, self.web = mesh.pod("client"), mesh.pod("web", ports=[("http", 8080)])
        self.app = App(self.web, 8080, http1())
        self.client.start_sidecar()
        self.web.start_sidecar("--trust-domain", "cluster.local", "--pod-uid", self.web.uid)
        # What comes later would deny everybody: a refused file must not show in any way.
        mesh.apply(policy([{}], "DENY", ns="default"))
        self.good = self.compile_for(self.web)

    def compile_for(self, pod, *flags, ca=None):
        """The bytes of a state file for the pod."""
        out = os.path.join(self.mesh.dir, "candidate")
        if os.path.exists(out):
            os.unlink(out)
        self.mesh.write_manifests()
        run(WEFT, "compile", self.mesh.manifests, "--pod", f"{pod.ns}/{pod.name}", "--ca", ca or self.mesh.ca,
            "--out", out, *flags)
        with open(out, "rb") as f:
            return f.read()

    def drop(self, data, mode=0o600):
        """Puts a new state file in place as everybody does: written aside, renamed."""
        tmp = self.web.state + ".tmp"
        with open(tmp, "wb") as f:
            f.write(data)
        os.chmod(tmp, mode)
        os.chown(tmp, PROXY_UID, PROXY_UID)
        os.rename(tmp, self.web.state)

    def refused(self, text, put):
        """put() must be answered by one refusal with this text, and change nothing else."""
        before, seen = self.web.metric("weft_state_refused_total"), len(self.web.log())
        put()
        wait_for("the refusal", lambda: self.web.metric("weft_state_refused_total") > before)
        events = [e for e in self.web.log()[seen:] if e.get("room") == "state"]
        assert events and all("refused; the last good one stays in force" in e["msg"] for e in events), events
        assert text in events[-1]["error"], events[-1]
        assert self.web.admin("/healthz/ready")[0] == 200
        for family in (4, 6):
            assert self.status(family) == 200

    def learn_pods(self):
        """The client hears of pods that were made meanwhile."""
        before = self.client.sidecar.text().count("configuration in force")
        self.client.compile()
        wait_for("the pods to be known", lambda: self.client.sidecar.text().count("configuration in force") > before)

    def status(self, family):
        with connect(self.client, self.web.ip(family), 8080) as s:
            s.sendall(GET)
            return read_response(s)[0]


@pytest.fixture(scope="module")
def lab():
    with make_mesh() as m:
        lab = Lab(m)
        yield lab
        lab.app.close()


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


HEAD = len(b"weft-state\n") + 8 + 32
TORN = {
    "one-byte": (lambda d: d[:1], "not a Weft state file"),
    "half-a-head": (lambda d: d[:HEAD // 2], "not a Weft state file"),
    "head-alone": (lambda d: d[:HEAD], "torn"),
    "half": (lambda d: d[:len(d) // 2], "torn"),
    "last-byte-missing": (lambda d: d[:-1], "torn"),
    "byte-too-many": (lambda d: d + b"\0", "torn"),
    "twice": (lambda d: d + d, "torn"),
    "magic": (lambda d: flip(d, 0), "not a Weft state file"),
    "length": (lambda d: flip(d, HEAD - 33), "torn"),
    "checksum": (lambda d: flip(d, HEAD - 1), "checksum"),
    "first-bit": (lambda d: flip(d, HEAD), "checksum"),
    "last-bit": (lambda d: flip(d, len(d) - 1), "checksum"),
    "zeros": (lambda d: d[:HEAD] + bytes(len(d) - HEAD), "checksum"),
    "text": (lambda d: b"apiVersion: v1\nkind: Pod\n", "not a Weft state file"),
}


@pytest.mark.parametrize("how", TORN)
def test_torn(lab, how):
    spoil, text = TORN[how]
    lab.refused(text, lambda: lab.drop(spoil(lab.good)))


def test_not_a_proper_file(lab):
    regular = "must be a regular file of mode 0600"
    lab.refused(regular, lambda: lab.drop(b""))
    lab.refused(regular, lambda: lab.drop(lab.good, 0o644))
    lab.refused(regular, lambda: lab.drop(lab.good, 0o660))
    path = lab.web.state

    def link():
        with open(path + ".else", "wb") as f:
            f.write(lab.good)
        os.chmod(path + ".else", 0o600)
        os.chown(path + ".else", PROXY_UID, PROXY_UID)
        os.symlink(path + ".else", path + ".tmp")
        os.rename(path + ".tmp", path)

    def fifo():
        os.mkfifo(path + ".tmp", 0o600)
        os.chown(path + ".tmp", PROXY_UID, PROXY_UID)
        os.rename(path + ".tmp", path)

    lab.refused("symbolic links", link)
    lab.refused(regular, fifo)
    os.unlink(path)


def test_foreign(lab):
    pod = lab.compile_for(lab.client)
    lab.refused("foreign: pod UID", lambda: lab.drop(pod))
    ca = make_root(lab.mesh, "ca-foreign", "other.example")
    lab.mesh.trust_domain = "other.example"
    try:
        domain = lab.compile_for(lab.web, ca=ca)
    finally:
        lab.mesh.trust_domain = "cluster.local"
    lab.refused("foreign: trust domain other.example, expected cluster.local", lambda: lab.drop(domain))


def test_expired(lab):
    leaf = make_leaf(lab.mesh, "expired", lab.web.spiffe_id, "--broken", "expired", uid=lab.web.uid)
    lab.refused("the leaf expired", lambda: lab.drop(lab.compile_for(lab.web, "--leaf", leaf)))


def test_gone(lab):
    """A file that vanishes takes nothing with it."""
    before = lab.web.metric("weft_state_refused_total")
    if os.path.exists(lab.web.state):
        os.unlink(lab.web.state)
    run("kill", "-HUP", lab.web.sidecar.pid)
    wait_for("the attempt", lambda: "No such file" in lab.web.sidecar.text())
    assert lab.web.metric("weft_state_refused_total") == before
    for family in (4, 6):
        assert lab.status(family) == 200


def test_a_good_one_comes_through(lab):
    """After all that the next good file is taken, and is in force for the connections that are there."""
    s = {family: connect(lab.client, lab.web.ip(family), 8080) for family in (4, 6)}
    before = lab.web.sidecar.text().count("configuration in force")
    lab.drop(lab.good)
    wait_for("the good state", lambda: lab.web.sidecar.text().count("configuration in force") == before + 1)
    for family, sock in s.items():
        with sock:
            sock.sendall(GET)
            assert read_response(sock)[0] == 403
        assert lab.status(family) == 403


def test_start_on_a_bad_file(lab):
    """Without a last good one there is nothing to stay in force: not ready, and every connection is refused."""
    pod = lab.mesh.pod("fresh", ports=[("http", 8080)])
    with App(pod, 8080, http1()) as app:
        with open(pod.state, "wb") as f:
            f.write(lab.good[:-1])
        os.chmod(pod.state, 0o600)
        os.chown(pod.state, PROXY_UID, PROXY_UID)
        pod.start_sidecar(compile=False, wait=False)
        pod.sidecar.wait_text('"listening"')
        status, text = pod.admin("/healthz/ready")
        assert status == 503 and "torn" in text
        lab.learn_pods()
        for family in (4, 6):
            with connect(lab.client, pod.ip(family), 8080) as s:
                s.sendall(GET)
                status, head, _ = read_response(s)
                assert status == 503 and b"x-weft-reason: UF" in head
            assert attempt(pod, lab.web.ip(family), 8080, GET) == (b"", "reset")
        for direction in ("inbound", "outbound"):
            assert pod.metric("weft_connections_refused_total", direction=direction, reason="not_ready") >= 2
        assert not app.conns


def test_stale(lab):
    """Beyond max-stale new connections are refused, open ones go on."""
    pod = lab.mesh.pod("old", ports=[("http", 8080)])
    lab.mesh.delete("AuthorizationPolicy", "p", "default")
    lab.learn_pods()
    with App(pod, 8080, http1()):
        written = int(time.time()) - 3600 + 4  # four seconds from now it is an hour old
        pod.compile("--now", str(written))
        pod.start_sidecar("--max-stale", "1h", compile=False)
        sockets = {family: connect(lab.client, pod.ip(family), 8080) for family in (4, 6)}
        raw = {family: connect(pod, lab.web.ip(family), 8080) for family in (4, 6)}
        for s in list(sockets.values()) + list(raw.values()):
            s.sendall(GET)
            assert read_response(s)[0] in (200, 403)
        wait_for("the state to be stale", lambda: pod.admin("/healthz/ready")[0] == 503)
        assert "older than max-stale" in pod.admin("/healthz/ready")[1]
        for family in (4, 6):
            assert attempt(pod, lab.web.ip(family), 8080, GET) == (b"", "reset")
        for s in list(sockets.values()) + list(raw.values()):
            s.sendall(GET)
            assert read_response(s)[0] in (200, 403), "an open connection was cut"
            s.close()
        assert pod.metric("weft_connections_refused_total", direction="outbound", reason="stale") == 2
        pod.compile()
        wait_for("ready again", lambda: pod.admin("/healthz/ready")[0] == 200)


def test_a_mended_owner_or_mode_is_enough(lab):
    """Put in place by root and given to the sidecar only then: it is not forgotten after the refusal."""
    for put, mend in ((lambda: os.chown(lab.web.state + ".tmp", 0, 0),
                       lambda: os.chown(lab.web.state, PROXY_UID, PROXY_UID)),
                      (lambda: os.chmod(lab.web.state + ".tmp", 0o644), lambda: os.chmod(lab.web.state, 0o600))):
        taken, refused = lab.web.sidecar.text().count("configuration in force"), lab.web.metric("weft_state_refused_total")
        with open(lab.web.state + ".tmp", "wb") as f:
            f.write(lab.compile_for(lab.web))
        os.chmod(f.name, 0o600)
        os.chown(f.name, PROXY_UID, PROXY_UID)
        put()
        os.rename(f.name, lab.web.state)
        wait_for("the refusal", lambda: lab.web.metric("weft_state_refused_total") > refused)
        mend()
        wait_for("the state", lambda: lab.web.sidecar.text().count("configuration in force") > taken)
