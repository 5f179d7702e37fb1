"""A sidecar's life under bad luck: a port that is taken, a log that is full, no descriptors, kill -9, SIGTERM and
new certificates under load. A clear error, or service that goes on; never plaintext, never a lost request."""

import os
import signal

import pytest

from conftest import make_mesh, url
from test_smoke import start_nginx
from weftnet import Proc, run, wait_for
from weftnet.mesh import PROXY_UID, SIDECAR

REQUESTS = 10_000


@pytest.fixture
def pair():
    with make_mesh() as m:
        client = m.pod("client")
        web = m.pod("web", ports=[("http", 8080)])
        m.service("web", ("http", 80), target=8080)
        start_nginx(web)
        yield m, client, web


def get(m, client, check=True):
    """One request over IPv4 and one over IPv6, in this order; both answers in one."""
    web = m.services["web"]
    return client.exec("curl", "-sS", "-m", "10", url(web.ip4, 80), "-:", "-sS", "-m", "10", url(web.ip6, 80), check=check)


def served(m, client):
    return get(m, client, check=False).stdout.count("hello") == 2


def load(m, client, family, n=REQUESTS, rate=None):
    """h2load in the background: every request on kept connections, its summary at the end."""
    args = ["h2load", "--h1", "-H", ":authority: web", "-n", str(n), "-c", "16"] + (["--rps", str(rate)] if rate else [])
    return client.spawn("h2load", *args, url(m.services["web"].ip(family), 80))


def all_succeeded(proc, n=REQUESTS):
    proc.wait(120)
    text = proc.text()
    assert f"{n} succeeded, 0 failed, 0 errored, 0 timeout" in text and f"{n} 2xx" in text, text


def started(proc):
    """Until the load has really begun."""
    proc.wait_text("progress: 10% done")


def sidecar(pod, stderr=None, limit=None, flags=()):
    """A sidecar whose log goes elsewhere, or that may open few files."""
    args = [SIDECAR, "--state", pod.state, "--access-log", *flags]
    if limit:
        args = ["prlimit", f"--nofile={limit}:{limit}", "--", *args]
    return Proc(f"{pod.name}/sidecar", pod.enter(*args, uid=PROXY_UID), stderr or f"{pod.dir}/sidecar.log")


def is_ready(pod):
    wait_for(f"{pod.name} to be ready", lambda: pod.admin("/healthz/ready")[0] == 200)


def test_port_taken_is_a_clear_error(pair):
    m, client, web = pair
    web.compile()
    web.spawn("squatter", "/usr/bin/python3", "-c", "import socket,signal\ns=socket.socket()\n"
              "s.bind(('0.0.0.0',15006))\ns.listen()\nprint('taken',flush=True)\nsignal.pause()", ready="taken")
    p = sidecar(web)
    assert p.wait() == 1
    assert "15006" in p.text() and "in use" in p.text() and "cannot start" in p.text(), p.text()


@pytest.mark.parametrize("sink", ["tmpfs", "/dev/full"])
def test_full_log_stops_nothing(pair, sink, request):
    m, client, web = pair
    client.start_sidecar()
    web.compile()
    web.capture()
    path = sink
    if sink == "tmpfs":
        folder = f"{web.dir}/small"
        os.mkdir(folder)
        run("mount", "-t", "tmpfs", "-o", "size=16k,mode=0777", "weft-test", folder)
        request.addfinalizer(lambda: run("umount", "-l", folder, check=False))
        path = f"{folder}/log"
    web.sidecar = sidecar(web, stderr=path)
    is_ready(web)
    for _ in range(60):
        assert served(m, client)
    assert web.metric("weft_log_dropped_total") > 0
    assert web.sidecar.alive()
    web.sidecar.kill()


def test_no_descriptors_is_no_end(pair):
    m, client, web = pair
    client.start_sidecar()
    web.compile()
    web.capture()
    web.sidecar = sidecar(web, limit=40)
    is_ready(web)
    assert served(m, client)
    # Far more raw connections than descriptors; they are put off or refused, and let go again.
    hold = web.mesh.pod("crowd", meshed=False, record=False)
    p = hold.spawn("crowd", "/usr/bin/python3", "-c", f"""
import socket, signal
held = []
for i in range(200):
    s = socket.socket(); s.settimeout(5)
    try:
        s.connect(('{web.ip4}', 8080)); held.append(s)
    except OSError:
        pass
print('held', len(held), flush=True)
signal.pause()
""", ready="held")
    ticks = cpu_ticks(web.sidecar.pid)
    done = get(m, client, check=False)
    assert web.sidecar.alive()
    p.kill()
    wait_for("service to go on", lambda: served(m, client))
    # Waiting for descriptors is not spinning: seconds went by, a fraction of one was worked.
    assert cpu_ticks(web.sidecar.pid) - ticks < 10 * os.sysconf("SC_CLK_TCK"), done
    assert web.sidecar.alive()
    web.sidecar.kill()


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.parametrize("who", ["client", "web"])
def test_kill_9_leaves_no_plaintext_and_comes_back(pair, who):
    m, client, web = pair
    m.start()
    assert served(m, client)
    pod = m.pods[who]
    pod.sidecar.kill()
    done = get(m, client, check=False)
    assert done.returncode != 0 or "weft:" in done.stdout
    assert "hello" not in done.stdout
    pod.start_sidecar(capture=False, compile=False)
    wait_for("service after the restart", lambda: served(m, client))


def test_sigterm_under_load_loses_nothing(family):
    with make_mesh() as m:
        client = m.pod("client")
        webs = [m.pod(f"web{i}", sa="web", labels={"app": "web"}, ports=[("http", 8080)]) for i in range(2)]
        m.service("web", ("http", 80), target=8080)
        for w in webs:
            start_nginx(w)
        client.start_sidecar()
        for w in webs:
            w.start_sidecar("--min-drain", "2s")
        p = load(m, client, family, rate=200)
        started(p)
        leaving = webs[0]
        leaving.sidecar.signal(signal.SIGTERM)
        wait_for("readiness to fail", lambda: leaving.admin("/healthz/ready")[0] != 200)
        leaving.ready = False
        client.compile()
        assert leaving.sidecar.wait(60) == 0, leaving.sidecar.text()[-2000:]
        all_succeeded(p)


def test_new_certificates_and_root_under_load_lose_nothing(pair, family):
    m, client, web = pair
    m.start()
    p = load(m, client, family, rate=200)
    started(p)
    for _ in range(3):
        before = [x.sidecar.text().count('"configuration in force"') for x in (client, web)]
        m.recompile()
        for x, n in zip((client, web), before):
            wait_for("the new state", lambda x=x, n=n: x.sidecar.text().count('"configuration in force"') > n)
    all_succeeded(p)


def test_application_restarts_under_load_lose_no_safe_request(pair):
    m, client, web = pair
    m.start()
    for _ in range(3):
        assert served(m, client)
        for p in web.procs:
            p.stop()
        web.procs.clear()
        start_nginx(web)
        assert served(m, client)


def test_bounds_have_a_reason(pair):
    m, client, web = pair
    client.start_sidecar()
    web.start_sidecar("--max-connections", "2")
    hold = m.pod("crowd", meshed=False, record=False)
    hold.spawn("crowd", "/usr/bin/python3", "-c", f"""
import socket, signal
held = [socket.create_connection(('{web.ip4}', 8080)) for i in range(6)]
print('held', flush=True)
signal.pause()
""", ready="held")
    wait_for("a refusal", lambda: web.metric("weft_connections_refused_total", reason="UO") > 0)


def test_no_state_is_not_ready_and_says_why(pair):
    m, client, web = pair
    web.capture()
    web.sidecar = sidecar(web)
    web.sidecar.wait_text('"listening"')
    status, text = web.admin("/healthz/ready")
    assert status == 503 and "no configuration" in text and web.state in text
    web.compile()
    is_ready(web)
    web.sidecar.kill()
