"""A directory of manifests that goes wrong under a running mesh: the message names file, object and field, it is the
one that `weft check` gives, and what worked goes on; 2,000 Services of which a pod calls three cost it nothing."""

import json
import os

import pytest

from conftest import make_mesh, url
from weftnet import SANITIZED, run, wait_for
from weftnet.inside import App, http1
from weftnet.mesh import WEFT, to_yaml

HTTP = 8080
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "extra", "namespace": "default"},
           "spec": {"clusterIP": "10.96.1.1", "selector": {"app": "web"}, "ports": [{"name": "http", "port": 80,
                                                                                  "targetPort": HTTP}]}}


class World:
    def __init__(self, mesh):
        self.mesh, self.control = mesh, mesh.control
        self.client, self.web = mesh.pod("client"), mesh.pod("web", ports=[("http", HTTP)])
        self.service = mesh.service("web", ("http", 80), target=HTTP)
        self.app = App(self.web, HTTP, http1())
        mesh.start()

    def get(self, ip, port=80):
        return self.client.exec("curl", "-sS", "-m", "15", "-i", url(ip, port), check=False).stdout

    @property
    def extra(self):
        return os.path.join(self.mesh.manifests, "extra.yaml")

    def put(self, text):
        with open(self.extra + ".new", "w") as f:
            f.write(text)
        os.rename(self.extra + ".new", self.extra)

    def problems(self):
        return lines(json.loads(self.control.admin("/problems")[1]))


def lines(answer):
    """Problems as `weft check` prints them."""
    return "\n".join(f"{p['file']}:{p['line']}: {p['object']}: {p['field']}: {p['message']}" for p in answer["problems"])


@pytest.fixture(scope="module")
def world():
    with make_mesh(control=[]) as m:
        w = World(m)
        yield w
        w.app.close()


def bent(**spec):
    return to_yaml([{**SERVICE, "spec": {**SERVICE["spec"], **spec}}])


BROKEN = {
    "no-yaml": ("kind: Service\n  : [\n", ["extra.yaml:"]),
    "unknown-field": (bent(prots=[]), ["extra.yaml:", "Service default/extra", "spec.prots"]),
    "wrong-type": (bent(ports=[{"name": "http", "port": "eighty"}]),
                   ["extra.yaml:", "Service default/extra", "spec.ports[0].port"]),
    "dangling": (to_yaml([SERVICE, {"apiVersion": "mesh.weft.dev/v1alpha1", "kind": "TrafficPolicy",
                                    "metadata": {"name": "t", "namespace": "default"},
                                    "spec": {"targetRefs": [{"group": "", "kind": "Service", "name": "nobody"}],
                                             "loadBalancer": {"simple": "ROUND_ROBIN"}}}]),
                 ["extra.yaml:", "TrafficPolicy default/t", "nobody"]),
    "deep": ("a: " + "[" * 10000 + "]" * 10000 + "\n", ["extra.yaml:"]),
    "large": ("# " + "x" * (50 << 20) + "\n", ["extra.yaml"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken(world, case):
    """A good file goes bad: what it said stays in force; then it is mended."""
    text, names = BROKEN[case]
    world.put(to_yaml([SERVICE]))
    wait_for("the extra Service", lambda: "HTTP/1.1 200" in world.get("10.96.1.1"))
    world.put(text)
    said = wait_for("the complaint", lambda: all(n in world.problems() for n in names) and world.problems())
    assert "HTTP/1.1 200" in world.get("10.96.1.1"), "what worked goes on"
    assert "HTTP/1.1 200" in world.get(world.service.ip4)
    checked = json.loads(run(WEFT, "check", "-o", "json", world.mesh.manifests, check=False).stdout)
    offline = [line for line in lines(checked).splitlines() if "extra.yaml" in line]
    assert offline and set(offline) <= set(said.splitlines())
    world.put(to_yaml([SERVICE]))
    wait_for("it to be mended", lambda: "extra.yaml" not in world.problems())
    os.unlink(world.extra)
    wait_for("it to be gone",
             lambda: "Service/default/extra" not in world.control.weft("config", "default/client").stdout)


def test_broken_from_the_start(world):
    """A file that cannot be read when the control plane starts: it is not ready and says which; the running go on."""
    world.control.stop()
    world.put("kind: [\n")
    world.control.start(wait=False)
    world.control.proc.wait_text('"listening"')
    status, why = world.control.admin("/healthz/ready")
    assert status == 503 and "extra.yaml" in why, why
    assert "HTTP/1.1 200" in world.get(world.service.ip4)
    os.unlink(world.extra)
    wait_for("the control plane to be ready", world.control.ready)


def memory_kib(pod):
    """What the sidecar alone has: pages of libraries come and go with the rest of the machine."""
    with open(f"/proc/{pod.sidecar.pid}/smaps_rollup") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Private_Dirty"))


def test_two_thousand_services():
    """A pod that calls three of 2,000 Services against one in a mesh of three."""
    sizes = {}
    for n in (3, 2000):
        with make_mesh(control=[], record=False) as m:
            client, web = m.pod("client"), m.pod("web", ports=[("http", HTTP)])
            m.apply(*[{"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"s{i}", "namespace": "default"},
                       "spec": {"clusterIP": f"10.96.{i // 250 + 4}.{i % 250 + 1}", "selector": {"app": "web"},
                                "ports": [{"name": "http", "port": 80, "targetPort": HTTP}]}} for i in range(n)])
            with App(web, HTTP, http1()):
                m.start()
                for i in range(3):
                    for _ in range(20):
                        out = client.exec("curl", "-sS", "-i", url(f"10.96.{i // 250 + 4}.{i % 250 + 1}", 80)).stdout
                        assert "HTTP/1.1 200" in out
                sizes[n] = memory_kib(client)
                config = m.control.weft("config", "default/client").stdout
                assert sum(f"Service/default/s{i}" in config for i in range(n)) == 3
    print(f"sidecar: {sizes[3]} KiB in a mesh of 3, {sizes[2000]} KiB in one of 2,000")
    if not SANITIZED:
        assert sizes[2000] - sizes[3] < 200, sizes
