"""The last-good file of a sidecar that lives from the control plane, and identities that move: what is torn, foreign
or too old is refused whole and named; a pod's address that goes to another pod gets no request."""

import contextlib
import json
import os
import shutil
import threading

import pytest

from conftest import make_mesh, url
from weftnet import SANITIZED, run, wait_for
from weftnet.inside import App, connect, http1, read_response
from weftnet.mesh import PROXY_UID

HTTP = 8080
GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"


def named(name):
    body = name.encode()
    return http1(lambda request: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


class World:
    def __init__(self, mesh):
        self.mesh, self.control = mesh, mesh.control
        self.client, self.web = mesh.pod("client"), mesh.pod("web", ports=[("http", HTTP)])
        self.other = mesh.pod("other", sa="web", labels={"app": "other"}, ports=[("http", HTTP)])
        self.service = mesh.service("web", ("http", 80), target=HTTP)
        self.app, self.second = App(self.web, HTTP, named("web")), App(self.other, HTTP, named("other"))
        mesh.start()

    def get(self, ip, port=80):
        return self.client.exec("curl", "-sS", "-m", "15", "-i", url(ip, port), check=False).stdout


@pytest.fixture(scope="module")
def world():
    with make_mesh(control=[]) as m:
        w = World(m)
        yield w
        w.app.close()
        w.second.close()


def flip(data):
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1:]


CASES = {
    "truncated": (lambda w, data: data[:len(data) // 2], "torn", ()),
    "bit-flipped": (lambda w, data: flip(data), "torn", ()),
    "empty": (lambda w, data: b"", "empty", ()),
    "of-another-pod": (lambda w, data: open(w.other.state, "rb").read(), "foreign", ()),
    "too-old": (lambda w, data: data, "max-stale", ("--max-stale", "1s")),
}


def kept(pod):
    """Everything that the sidecar has is in its file."""
    file = json.loads(pod.admin("/config_dump")[1])["control_plane"]["state_file"]
    return file["writes"] > 0 and not file["waiting"]


@pytest.mark.parametrize("case", CASES)
def test_file_is_refused_and_named(world, case):
    """With the control plane away nothing else is there: not ready, and every connection is refused."""
    bend, text, flags = CASES[case]
    web = world.web
    assert "HTTP/1.1 200" in world.get(world.service.ip4)
    wait_for("the last good files", lambda: kept(web) and kept(world.other))
    world.control.kill()
    web.sidecar.kill()
    with open(web.state, "rb") as f:
        good = f.read()
    shutil.copy(web.state, web.dir + "/good")
    with open(web.state + ".bad", "wb", opener=lambda p, fl: os.open(p, fl, 0o600)) as f:
        f.write(bend(world, good))
    os.chown(web.state + ".bad", PROXY_UID, PROXY_UID)
    os.rename(web.state + ".bad", web.state)
    if flags:
        written = os.stat(web.dir + "/good").st_mtime
        wait_for("the file to age", lambda: __import__("time").time() > written + 3)
    web.start_sidecar(*flags, capture=False, wait=False, fresh=False)
    wait_for("it to listen", lambda: web.admin("/healthz/ready")[0] != 0)
    seen = len(world.app.conns)
    assert web.admin("/healthz/ready")[0] == 503
    assert text in web.sidecar.text() and web.state in web.sidecar.text(), web.sidecar.text()[-2000:]
    assert text in web.admin("/config_dump")[1]
    out = world.get(world.web.ip4, HTTP)
    assert "HTTP/1.1 503" in out and len(world.app.conns) == seen, out
    world.control.start()
    # The credential was in the file: where that is gone, a new join token is what brings the pod back.
    if web.admin("/healthz/ready")[0] != 200:
        web.sidecar.stop()
        web.start_sidecar(capture=False)
    wait_for("service", lambda: "HTTP/1.1 200" in world.get(world.service.ip4))
    assert os.stat(web.state).st_mode & 0o777 == 0o600


def move(mesh, source, dest):
    """The addresses of source, which is gone, now lead to dest."""
    run("ip", "-n", source.netns, "link", "set", "eth0", "down")
    for ip, bits in ((source.ip4, 16), (source.ip6, 64)):
        run("ip", "-n", source.netns, "addr", "del", f"{ip}/{bits}", "dev", "eth0", check=False)  # IPv6: gone with the link
        run("ip", "-n", dest.netns, "addr", "add", f"{ip}/{bits}", "dev", "eth0", *(["nodad"] if ":" in ip else []))
    for pod in mesh.pods.values():
        run("ip", "-n", pod.netns, "neigh", "flush", "all")


def test_memory_backed_file(world):
    """On a volume in memory the last good state is kept without a word, and is enough for a restart; on any other the
    log says so once."""
    web = world.web
    private, told = os.path.dirname(web.state), "is not on a memory-backed volume"
    assert web.sidecar.text().count(told) >= 1
    world.control.wait_connected(3)
    wait_for("service", lambda: "HTTP/1.1 200" in world.get(world.service.ip4))
    web.sidecar.stop()
    run("mount", "-t", "tmpfs", "-o", f"size=4m,mode=0700,uid={PROXY_UID},gid={PROXY_UID}", "weft-test", private)
    try:
        web.start_sidecar(capture=False)
        wait_for("the last good file", lambda: os.path.exists(web.state))
        assert os.stat(web.state).st_mode & 0o777 == 0o600
        before = web.sidecar.text().count(told)
        world.control.kill()
        web.sidecar.kill()
        web.start_sidecar(capture=False, fresh=False)
        assert "HTTP/1.1 200" in world.get(world.service.ip4)
        assert web.sidecar.text().count(told) == before
    finally:
        world.control.start()
        web.sidecar.kill()
        run("umount", private)
    web.start_sidecar(capture=False)
    wait_for("service", lambda: "HTTP/1.1 200" in world.get(world.service.ip4))


class Pressure:
    """Threads that ask one target each, on a new connection for each request; (status, body) of every answer."""

    def __init__(self, client, targets):
        self.client, self.answers, self.over = client, [], threading.Event()
        self.threads = [threading.Thread(target=self.work, args=t, daemon=True) for t in targets]
        for t in self.threads:
            t.start()

    def work(self, ip, port):
        while not self.over.is_set():
            try:
                with connect(self.client, ip, port) as s:
                    s.sendall(GET)
                    status, _, body = read_response(s)
            except OSError:
                status, body = 0, b""
            self.answers.append((status, body))

    def more(self, n):
        goal = len(self.answers) + n
        wait_for(f"{n} more answers", lambda: len(self.answers) >= goal, timeout=90)

    def stop(self):
        self.over.set()
        for t in self.threads:
            t.join(30)
        return self.answers


@contextlib.contextmanager
def deaf(mesh, pod):
    """Nothing passes between the pod and the control plane."""
    rules = [["INPUT", "-s", pod.ip4, "-p", "tcp", "--dport", "15012", "-j", "DROP"],
             ["OUTPUT", "-d", pod.ip4, "-p", "tcp", "--sport", "15012", "-j", "DROP"]]
    for rule in rules:
        run("ip", "netns", "exec", mesh.node, "iptables", "-A", *rule)
    try:
        yield
    finally:
        for rule in rules:
            run("ip", "netns", "exec", mesh.node, "iptables", "-D", *rule)


def test_address_goes_to_another_pod(world):
    """Of the same service account, under load, and nobody told: no request is answered by it, by Service or by
    address, on new connections or kept ones."""
    mesh, client = world.mesh, world.client
    world.control.wait_connected(3)
    targets = [(world.service.ip4, 80), (world.service.ip6, 80), (world.web.ip4, HTTP), (world.web.ip6, HTTP)]
    held = [connect(client, ip, port) for ip, port in targets]
    for s in held:
        s.sendall(GET)
        assert read_response(s)[2] == b"web"
    load = Pressure(client, targets * 2)
    load.more(200)
    before = len(world.second.conns)
    move(mesh, world.web, world.other)
    load.more(40 if SANITIZED else 200)
    for s in held:  # kept connections of before are no way either
        try:
            s.sendall(GET)
            load.answers.append((0, read_response(s)[2]))
        except OSError:
            pass
    answers = load.stop()
    assert not [a for a in answers if a[1] == b"other"], answers
    assert [a for a in answers if a == (200, b"web")] and [a for a in answers if a[0] == 503], answers
    assert len(world.second.conns) == before
    # The source is told, and the new owner of the address hears of it, but the client does not: it meets a leaf of
    # another pod, of the very identity that it expects.
    world.other.ip4, world.other.ip6 = world.web.ip4, world.web.ip6
    web = mesh.pods.pop("web")
    with deaf(mesh, client):
        world.control.reload(wait=False)
        wait_for("the new owner to know", lambda: world.web.ip4 in world.other.admin("/config_dump")[1])
        load = Pressure(client, targets * 2)
        load.more(40 if SANITIZED else 200)
        answers = load.stop()
        assert not [a for a in answers if a[1] == b"other"] and [a for a in answers if a[0] == 503], answers
        assert len(world.second.conns) == before
        assert "the certificate belongs to another pod" in client.sidecar.text(), client.sidecar.text()[-2000:]
    # Then it may answer.
    wait_for("it to be served", lambda: world.get(world.other.ip4, HTTP).endswith("other"))
    assert world.get(world.other.ip6, HTTP).endswith("other")
    mesh.pods["web"] = web
