"""Smuggling by HTTP/2, in frames made by hand: to an HTTP/2 application through both sidecars, and past the
client's to an HTTP/1 application (weft/h2-h1, the downgrade) and to an HTTP/2 one. A malformed message is the
error of its stream: all rows of one route share one connection, and a stream that began before the first of
them ends well after the last."""

import pytest

from conftest import make_mesh
from smuggling_h2_vectors import EMPTY, PASS, REFUSE, rows
from weftnet import wait_for
from weftnet.h2raw import H2Raw, http2_app
from weftnet.inside import App, connect, http1
from weftnet.mtls import dial_tls, make_leaf

ROWS = list(rows())
ROUTES = ["mesh-ipv4", "mesh-ipv6", "downgrade-ipv4", "downgrade-ipv6", "direct-ipv4", "direct-ipv6"]


class Lab:
    def __init__(self, mesh):
        self.client, self.web = mesh.pod("client"), mesh.pod("web", ports=[("http", 8080), ("http2", 8081)])
        self.stranger = mesh.pod("stranger", meshed=False)
        mesh.service("web", [{"name": "http", "port": 8080}, {"name": "http2", "port": 8081}])
        self.whole1, self.requests2 = [], []
        self.app1, self.app2 = App(self.web, 8080, http1(self.answer)), App(self.web, 8081, http2_app(self.requests2))
        mesh.start()
        self.leaf = make_leaf(mesh, "client", self.client.spiffe_id)
        self.connections = {}

    def answer(self, request):
        self.whole1.append(request)
        return b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"

    def dial(self, route):
        kind, family = route.split("-ipv")
        ip = self.web.ip(int(family))
        if kind == "mesh":
            return H2Raw(connect(self.client, ip, 8081))
        port, alpn = (8080, "weft/h2-h1") if kind == "downgrade" else (8081, "weft/h2")
        return H2Raw(dial_tls(self.stranger, ip, port, self.leaf, alpn))

    def open(self):
        """The connection of each route, with a stream on it that is open all the time."""
        for route in ROUTES:
            if route in self.connections:
                continue
            c = self.connections[route] = self.dial(route)
            c.witness = c.request(c.pseudo("POST", "/witness"), end=False)
            c.data(c.witness, b"begin")
            wait_for("the witness", lambda: self.witnesses() == len(self.connections))
        return self.connections

    def witnesses(self):
        return self.app1.bytes().count(b"begin") + sum(r.body == b"begin" for r in self.requests2)

    def forget(self):
        """Between rows; the witnesses are open all the time."""
        self.app1.forget()
        self.whole1.clear()
        self.requests2[:] = [r for r in self.requests2 if not r.whole]

    def whole(self):
        """Requests that became whole since forget(), but those that alive() made."""
        return self.whole1 + [r for r in self.requests2 if r.whole]

    def traces(self):
        """Everything of requests since forget() that any application has; the witness aside."""
        return self.app1.bytes() + b"".join(str(r.headers).encode() + r.body for r in self.requests2
                                            if r.get(":path") != ["/witness"])


@pytest.fixture(scope="module")
def lab():
    with make_mesh() as m:
        lab = Lab(m)
        yield lab
        lab.app1.close()
        lab.app2.close()


def test_the_table_is_large_enough():
    names = [row[0] for row in ROWS]
    assert len(set(names)) == len(names) >= 100


def send(c, fields, data, trailers):
    sid = c.request(fields, end=data is None)
    if data is not None:
        c.data(sid, data, end=trailers is None)
    if trailers is not None:
        c.request(trailers, sid=sid)
    return c.finish(sid)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_row(lab, row):
    name, fields, data, trailers, verdict = row
    connections = lab.open()
    for route in ROUTES:
        c = connections[route]
        lab.forget()
        s = send(c, fields, data, trailers)
        assert not c.closed and c.goaway is None, f"{route}: the connection paid for it: {c.goaway} {c.goaway_text}"
        assert s.over, f"{route}: no answer"
        if verdict == PASS:
            assert s.status == 200 and len(lab.whole()) == 1, (route, s.status, s.reset)
        else:
            assert verdict == EMPTY or s.reset is not None or 400 <= s.status < 600, (route, s.status)
            assert verdict == EMPTY or not lab.whole(), (route, lab.traces())
            assert b"smuggled HTTP" not in lab.traces(), (route, lab.traces())
            if verdict == REFUSE:
                assert lab.traces() == b"", (route, lab.traces())
        assert c.alive(), f"{route}: other streams suffer"


def test_the_witness_ends_well(lab):
    """The stream that was open all the time on each connection."""
    for route in ROUTES:
        c = lab.open()[route]
        lab.forget()
        c.data(c.witness, b"end", end=True)
        assert c.finish(c.witness).status == 200, route
        assert len(lab.whole()) == 1
        assert c.alive()
        c.close()


def test_errors_are_counted(lab):
    """The refusals are in the metrics of whoever refused."""
    for pod, direction in ((lab.client, "outbound"), (lab.web, "inbound")):
        wait_for("requests to end", lambda pod=pod: pod.metric("weft_requests_in_flight") == 0)
        assert pod.metric("weft_requests_total", direction=direction, reason="DPE") >= 50
        assert pod.sidecar.alive()


def test_downgrade_is_written_anew(lab, family):
    """What goes on as HTTP/1 has one Host, one framing of ours, and the cookies of all crumbs."""
    c = lab.dial(f"downgrade-ipv{family}")
    lab.forget()
    fields = [(":method", "POST"), (":scheme", "https"), (":authority", "web"), (":path", "/p?q=1"), ("host", "web"),
              ("cookie", "a=b"), ("cookie", "c=d"), ("te", "trailers"), ("x-own", "kept")]
    s = send(c, fields, b"0\r\n\r\nGET /x HTTP/1.1\r\n\r\n", [("x-sum", "7")])
    assert s.status == 200
    line, got, body, trailers = lab.whole1[-1]
    assert line == "POST /p?q=1 HTTP/1.1" and got["host"] == ["web"] and got["transfer-encoding"] == ["chunked"]
    assert "content-length" not in got and got["cookie"] == ["a=b; c=d"] and got["x-own"] == ["kept"]
    assert body == b"0\r\n\r\nGET /x HTTP/1.1\r\n\r\n" and trailers.startswith(b"x-sum: 7\r\n")
    c.close()
