"""A mesh that lives from its control plane, through capture and two sidecars: identity by join token, what a pod
calls on first use, changes pushed to whom they concern, the control plane gone and back, sidecars restarted
without it."""

import json
import os
import signal

import pytest

from conftest import make_mesh, url
from test_policy import policy
from weftnet import apps, wait_for
from weftnet.load import Load

HTTP = """
  server { listen 8080; listen [::]:8080; keepalive_timeout 60s;
    location / { default_type text/plain; return 200 "$server_addr $http_x_tag\\n"; } }
"""


class World:
    """A client and two servers of one Service, all from the control plane."""

    def __init__(self, mesh):
        self.mesh, self.control = mesh, mesh.control
        self.client = mesh.pod("client")
        self.webs = [mesh.pod(f"web{n}", sa="web", labels={"app": "web"}, ports=[("http", 8080)]) for n in range(2)]
        self.service = mesh.service("web", ("http", 80), target=8080)
        self.servers = [apps.Nginx(w, HTTP, [8080]) for w in self.webs]
        mesh.start()

    def targets(self):
        return [(self.service.ip4, 80), (self.service.ip6, 80)]

    def get(self, ip, port=80, pod=None):
        out = (pod or self.client).exec("curl", "-sS", "-m", "15", "-i", url(ip, port), check=False)
        return out.stdout + out.stderr

    def dump(self, pod):
        return json.loads(pod.admin("/config_dump")[1])


@pytest.fixture(scope="module")
def world():
    with make_mesh(control=[]) as m:
        yield World(m)


def test_first_use(world, family):
    """Service and pod addresses work on the first connection, which waited for the answer."""
    assert "HTTP/1.1 200" in world.get(world.service.ip(family))
    assert "HTTP/1.1 200" in world.get(world.webs[0].ip(family), 8080)
    dump = world.dump(world.client)  # there was no file at first; that is no error of now
    assert dump["state_error"] == "" and "No such file" in dump["control_plane"]["state_file"]["refused_at_start"]


def test_proxy_status(world):
    """Who is connected, what each has; the table names what the JSON names."""
    proxies = world.control.proxies()
    assert set(proxies) == {"default/client", "default/web0", "default/web1"}
    for p in world.mesh.pods.values():
        row = proxies[f"default/{p.name}"]
        assert row["identity"] == p.spiffe_id and row["uid"] == p.uid and not row["behind"] and not row["rejections"]
    table = world.control.weft("proxy-status").stdout
    lines = table.splitlines()[1:]
    assert [line.split()[:2] for line in lines] == [["default/client", "client"], ["default/web0", "web"], ["default/web1", "web"]]
    assert max(map(len, lines)) <= 80, "calm, and nothing below the table"
    client = world.control.weft("config", "default/client").stdout
    assert "Service/default/web" in client and "Workload/default/client" in client
    web = world.control.weft("config", "default/web0").stdout
    assert "Service/default/web" not in web, "a pod gets what it calls and nothing else"


def test_join_token_is_spent(world):
    """The token of a running sidecar is good for nobody else."""
    other = world.mesh.pod("thief", sa="client")
    with open(os.path.join(world.client.dir, "token")) as f:
        stolen = f.read()
    world.control.reload()
    path = world.control.token(other)
    with open(path, "w") as f:
        f.write(stolen)
    p = other.start_sidecar(wait=False, fresh=False)
    p.wait_text("UNAUTHENTICATED")
    assert other.admin("/healthz/ready")[0] == 503
    assert f'"pod":"default/{other.name}"' not in json.dumps(world.control.proxies())
    p.stop()
    p = other.start_sidecar(capture=False)  # with a token of its own it comes up
    assert other.admin("/healthz/ready")[0] == 200
    p.stop()


def test_policy_is_pushed(world, family):
    """A DENY holds at once when it is pushed, and is gone when it is deleted."""
    load = Load(world.client, [(world.webs[0].ip(family), 8080)], workers=2)
    deny = policy([{"from": [{"source": {"principals": [f"{world.mesh.trust_domain}/ns/default/sa/client"]}}]}],
                  "DENY", ns="default", selector={"matchLabels": {"app": "web"}})
    load.finish(50)
    world.mesh.apply(deny)
    world.control.reload()
    assert "HTTP/1.1 403" in world.get(world.webs[0].ip(family), 8080)
    world.mesh.delete("AuthorizationPolicy", deny["metadata"]["name"])
    world.control.reload()
    assert "HTTP/1.1 200" in world.get(world.webs[0].ip(family), 8080)


def test_endpoints_come_and_go(world):
    """No failed request while the Service's endpoints change under load."""
    load = Load(world.client, world.targets())
    for n in range(8):
        for ready in (False, True):
            world.webs[n % 2].ready = ready
            world.control.reload()
            load.wait_more(40)
    load.finish(100)
    load.judge(world.servers)


def test_control_plane_is_killed(world, family):
    """Known traffic goes on; a sidecar killed and restarted without it too, from its last good file."""
    load = Load(world.client, world.targets())
    world.control.kill()
    load.wait_more(200)
    load.finish(0)
    load.judge(world.servers)
    for pod in (world.client, world.webs[0], world.webs[1]):
        pod.sidecar.kill()
        pod.start_sidecar(capture=False, fresh=False)
    again = Load(world.client, world.targets())
    again.finish(300)
    again.judge(world.servers)
    # What nobody asked for before cannot be known now: refused in time, with the reason.
    out = world.get("10.96.0.250" if family == 4 else "fd96::fa")
    assert "503" in out and "x-weft-reason: discovery" in out, out
    world.control.start()
    world.control.wait_connected(3)
    assert "HTTP/1.1 200" in world.get(world.service.ip(family))


def test_restart_keeps_root_and_position(world):
    before = (world.control.position(), open(world.control.root).read())
    assert world.control.stop() == 0
    world.control.start()
    assert (world.control.position(), open(world.control.root).read()) == before
    world.control.wait_connected(3)
    assert os.stat(os.path.join(world.control.data, "root.key")).st_mode & 0o777 == 0o600


def test_unmeshed_address_in_the_ranges(world, family):
    """An explicit "not meshed" permits plaintext, and is remembered through a restart without control plane."""
    stranger = world.mesh.pod(f"stranger{family}", meshed=False)
    apps.Nginx(stranger, HTTP, [8080])
    witness = "10.77.200.1" if family == 4 else "fd77::c801"
    world.control.reload()
    # The stranger is a pod of the source without sidecar in a STRICT namespace: it receives no byte.
    assert "x-weft-reason: strict" in world.get(stranger.ip(family), 8080)
    # Nobody has this address: it is dialled, and nothing answers there.
    out = world.get(witness, 8080)
    assert "x-weft-reason: UF" in out or "timed out" in out or "Connection reset" in out, out
    assert world.client.metric("weft_lookup_total", result="not_meshed") >= 1


def test_sigterm(world):
    """Both ends of the stream in order."""
    for pod in world.webs:
        pod.sidecar.signal(signal.SIGTERM)
        assert pod.sidecar.wait(30) == 0
    wait_for("them to be gone", lambda: set(world.control.proxies()) == {"default/client"})
    assert world.control.stop() == 0
