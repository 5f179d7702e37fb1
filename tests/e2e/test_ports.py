"""What is reachable and what is not: Weft's own ports from other pods, its admin endpoint from a browser,
servers on loopback; and the ways in which a pod could call itself round in circles."""

import os

import pytest

from conftest import make_mesh, url
from test_policy import GET, policy, source
from weftnet import wait_for
from weftnet.inside import App, attempt, connect, echo, http1, read_response
from weftnet.mesh import PROXY_UID

OWN_PORTS = [15000, 15001, 15006]
HELLO = b"\x16\x03\x01\x00\x08\x01\x00\x00\x04\x00\x2b\x03\x04"  # what a recording takes for TLS 1.3
ONCE = b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n"
BANNER = b"220 web\r\n"


class Lab:
    def __init__(self, mesh):
        self.mesh = mesh
        self.client, self.web = mesh.pod("client"), mesh.pod("web", ports=[("http", 8080), ("tcp", 9090)])
        self.stranger = mesh.pod("stranger", meshed=False)
        self.service = mesh.service("web", [{"name": "http", "port": 80, "targetPort": 8080},
                                            {"name": "tcp", "port": 90, "targetPort": 9090}])
        self.private = [App(self.web, 9200, http1(), "127.0.0.1"), App(self.web, 9200, http1(), "::1"),
                        App(self.web, 9201, echo(BANNER), "127.0.0.1"), App(self.web, 9201, echo(BANNER), "::1")]
        self.http, self.tcp = App(self.web, 8080, http1()), App(self.web, 9090, echo(BANNER))
        mesh.start()

    def descriptors(self, pod):
        return len(os.listdir(f"/proc/{pod.sidecar.pid}/fd"))

    def open_connections(self, pod):
        """In kernel, of the sidecar: what it listens on is not counted."""
        return int(pod.metric("weft_connections_open")) + int(pod.metric("weft_upstream_connections_open"))


@pytest.fixture(scope="module")
def lab():
    with make_mesh() as m:
        lab = Lab(m)
        yield lab
        for app in lab.private + [lab.http, lab.tcp]:
            app.close()


# -- our ports from another pod -----------------------------------------------------------------------------


@pytest.mark.parametrize("port", OWN_PORTS)
def test_own_ports_from_another_pod(lab, family, port):
    ip = lab.web.ip(family)
    for pod, uid, payload in ((lab.stranger, 0, ONCE), (lab.stranger, PROXY_UID, HELLO),
                              (lab.client, PROXY_UID, HELLO)):
        data, how = attempt(pod, ip, port, payload, uid=uid)
        assert data == b"" and how in ("refused", "reset"), (pod.name, uid)
    # Captured at home, it is carried to the pod and refused there.
    data, how = attempt(lab.client, ip, port, ONCE)
    assert how in ("eof", "reset") and (data == b"" or data.startswith(b"HTTP/1.1 503")), data


def test_500_tries_leave_nothing(lab, family):
    """Refused each time, once each time, and no descriptor is left: nothing went round in a circle."""
    ip = lab.web.ip(family)
    before = lab.web.metric("weft_connections_refused_total", reason="bad_original_dst")
    conns = lab.web.metric("weft_tcp_connections_opened_total")
    level = lab.descriptors(lab.web)
    for n in range(500):
        pod, uid = ((lab.stranger, 0), (lab.client, PROXY_UID))[n % 2]
        data, how = attempt(pod, ip, OWN_PORTS[n % 3], HELLO, uid=uid)
        assert data == b"" and how in ("refused", "reset")
    wait_for("descriptors to be back", lambda: lab.descriptors(lab.web) <= level)
    assert lab.web.metric("weft_connections_refused_total", reason="bad_original_dst") - before == 500
    assert lab.web.metric("weft_tcp_connections_opened_total") == conns
    assert lab.web.sidecar.alive() and lab.web.admin("/healthz/ready")[0] == 200


def test_what_other_pods_may_ask(lab, family):
    """15020 tells metrics, 15021 health, and neither anything else."""
    def ask(port, path, *flags):
        return lab.stranger.exec("curl", "-sS", "-m", "5", "-o", "-", "-w", "\n%{http_code}", *flags,
                                 url(lab.web.ip(family), port, path), check=False).stdout

    assert ask(15020, "/metrics").endswith("\n200") and "weft_connections_open" in ask(15020, "/metrics")
    assert ask(15021, "/healthz/ready").endswith("\n200") and ask(15021, "/healthz/live").endswith("\n200")
    for port, own in ((15020, {"/metrics"}), (15021, {"/healthz/ready", "/healthz/live"})):
        for path in {"/", "/metrics", "/healthz/ready", "/healthz/live", "/config_dump", "/memory", "/version",
                     "/drain", "/quitquitquit", "/log-level?level=trace", "//metrics", "/metrics/../config_dump"} - own:
            assert ask(port, path, "--path-as-is").endswith("\n404"), (port, path)
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert ask(port, sorted(own)[0], "-X", method).endswith("\n405"), (port, method)
        answer = ask(port, "/", "-x", url(lab.web.ip(family), port))
        assert answer.endswith(("\n404", "\n400", "\n403", "\n421")), "it forwarded something"


# -- admin, from inside -------------------------------------------------------------------------------------


def admin(lab, family, *flags, path="/config_dump", method="GET"):
    host = "127.0.0.1" if family == 4 else "::1"
    return lab.web.exec("curl", "-sS", "-m", "5", "-o", "-", "-w", "\n%{http_code}", "-X", method, *flags,
                        url(host, 15000, path), check=False, uid=65534).stdout


def test_admin_answers_inside(lab, family):
    assert admin(lab, family).endswith("\n200")
    assert admin(lab, family, "-H", "Host: localhost:15000").endswith("\n200")
    assert "PRIVATE" not in admin(lab, family)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:15000", "localhost.evil.example", "127.0.0.1.nip.io",
                                  "localhost:80", "web", "10.77.0.3:15000", "[fd77::3]:15000", "127.0.0.1@evil"])
def test_admin_checks_host(lab, family, host):
    """A page that made a name point to 127.0.0.1 gets nothing."""
    out = admin(lab, family, "-H", f"Host: {host}")
    assert out.endswith(("\n403", "\n400", "\n421")) and "spiffe" not in out


@pytest.mark.parametrize("header", ["Origin: http://evil.example", "Origin: null", "Origin: http://localhost:8080",
                                    "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"])
def test_admin_refuses_browsers_from_elsewhere(lab, family, header):
    out = admin(lab, family, "-H", header)
    assert out.endswith("\n403") and "spiffe" not in out


def test_admin_changes_nothing(lab, family):
    for path in ("/config_dump", "/metrics", "/healthz/ready", "/memory", "/version", "/"):
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert admin(lab, family, path=path, method=method).endswith("\n405"), (method, path)
    for path in ("/drain", "/quitquitquit", "/log-level?level=trace", "/reload", "/shutdown"):
        for method in ("GET", "POST"):
            assert admin(lab, family, path=path, method=method).endswith(("\n404", "\n405")), (method, path)
    assert lab.web.admin("/healthz/ready")[0] == 200


def test_admin_is_on_loopback_alone(lab):
    out = lab.web.exec("ss", "-Hltn", uid=0).stdout
    for port in (15000, 15001):
        local = [line.split()[3] for line in out.splitlines() if line.split()[3].endswith(f":{port}")]
        assert sorted(local) == [f"127.0.0.1:{port}", f"[::1]:{port}"]


# -- what listens on loopback -------------------------------------------------------------------------------


def test_loopback_stays_private(lab, family):
    """Over the mesh, and from a stranger, nobody reaches what listens on 127.0.0.1 or [::1]; the pod itself does."""
    for app in lab.private:
        wait_for("earlier connections to end", lambda app=app: app.forget() or not app.conns)
    for port in (9200, 9201):
        for pod, uid in ((lab.client, 65534), (lab.stranger, 65534)):
            data, how = attempt(pod, lab.web.ip(family), port, ONCE, uid=uid)
            assert data == b"" or data.startswith(b"HTTP/1.1 503"), data
        data, how = attempt(lab.web, lab.web.ip(family), port, ONCE)
        assert data == b"" or data.startswith(b"HTTP/1.1 503"), data
    assert all(not app.conns for app in lab.private)
    host = "127.0.0.1" if family == 4 else "::1"
    with connect(lab.web, host, 9200) as s:
        s.sendall(GET)
        assert read_response(s)[0] == 200


# -- itself -------------------------------------------------------------------------------------------------


def own_addresses(lab, family):
    return ((lab.service.ip(family), 80, 90), (lab.web.ip(family), 8080, 9090))


def test_a_pod_calls_itself(lab, family):
    """By its service and by its own address: under its own identity and its own policy, and once."""
    fields = []
    for ip, http, tcp in own_addresses(lab, family):
        before = lab.web.metric("weft_requests_total", direction="inbound")
        lab.http.forget()
        with connect(lab.web, ip, http) as s:
            s.sendall(GET)
            assert read_response(s)[0] == 200
        fields.append(lab.http.bytes().decode().lower())
        assert f"by={lab.web.spiffe_id};uri={lab.web.spiffe_id}" in fields[-1]
        assert fields[-1].count("get /") == 1
        assert lab.web.metric("weft_requests_total", direction="inbound") == before + 1
        conns = len(lab.tcp.conns)
        with connect(lab.web, ip, tcp) as s:
            assert s.recv(100) == BANNER
            s.sendall(b"round and back")
            assert s.recv(100) == b"round and back"
        assert len(lab.tcp.conns) == conns + 1


def test_policy_holds_for_itself(lab, family):
    lab.mesh.apply(policy([source(principals=[lab.web.spiffe_id[9:]])], "DENY", name="not-myself", ns="default"))
    try:
        before = lab.web.sidecar.text().count("configuration in force")
        lab.web.compile()
        wait_for("the policy", lambda: lab.web.sidecar.text().count("configuration in force") > before)
        for ip, http, tcp in own_addresses(lab, family):
            with connect(lab.web, ip, http) as s:
                s.sendall(GET)
                status, head, _ = read_response(s)
                assert status == 403 and b"x-weft-reason: RBAC" in head
            conns = len(lab.tcp.conns)
            data, how = attempt(lab.web, ip, tcp, b"\x00hello")
            assert data == b"" and how in ("reset", "eof")
            assert len(lab.tcp.conns) == conns
            with connect(lab.client, ip, http) as s:
                s.sendall(GET)
                assert read_response(s)[0] == 200
    finally:
        lab.mesh.delete("AuthorizationPolicy", "not-myself")
        lab.web.compile()


LOOPS = [("loopback", 15001), ("loopback", 15006), ("self", 15000), ("self", 15001), ("self", 15006),
         ("self", 15020), ("vip", 15001), ("vip", 15006), ("any", 15001), ("any", 15006), ("mapped", 15001),
         ("other", 15001), ("other", 15006)]


@pytest.mark.parametrize("to,port", LOOPS)
def test_no_loop(lab, family, to, port):
    """An application that dials the sidecar's listeners, in whatever way: refused, once, nothing left."""
    ip = {"loopback": "127.0.0.1" if family == 4 else "::1", "self": lab.web.ip(family), "vip": lab.service.ip(family),
          "any": "0.0.0.0" if family == 4 else "::", "mapped": "::ffff:127.0.0.1" if family == 6 else "127.0.0.2",
          "other": lab.client.ip(family)}[to]
    level, refused = lab.descriptors(lab.web), lab.web.metric("weft_connections_refused_total")
    conns = lab.open_connections(lab.web)
    for payload in (ONCE, b"\x00raw", HELLO):
        data, how = attempt(lab.web, ip, port, payload, timeout=15)
        assert how in ("eof", "reset", "refused") and (data == b"" or data.startswith(b"HTTP/1.1 503")), (data, how)
    wait_for("descriptors to be back", lambda: lab.descriptors(lab.web) <= level)
    assert lab.web.metric("weft_connections_refused_total") - refused <= 3
    assert lab.open_connections(lab.web) <= conns
