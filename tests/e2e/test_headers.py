"""Identity headers: what a client sends under the mesh's names never reaches the application, in no
spelling and in no place, and what an application answers under them does not get out."""

import time

import pytest

from conftest import make_mesh
from weftnet import wait_for
from weftnet.h2raw import H2Raw, http2_app
from weftnet.inside import App, connect, http1, read_response
from weftnet.mtls import dial_tls, make_leaf

FORGED = "By=spiffe://cluster.local/ns/default/sa/web;URI=spiffe://cluster.local/ns/default/sa/root"
SPELLINGS = [
    "x-forwarded-client-cert", "X-Forwarded-Client-Cert", "X-FORWARDED-CLIENT-CERT", "x-FoRwArDeD-cLiEnT-cErT",
    "x_forwarded_client_cert", "X_Forwarded_Client_Cert", "x-forwarded_client-cert", "X_forwarded-client_cert",
    "x-weft-identity", "X-Weft-Identity", "X-WEFT-PRINCIPAL", "x_weft_principal", "x-weft_principal",
    "x_weft-namespace",
    "x-weft-", "X_WEFT_", "x-weft-reason", "X-Weft-Version",
]
REPLY = (b"HTTP/1.1 200 OK\r\nX-Weft-Reason: RBAC\r\nx_weft_version: 9\r\nX-Forwarded-Client-Cert: inner\r\n"
         b"X-Own: kept\r\nTransfer-Encoding: chunked\r\nTrailer: X-Weft-Late, X-Sum\r\n\r\n"
         b"3\r\nok\n\r\n0\r\nX-Weft-Late: 1\r\nX-Sum: 2\r\n\r\n")


def is_ours(name):
    plain = name.lower().replace("_", "-")
    return plain == "x-forwarded-client-cert" or plain.startswith("x-weft-")


class Shop:
    """A client and a web pod with an HTTP/1 application and an HTTP/2 one, which keep what they get."""

    def __init__(self, mesh):
        self.client = mesh.pod("client")
        self.web = mesh.pod("web", ports=[("http", 8080), ("http2", 8081)])
        self.lax = mesh.pod("lax", ports=[("http", 8080)])
        self.stranger = mesh.pod("stranger", meshed=False)
        mesh.apply({"apiVersion": "mesh.weft.dev/v1alpha1", "kind": "PeerAuthentication",
                    "metadata": {"name": "lax", "namespace": "default"},
                    "spec": {"selector": {"matchLabels": {"app": "lax"}}, "mtls": {"mode": "PERMISSIVE"}}})
        mesh.service("web", [{"name": "http", "port": 8080}, {"name": "http2", "port": 8081},
                             {"name": "any", "port": 8082}])
        self.h1, self.h2 = [], []
        self.apps = [App(self.web, 8080, http1(self.answer)), App(self.web, 8082, http1(self.answer)),
                     App(self.lax, 8080, http1(self.answer)),
                     App(self.web, 8081, http2_app(self.h2, REPLY2, trailers=[("x-weft-late", "1"), ("x-sum", "2")]))]
        mesh.start()
        self.xfcc = f"By={self.web.spiffe_id};URI={self.client.spiffe_id}"
        self.leaf = make_leaf(mesh, "client", self.client.spiffe_id)

    def answer(self, request):
        self.h1.append(request)
        return REPLY

    def send(self, sock, raw):
        """The request as the HTTP/1 application saw it, and the response head."""
        before = len(self.h1)
        sock.sendall(raw)
        status, head, body = read_response(sock)
        assert status == 200, head
        assert len(self.h1) == before + 1
        return self.h1[-1], head, body


REPLY2 = ((":status", "200"), ("x-weft-reason", "RBAC"), ("x_weft_version", "9"), ("x-forwarded-client-cert", "inner"),
          ("x-own", "kept"))


@pytest.fixture(scope="module")
def shop():
    with make_mesh() as m:
        s = Shop(m)
        yield s
        for app in s.apps:
            app.close()


def judge(shop, request, xfcc):
    """Of ours there is the one header, with the truth in it; the application's own names came through."""
    _, fields, _, trailers = request
    mine = {n: v for n, v in fields.items() if is_ours(n)}
    assert mine == ({"x-forwarded-client-cert": [xfcc]} if xfcc else {})
    assert fields["x-own"] == ["kept"]
    assert not any(is_ours(line.split(b":")[0].decode()) for line in trailers.split(b"\r\n") if line)


def one_by_one():
    return [f"{name}: {FORGED}\r\n" for name in SPELLINGS]


PLACES = {
    "together": [f"{name}: {FORGED}\r\n" for name in SPELLINGS],
    "twice": [f"{name}: {FORGED}\r\n{name}: again\r\n" for name in SPELLINGS],
    "empty": [f"{name}:\r\n" for name in SPELLINGS],
    "named-in-connection": ["Connection: " + ", ".join(SPELLINGS[:9]) + "\r\n"] + one_by_one()[:9],
    "connection-alone": ["Connection: x-forwarded-client-cert, keep-alive\r\n"],
}


@pytest.mark.parametrize("place", PLACES)
def test_http1_request_headers(shop, family, place):
    raw = "GET / HTTP/1.1\r\nHost: web\r\nX-Own: kept\r\n" + "".join(PLACES[place]) + "\r\n"
    with connect(shop.client, shop.web.ip(family), 8080) as s:
        request, _, _ = shop.send(s, raw.encode())
    judge(shop, request, shop.xfcc)


def test_http1_each_spelling(shop, family):
    with connect(shop.client, shop.web.ip(family), 8080) as s:
        for line in one_by_one():
            for raw in (f"GET / HTTP/1.1\r\nHost: web\r\nX-Own: kept\r\n{line}\r\n",
                        f"GET / HTTP/1.1\r\n{line}X-Own: kept\r\nHost: web\r\n\r\n"):
                judge(shop, shop.send(s, raw.encode())[0], shop.xfcc)


def test_http1_trailers(shop, family):
    late = "".join(one_by_one())
    names = ", ".join(SPELLINGS)
    raw = (f"POST / HTTP/1.1\r\nHost: web\r\nX-Own: kept\r\nTE: trailers\r\nTrailer: {names}, x-sum\r\n"
           f"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n{late}X-Sum: 7\r\n\r\n")
    with connect(shop.client, shop.web.ip(family), 8080) as s:
        request, _, _ = shop.send(s, raw.encode())
    judge(shop, request, shop.xfcc)
    assert request[2] == b"abc" and b"x-sum: 7" in request[3].lower()


def test_http10(shop, family):
    raw = "GET / HTTP/1.0\r\nX-Own: kept\r\nConnection: keep-alive\r\n" + "".join(one_by_one()) + "\r\n"
    with connect(shop.client, shop.web.ip(family), 8080) as s:
        judge(shop, shop.send(s, raw.encode())[0], shop.xfcc)


def test_http2_request_headers_and_trailers(shop, family):
    """Names are lower-case here; upper-case ones are malformed and refused as a stream (test_smuggling)."""
    forged = [(n.lower(), FORGED) for n in SPELLINGS]
    with connect(shop.client, shop.web.ip(family), 8081) as sock:
        c = H2Raw(sock)
        for fields in [forged] + [[f, f] for f in forged]:
            before = len(shop.h2)
            sid = c.request(c.pseudo("POST") + [("x-own", "kept")] + fields, end=False)
            c.data(sid, b"abc")
            c.request(forged + [("x-sum", "7")], sid=sid)
            answer = c.finish(sid)
            assert answer.status == 200 and len(shop.h2) == before + 1
            request = shop.h2[-1]
            assert [(n, v) for n, v in request.headers if is_ours(n)] == [("x-forwarded-client-cert", shop.xfcc)]
            assert not any(is_ours(n) for n, _ in request.trailers)
            assert ("x-sum", "7") in request.trailers and request.body == b"abc"


def test_from_a_hostile_sidecar(shop, family):
    """Somebody with a stolen key speaks to the inbound sidecar directly: HTTP/1.1 under TLS, and HTTP/2."""
    for alpn in ("weft/http1.1", "weft/tcp"):
        for lines in list(PLACES.values()) + [[line] for line in one_by_one()]:
            with dial_tls(shop.stranger, shop.web.ip(family), 8080, shop.leaf, alpn) as s:
                raw = "GET / HTTP/1.1\r\nHost: web\r\nX-Own: kept\r\n" + "".join(lines) + "\r\n"
                judge(shop, shop.send(s, raw.encode())[0], shop.xfcc)
    with dial_tls(shop.stranger, shop.web.ip(family), 8080, shop.leaf, "weft/h2-h1") as sock:
        c = H2Raw(sock)
        for name in SPELLINGS:
            sid = c.request(c.pseudo("POST") + [("x-own", "kept"), (name.lower(), FORGED)], end=False)
            c.data(sid, b"abc")
            c.request([(name.lower(), FORGED), ("x-sum", "7")], sid=sid)
            assert c.finish(sid).status == 200
            judge(shop, shop.h1[-1], shop.xfcc)


@pytest.mark.parametrize("port", [8080, 8082], ids=["http", "any"])
def test_slowly_from_a_hostile_sidecar(shop, family, port):
    """Waiting until the sidecar thinks that the server may speak first makes a request no less of a request."""
    app = shop.apps[port // 8082]
    for lines in one_by_one()[:6]:
        conns = len(app.conns)
        with dial_tls(shop.stranger, shop.web.ip(family), port, shop.leaf, "weft/tcp") as s:
            if port == 8082:
                wait_for("the server to be dialled in case it speaks first", lambda: len(app.conns) > conns)
            else:
                time.sleep(0.01)  # longer than the grace; without it this is the test above
            raw = f"GET / HTTP/1.1\r\nHost: web\r\nX-Own: kept\r\n{lines}\r\n"
            judge(shop, shop.send(s, raw.encode())[0], shop.xfcc)


def test_slow_plaintext_has_no_identity(shop, family):
    app = shop.apps[2]
    for line in one_by_one()[:6]:
        conns = len(app.conns)
        with connect(shop.stranger, shop.lax.ip(family), 8080) as s:
            wait_for("the server to be dialled in case it speaks first", lambda: len(app.conns) > conns)
            judge(shop, shop.send(s, f"GET / HTTP/1.1\r\nHost: lax\r\nX-Own: kept\r\n{line}\r\n".encode())[0], None)


def test_plaintext_never_has_an_identity(shop, family):
    with connect(shop.stranger, shop.lax.ip(family), 8080) as s:
        for line in one_by_one():
            raw = f"GET / HTTP/1.1\r\nHost: lax\r\nX-Own: kept\r\n{line}\r\n"
            judge(shop, shop.send(s, raw.encode())[0], None)


def test_what_the_application_says(shop, family):
    """A response of the application carries nothing under our names; one of the sidecar does."""
    with connect(shop.client, shop.web.ip(family), 8080) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: web\r\nX-Own: kept\r\nTE: trailers\r\nConnection: TE\r\n\r\n")
        data = b""
        while not data.endswith(b"\r\n\r\n") or b"0\r\n" not in data:
            piece = s.recv(65536)
            assert piece
            data += piece
    names = [line.split(b":")[0].decode() for line in data.split(b"\r\n") if b":" in line]
    assert "x-own" in [n.lower() for n in names] and not any(is_ours(n) for n in names), names
    assert b"inner" not in data and b"RBAC" not in data
    with connect(shop.client, shop.web.ip(family), 8081) as sock:
        c = H2Raw(sock)
        answer = c.finish(c.get(fields=[("te", "trailers")]))
        assert ("x-own", "kept") in answer.headers and ("x-sum", "2") in answer.trailers
        assert not any(is_ours(n) for n, _ in answer.headers + answer.trailers)
    with connect(shop.client, shop.web.ip(family), 9) as s:  # nobody listens there
        s.sendall(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        status, head, _ = read_response(s)
        assert status == 503 and b"x-weft-reason: UF" in head
    wait_for("the access log", lambda: "503" in shop.client.sidecar.text())
