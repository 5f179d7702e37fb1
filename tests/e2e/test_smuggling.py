"""Request smuggling over raw sockets, HTTP/1: every row of smuggling_vectors.py through capture and both
sidecars, and against the inbound sidecar alone as a hostile one would. The application records all bytes
that it gets."""

import itertools

import pytest

from conftest import make_mesh
from smuggling_vectors import CUT, NO_REQUEST, REFUSE, rows
from weftnet import wait_for
from weftnet.inside import App, Reader, connect, http1, read_all, read_response
from weftnet.mtls import dial_tls, make_leaf

ROWS = list(rows())


class Lab:
    def __init__(self, mesh):
        self.mesh = mesh
        self.client, self.web = mesh.pod("client"), mesh.pod("web", ports=[("http", 8080)])
        self.stranger = mesh.pod("stranger", meshed=False)
        mesh.service("web", [{"name": "http", "port": 8080}, {"name": "any", "port": 8081}])
        self.apps = [App(self.web, port, http1(self.answer)) for port in (8080, 8081)]
        mesh.start()
        self.leaf = make_leaf(mesh, "client", self.client.spiffe_id)
        self.numbers, self.controls, self.whole = itertools.count(), {}, []

    def answer(self, request):
        """Says which request it answers, so that an answer to another one shows."""
        line = request[0].encode()
        if "/control" not in request[0]:
            self.whole.append(request[0])
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(line), line)

    def routes(self):
        """(name, function that dials): the whole way, past the client's sidecar, and the whole way to a port of
        which nothing was said."""
        for family in (4, 6):
            ip = self.web.ip(family)
            yield f"mesh-ipv{family}", lambda ip=ip: connect(self.client, ip, 8080)
            yield f"direct-ipv{family}", lambda ip=ip: dial_tls(self.stranger, ip, 8080, self.leaf, "weft/http1.1")
            yield f"undeclared-ipv{family}", lambda ip=ip: connect(self.client, ip, 8081)

    def forget(self):
        for app in self.apps:
            app.forget()
        self.whole = []

    def bytes(self):
        return b"".join(app.bytes() for app in self.apps)

    def streams(self):
        """What each connection to the applications carried."""
        return [stream for app in self.apps for stream in app.streams()]

    def control(self, route, dial):
        """An ordinary request gets its own answer, on a connection that stays through all rows."""
        if route not in self.controls:
            self.controls[route] = dial()
        path, s = f"/control-{next(self.numbers)}", self.controls[route]
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: web\r\n\r\n".encode())
        status, _, body = read_response(s)
        assert (status, body) == (200, f"GET {path} HTTP/1.1".encode())


@pytest.fixture(scope="module")
def lab():
    with make_mesh() as m:
        lab = Lab(m)
        yield lab
        for app in lab.apps:
            app.close()


def test_the_table_is_large_enough():
    names = [name for name, _, _ in ROWS]
    assert len(set(names)) == len(names) >= 150


def send(s, raw):
    try:
        s.sendall(raw)
    except OSError:
        pass  # refused before the end of it


def refused(lab, s, raw):
    send(s, raw)
    data, how = read_all(s)
    assert how in ("eof", "reset"), (data, how)
    assert data == b"" or data[9:10] in (b"4", b"5"), data
    assert data.count(b"HTTP/1.1 ") <= 1, data
    assert b"/smuggled" not in data
    return data


def lines_of(row, mark):
    """The row with one more header line behind its request line."""
    first, rest = row.split(b"\r\n", 1)
    return first + b"\r\n" + mark + rest


def passed(lab, s, raw, lines):
    send(s, raw)
    answers = Reader(s)
    for line in lines:
        assert answers.answer() == (200, line.encode(), True)


@pytest.mark.parametrize("name,row,verdict", ROWS, ids=[name for name, _, _ in ROWS])
def test_row(lab, name, row, verdict):
    raw = row
    for route, dial in lab.routes():
        if route.startswith("undeclared") and name in NO_REQUEST:
            continue
        lab.forget()
        mark = b"X-Route: %d\r\n" % next(lab.numbers)
        if verdict == CUT:  # says whose bytes they are: a head may reach the application when we are further on
            raw = lines_of(row, mark)
        with dial() as s:
            if verdict in (REFUSE, CUT):
                answer = refused(lab, s, raw)
            else:
                passed(lab, s, raw, verdict)
        data = lab.bytes()
        if verdict == REFUSE:
            assert data == b"", (route, data)
            assert answer, f"{route}: no answer"
        elif verdict == CUT:
            assert not lab.whole and b"/smuggled" not in data, (route, data)
            heads = [c for c in lab.streams() if mark.lower() in c.lower()]
            assert len(heads) <= 1 and all(c.count(b"HTTP/1.") == 1 for c in heads), (route, heads)
        else:
            assert lab.whole == verdict, (route, data)
            assert data.lower().count(b"content-length:") + data.lower().count(b"transfer-encoding:") <= len(verdict)
            assert data.lower().count(b"host:") == len(verdict), (route, data)
        lab.control(route, dial)


def test_nothing_is_left(lab):
    """After all of it the sidecars are as quiet as before."""
    for pod in (lab.client, lab.web):
        wait_for("requests to end", lambda pod=pod: pod.metric("weft_requests_in_flight") == 0)
        assert pod.sidecar.alive() and pod.admin("/healthz/ready")[0] == 200
