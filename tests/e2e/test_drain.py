"""No failed request: sidecars that leave, endpoints that come and go, certificates and roots that change, and
applications that close kept connections, all under a load whose every request is tagged and recorded at both
ends, over both families at once."""

import os
import signal

import pytest

from conftest import make_mesh
from weftnet import WeftError, apps, run, wait_for
from weftnet.inside import App
from weftnet.load import Load
from weftnet.mesh import SANITIZED, WEFT

MANY = 300 if SANITIZED else 1500
TOTAL = 1000 if SANITIZED else 10000
HTTP = """
  server { listen 8080; listen [::]:8080; keepalive_timeout 60s;
    location / { default_type text/plain; return 200 "$server_addr $http_x_tag\\n"; } }
"""


class World:
    """A client and two servers of one Service."""

    def __init__(self, mesh):
        self.mesh, self.total = mesh, 0
        self.client = mesh.pod("client")
        self.webs = [mesh.pod(f"web{n}", sa="web", labels={"app": "web"}, ports=[("http", 8080), ("http", 8081)])
                     for n in range(2)]
        self.service = mesh.service("web", [{"name": "http", "port": 80, "targetPort": 8080},
                                            {"name": "http-fickle", "port": 81, "targetPort": 8081}])
        self.servers = [apps.Nginx(w, HTTP, [8080]) for w in self.webs]
        for pod in [self.client] + self.webs:
            pod.start_sidecar("--min-drain", "1s")

    def targets(self, port=80):
        return [(self.service.ip4, port), (self.service.ip6, port)]

    def load(self, **kw):
        return Load(self.client, self.targets(), **kw)

    def settle(self, load):
        """The load goes on for a while, ends, and is compared with the servers' records."""
        self.total += load.finish(MANY)
        load.judge(self.servers)
        return load

    def tell(self, *pods):
        """New states for these, in force when this returns."""
        before = [p.sidecar.text().count("configuration in force") for p in pods]
        for p in pods:
            p.compile()
        for p, n in zip(pods, before):
            wait_for("the new state", lambda p=p, n=n: p.sidecar.text().count("configuration in force") > n)

    def leave(self, pod):
        """SIGTERM, and readiness fails at once while the sidecar serves on."""
        pod.sidecar.signal(signal.SIGTERM)
        wait_for("readiness to fail", lambda: pod.admin("/healthz/ready")[0] == 503)
        assert "draining" in pod.admin("/healthz/ready")[1]

    def come_back(self, pod):
        pod.ready = True
        pod.start_sidecar("--min-drain", "1s", capture=False)


@pytest.fixture(scope="module")
def world():
    with make_mesh() as m:
        yield World(m)


@pytest.mark.parametrize("told", [True, False], ids=["endpoint-removed", "nobody-told"])
def test_sigterm_of_a_server(world, told):
    """The one that leaves serves until its time is over; what comes later goes to the other one."""
    leaving, staying = world.webs
    load = world.load()
    world.leave(leaving)
    served = load.answers[leaving.ip4] + load.answers[leaving.ip6]
    load.wait_more(MANY // 4)
    assert load.answers[leaving.ip4] + load.answers[leaving.ip6] > served, "it stopped serving at once"
    if told:
        leaving.ready = False
        world.tell(world.client)
    assert leaving.sidecar.wait(30) == 0, leaving.sidecar.text()[-2000:]
    served = load.answers[leaving.ip4] + load.answers[leaving.ip6]
    world.settle(load)
    assert load.answers[leaving.ip4] + load.answers[leaving.ip6] == served
    world.come_back(leaving)
    world.tell(world.client)


def test_sigterm_of_the_client(world):
    """What the application itself calls goes on until it ends; then the sidecar goes."""
    load = world.load()
    world.leave(world.client)
    load.wait_more(MANY)
    assert world.client.sidecar.alive()
    world.settle(load)
    assert world.client.sidecar.wait(30) == 0
    world.come_back(world.client)


def test_endpoints_come_and_go(world):
    load = world.load()
    for n in range(8):
        pod = world.webs[n % 2]
        pod.ready = False
        world.tell(world.client)
        load.wait_more(MANY // 20)
        pod.ready = True
        world.tell(world.client)
        load.wait_more(MANY // 20)
    world.settle(load)


def test_certificates_and_roots_change(world):
    """Both roots are trusted by all before anybody shows a leaf of the new one, and the old one goes last."""
    mesh = world.mesh
    everybody = [world.client] + world.webs

    def root(name):
        folder = os.path.join(mesh.dir, name)
        run(WEFT, "cert", "root", "--trust-domain", mesh.trust_domain, "--out", folder)
        return folder

    def issuer(name, root, *trusted):
        """An intermediate below root, in a folder whose bundle has these roots."""
        folder = os.path.join(mesh.dir, name)
        run(WEFT, "cert", "intermediate", "--ca", root, "--out", folder)
        with open(os.path.join(folder, "root.pem"), "w") as out:
            for r in trusted:
                with open(os.path.join(r, "root.pem")) as f:
                    out.write(f.read())
        return folder

    old, new = mesh.ca, root("root-new")
    load = world.load()
    world.tell(*everybody)  # fresh leaves of the same root
    load.wait_more(MANY // 4)
    # Leaves of the new root come twice: connections that were made while the other end still showed one of the
    # old root are gone before that is trusted no more, as they are when its last leaf has expired.
    first, second, last = issuer("a", old, old, new), issuer("b", new, old, new), issuer("c", new, new)
    for ca in (first, second, second, last):
        mesh.ca = ca
        for pod in everybody:
            world.tell(pod)
            load.wait_more(MANY // 20)
    world.settle(load)
    with pytest.raises(WeftError):  # what is in force now has nothing to do with the old root
        run(WEFT, "cert", "verify", "--bundle", os.path.join(old, "root.pem"), os.path.join(mesh.ca, "intermediate.pem"))


def test_application_reloads(world):
    """nginx closes kept connections whenever it is reloaded; nothing that may be repeated is lost."""
    load = world.load(methods=("GET",))
    for _ in range(6):
        for server in world.servers:
            server.proc.signal(signal.SIGHUP)
            load.wait_more(MANY // 20)
    world.settle(load)


class Fickle(App):
    """Answers a few requests on each connection and then closes it without a word."""

    def __init__(self, pod, port):
        self.seen = []
        super().__init__(pod, port, self.answer)

    def answer(self, conn):
        for _ in range(3):
            request = conn.request()
            if request is None:
                return
            tag = request[1]["x-tag"][0]
            self.seen.append({"tag": tag, "method": request[0].split()[0]})
            body = f"{self.pod.name} {tag}\n".encode()
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    def records(self, prefix):
        return [e for e in self.seen if e["tag"].startswith(prefix)]


def test_kept_connections_are_closed(world):
    fickle = [Fickle(w, 8081) for w in world.webs]
    load = Load(world.client, world.targets(81), methods=("GET",))
    world.total += load.finish(MANY)
    load.judge(fickle)
    for app in fickle:
        app.close()


def test_it_was_enough(world):
    assert world.total >= TOTAL
    for pod in [world.client] + world.webs:
        wait_for("requests to end", lambda pod=pod: pod.metric("weft_requests_in_flight") == 0)
        assert pod.admin("/healthz/ready")[0] == 200
