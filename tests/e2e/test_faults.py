"""What a machine can do to a sidecar: no descriptors, ports that are taken, logs that nobody takes, kill -9, more
connections than it wants. A clear error or continued service, and never plaintext."""

import os
import re

import pytest

from conftest import make_mesh
from test_policy import GET
from weftnet import Proc, run, wait_for
from weftnet.inside import App, attempt, connect, echo, http1, listen, read_response
from weftnet.mesh import PROXY_UID, SIDECAR

BANNER = b"220 web\r\n"
HTTP, RAW = 8080, 9090


class Lab:
    def __init__(self, mesh):
        self.mesh, self.client = mesh, mesh.pod("client")
        self.web = mesh.pod("web", ports=[("http", HTTP), ("tcp", RAW)])
        self.stranger = mesh.pod("stranger", meshed=False)
        mesh.service("web", [{"name": "http", "port": HTTP}, {"name": "tcp", "port": RAW}])
        self.http, self.raw = App(self.web, HTTP, http1()), App(self.web, RAW, echo(BANNER))
        self.client.start_sidecar()
        self.web.compile()
        self.web.capture()

    def run_web(self, *flags, under=(), ready=True):
        """The server's sidecar, by a command line of the test's."""
        args = self.web.enter(*under, SIDECAR, "--state", self.web.state, "--access-log", *flags, uid=PROXY_UID)
        self.web.sidecar = Proc("web/sidecar", args, os.path.join(self.web.dir, "sidecar.log"))
        if ready:
            wait_for("web to be ready", lambda: self.web.admin("/healthz/ready")[0] == 200)
        return self.web.sidecar

    def get(self, family, n=1):
        """Status of the last of n requests on a connection of their own; 0 where it ended."""
        try:
            with connect(self.client, self.web.ip(family), HTTP) as s:
                for _ in range(n):
                    s.sendall(GET)
                    status = read_response(s)[0]
                return status
        except OSError:
            return 0


@pytest.fixture(scope="module")
def mesh_lab():
    with make_mesh() as m:
        lab = Lab(m)
        yield lab
        lab.http.close()
        lab.raw.close()


@pytest.fixture
def lab(mesh_lab):
    """Each test starts the server's sidecar in its own way."""
    open(os.path.join(mesh_lab.web.dir, "sidecar.log"), "w").close()
    yield mesh_lab
    if mesh_lab.web.sidecar is not None and mesh_lab.web.sidecar.alive():
        mesh_lab.web.sidecar.kill()


# -- descriptors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [4, 8, 16])
def test_too_few_descriptors_to_start(lab, limit):
    sidecar = lab.run_web(under=("prlimit", f"--nofile={limit}:{limit}"), ready=False)
    assert sidecar.wait() == 1
    text = sidecar.text()
    assert "cannot start" in text and "descriptors" in text, text


def syscalls(pid):
    """How many the process makes in one second."""
    done = run("timeout", "-s", "INT", "1", "strace", "-f", "-c", "-p", pid, check=False)
    total = re.search(r"^\S+\s+\S+\s+(?:\S+\s+)?(\d+)\s+(?:\d+\s+)?total$", done.stderr, re.M)
    assert total or "attached" in done.stderr, done.stderr
    return int(total.group(1)) if total else 0


def test_descriptors_run_out(lab, family):
    """What is open goes on, what is new waits or is refused, nobody spins, and afterwards all is as before."""
    lab.run_web("--max-connections", "1000", under=("prlimit", "--nofile=64:64"))
    ip = lab.web.ip(family)
    kept = connect(lab.client, ip, HTTP)
    kept.sendall(GET)
    assert read_response(kept)[0] == 200
    held, starved = [], None
    while starved is None and len(held) < 64:
        s = connect(lab.client, ip, RAW, timeout=2)
        try:
            if s.recv(100) == BANNER:
                held.append(s)
                continue
        except OSError:
            pass
        starved = s
    assert starved is not None and len(held) >= 4
    for s in held:
        s.sendall(b"still here")
        assert s.recv(100) == b"still here"
    kept.sendall(GET)
    assert read_response(kept)[0] == 200
    waiting = [connect(lab.stranger, ip, HTTP) for _ in range(20)]  # in the kernel's queue, or refused from it
    assert syscalls(lab.web.sidecar.pid) < 1000
    assert lab.web.sidecar.alive()
    for s in held + waiting + [starved]:
        s.close()
    wait_for("new connections to be served", lambda: lab.get(family) == 200)
    with connect(lab.client, ip, RAW) as s:
        assert s.recv(100) == BANNER
    kept.sendall(GET)
    assert read_response(kept)[0] == 200
    kept.close()
    assert lab.web.metric("weft_accepts_starved_total") > 0
    assert "cannot accept, connections wait" in lab.web.sidecar.text()


# -- ports ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host,port", [("127.0.0.1", 15000), ("::1", 15000), ("127.0.0.1", 15001), ("::1", 15001),
                                       ("0.0.0.0", 15006), ("::", 15006), ("0.0.0.0", 15020), ("0.0.0.0", 15021)])
def test_port_is_taken(lab, host, port):
    """It ends, and says which address and what to do."""
    with listen(lab.web, port, host):
        sidecar = lab.run_web(ready=False)
        assert sidecar.wait() == 1
        event = [e for e in lab.web.log() if e.get("msg") == "cannot start"][-1]
        address = "0.0.0.0" if host == "::" else host  # a listener of both families is in the way of IPv4 first
        assert f"{address}:{port}" in event["error"].replace("[", "").replace("]", ""), event
        assert "already in use by another process; stop that process or choose another port (--" in event["error"]


def test_a_second_sidecar_leaves_the_first_alone(lab):
    first = lab.run_web()
    second = lab.run_web(ready=False)
    assert second.wait() == 1 and "already in use" in second.text()
    lab.web.sidecar = first
    assert first.alive() and lab.get(4) == 200 and lab.get(6) == 200


# -- logs -----------------------------------------------------------------------------------------------------


def serves_without_a_log(lab):
    """300 requests of each family, and the lines that were not written are counted."""
    for family in (4, 6):
        assert lab.get(family, 300) == 200
    assert lab.web.metric("weft_log_dropped_total") > 100
    assert lab.web.sidecar.alive()


def test_log_on_dev_full(lab):
    lab.run_web(under=("sh", "-c", 'exec "$@" 2>/dev/full', "sh"))
    serves_without_a_log(lab)


def test_log_on_a_full_disk(lab, request):
    """A file on a tmpfs of 32 KiB; when there is room again lines are written again, whole."""
    folder = os.path.join(lab.web.dir, "small")
    os.makedirs(folder, exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", "size=32k,mode=0777", "weft-test", folder)
    request.addfinalizer(lambda: run("umount", "-l", folder, check=False))
    path = os.path.join(folder, "log")
    lab.run_web(under=("sh", "-c", f'exec "$@" 2>>{path}', "sh"))
    serves_without_a_log(lab)
    before = os.path.getsize(path)
    os.truncate(path, 0)
    dropped = lab.web.metric("weft_log_dropped_total")
    assert lab.get(4, 3) == 200
    wait_for("lines to be written again", lambda: b'"status":200' in open(path, "rb").read())
    assert lab.web.metric("weft_log_dropped_total") == dropped and before <= 32768


@pytest.mark.parametrize("reader", ["stuck", "gone"])
def test_log_to_a_pipe_that_nobody_reads(lab, reader):
    path = os.path.join(lab.web.dir, f"fifo-{reader}")
    os.mkfifo(path, 0o666)
    os.chmod(path, 0o666)
    end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    lab.run_web(under=("sh", "-c", f'exec "$@" 2>{path}', "sh"))
    if reader == "gone":
        os.close(end)
    serves_without_a_log(lab)
    if reader == "stuck":
        os.close(end)


# -- kill -9 --------------------------------------------------------------------------------------------------


def test_killed_server_side(lab, family):
    """Nobody reaches the application past a sidecar that is gone; it comes back with the same state."""
    lab.run_web()
    assert lab.get(family) == 200
    lab.web.sidecar.kill()
    lab.http.forget()
    lab.raw.forget()
    assert lab.get(family) == 503
    for pod in (lab.stranger, lab.client):
        data, how = attempt(pod, lab.web.ip(family), RAW, b"\x00secret")
        assert data == b"" and how in ("refused", "reset", "eof")
    assert lab.http.bytes() == lab.raw.bytes() == b"" and not lab.http.conns and not lab.raw.conns
    lab.run_web()
    wait_for("service", lambda: lab.get(family) == 200)


def test_killed_client_side(lab, family):
    """What the application says then is refused at home; the recordings are witness that nothing got out."""
    lab.run_web()
    assert lab.get(family) == 200
    lab.client.sidecar.kill()
    lab.http.forget()
    lab.raw.forget()
    for port in (HTTP, RAW, 1234):
        for ip in (lab.web.ip(family), lab.mesh.services["web"].ip(family), lab.stranger.ip(family)):
            assert attempt(lab.client, ip, port, b"\x00secret") == (b"", "refused")
    assert lab.http.bytes() == lab.raw.bytes() == b""
    lab.client.start_sidecar(capture=False, compile=False)
    assert lab.get(family) == 200


# -- bounds ---------------------------------------------------------------------------------------------------


def test_more_connections_than_wanted(lab, family):
    """Three quarters of the places are for those who call; one more is refused, by name, and later there is room."""
    lab.run_web("--max-connections", "8")
    ip, held = lab.web.ip(family), []
    for _ in range(6):
        held.append(connect(lab.client, ip, RAW))
        assert held[-1].recv(100) == BANNER
    assert lab.web.metric("weft_connections_refused_total", reason="UO") == 0
    for n in range(1, 4):
        assert attempt(lab.client, ip, RAW)[0] == b""
    assert lab.web.metric("weft_connections_refused_total", direction="inbound", reason="UO") >= 3
    for s in held:
        s.sendall(b"still here")
        assert s.recv(100) == b"still here"
    with connect(lab.web, lab.client.ip(family), 9) as s:  # the pod's own quarter
        s.sendall(GET)
        assert read_response(s)[0] == 503
    held.pop().close()

    def served():
        try:  # a refusal may come before connect returns
            with connect(lab.client, ip, RAW) as s:
                return s.recv(100) == BANNER
        except OSError:
            return False

    wait_for("a place", served)
    for s in held:
        s.close()
