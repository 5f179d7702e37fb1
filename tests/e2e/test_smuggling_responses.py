"""Responses that two readers might understand differently: the application is hostile too. It answers in raw
bytes; the client gets 502, or an answer that is visibly cut, and what comes next on any connection is the
answer to its own question."""

import itertools

import pytest

from conftest import make_mesh
from weftnet import wait_for
from weftnet.inside import App, Reader, connect, read_response, read_until

BAD, CUT, GOOD = "bad", "cut", "good"
OK = b"HTTP/1.1 200 OK\r\n"
STOLEN = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"


def ok(fields, body=b"hello"):
    return OK + fields + b"\r\n" + body


def chunks(body):
    return ok(b"Transfer-Encoding: chunked\r\n", body)


LENGTH, CHUNKED = b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"
# name: (what the application sends, verdict)
ROWS = {
    "cl-twice-equal": (ok(LENGTH + LENGTH), BAD), "cl-twice-differs": (ok(LENGTH + b"Content-Length: 50\r\n"), BAD),
    "cl-list": (ok(b"Content-Length: 5, 5\r\n"), BAD), "cl-plus": (ok(b"Content-Length: +5\r\n"), BAD),
    "cl-hex": (ok(b"Content-Length: 0x5\r\n"), BAD), "cl-empty": (ok(b"Content-Length: \r\n"), BAD),
    "cl-negative": (ok(b"Content-Length: -1\r\n"), BAD),
    "cl-overflow": (ok(b"Content-Length: 18446744073709551621\r\n"), BAD),
    "cl-te": (ok(LENGTH + CHUNKED, b"0\r\n\r\n" + STOLEN), BAD),
    "te-cl": (ok(CHUNKED + LENGTH, b"0\r\n\r\n" + STOLEN), BAD),
    "te-unknown": (ok(b"Transfer-Encoding: xchunked\r\n"), BAD),
    "te-gzip-chunked": (ok(b"Transfer-Encoding: gzip, chunked\r\n"), BAD),
    "te-twice": (ok(CHUNKED + CHUNKED, b"0\r\n\r\n"), BAD),
    "te-vtab": (ok(b"Transfer-Encoding: \x0bchunked\r\n"), BAD),
    "te-in-1.0": (b"HTTP/1.0 200 OK\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + STOLEN, BAD),
    "204-with-length": (b"HTTP/1.1 204 No Content\r\n" + LENGTH + b"\r\nhello", BAD),
    "204-chunked": (b"HTTP/1.1 204 No Content\r\n" + CHUNKED + b"\r\n0\r\n\r\n", BAD),
    "100-with-length": (b"HTTP/1.1 100 Continue\r\n" + LENGTH + b"\r\n" + STOLEN, BAD),
    "101-unasked": (b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + STOLEN, BAD),
    "interim-storm": (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000 + STOLEN, BAD),
    "fold": (ok(b"A: b\r\n c\r\n" + LENGTH), BAD), "space-before-colon": (ok(b"Content-Length : 5\r\n"), BAD),
    "bare-lf": (ok(b"A: b\n" + LENGTH), BAD), "bare-cr": (ok(b"A: b\rC: d\r\n" + LENGTH), BAD),
    "nul": (ok(b"A: \x00\r\n" + LENGTH), BAD),
    "name": (ok(b"A(b): c\r\n" + LENGTH), BAD), "no-colon": (ok(b"garbage\r\n" + LENGTH), BAD),
    "status-word": (b"HTTP/1.1 OK\r\n\r\n", BAD), "status-two": (b"HTTP/1.1 20 OK\r\n\r\n", BAD),
    "status-four": (b"HTTP/1.1 2000 OK\r\n\r\n", BAD),
    "status-zero": (b"HTTP/1.1 000 OK\r\n\r\n", BAD),
    "version-2": (b"HTTP/2.0 200 OK\r\n" + LENGTH + b"\r\nhello", BAD),
    "version-lower": (b"http/1.1 200 OK\r\n" + LENGTH + b"\r\nhello", BAD), "not-http": (b"SSH-2.0-OpenSSH\r\n", BAD),
    "nothing": (b"", BAD), "half-a-head": (b"HTTP/1.1 200 OK\r\nA: b", BAD),
    "huge-head": (ok(b"A: " + b"a" * 100000 + b"\r\n" + LENGTH), BAD),
    "short": (ok(b"Content-Length: 50\r\n"), CUT), "chunk-bare-lf": (chunks(b"5\nhello\r\n0\r\n\r\n"), CUT),
    "chunk-cr-x": (chunks(b"5\r\nhello\rX0\r\n\r\n"), CUT),
    "chunk-spill": (chunks(b"5\r\nhelloXX\r\n0\r\n\r\n"), CUT),
    "chunk-0x": (chunks(b"5\r\nhello\r\n0x5\r\nhello\r\n0\r\n\r\n"), CUT),
    "chunk-cut": (chunks(b"5\r\nhello\r\n"), CUT),
    "chunk-overflow": (chunks(b"5\r\nhello\r\nfffffffffffffffff\r\n"), CUT),
    "chunk-ext-lf": (chunks(b"5;a\nhello\r\n0\r\n\r\n"), CUT),
    "chunk-trailer-fold": (chunks(b"5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n"), CUT),
    "chunk-no-last-crlf": (chunks(b"5\r\nhello\r\n0\r\n"), CUT),
    "second-response": (ok(LENGTH, b"hello" + STOLEN), GOOD),
    "second-after-chunks": (chunks(b"5\r\nhello\r\n0\r\n\r\n" + STOLEN), GOOD),
    "second-after-304": (b"HTTP/1.1 304 Not Modified\r\n" + LENGTH + b"\r\n" + STOLEN, GOOD),
    "second-after-204": (b"HTTP/1.1 204 No Content\r\n\r\n" + STOLEN, GOOD), "until-close": (ok(b""), GOOD),
    "interim-then-answer": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok(LENGTH), GOOD),
}


class Lab:
    def __init__(self, mesh):
        self.client, self.web = mesh.pod("client"), mesh.pod("web", ports=[("http", 8080)])
        mesh.service("web", [{"name": "http", "port": 8080}])
        self.numbers = itertools.count()
        self.spoilt = set()
        self.app = App(self.web, 8080, self.serve)
        mesh.start()

    def serve(self, conn):
        """/row/NAME is answered by the row's bytes, all else by its own path; a connection lives on after a row
        as long as the sidecar lets it, so that a wrong reuse would be seen."""
        while True:
            request = conn.request()
            if request is None:
                return
            path = request[0].split(" ")[1]
            if path.startswith("/row/"):
                name = path[5:]
                conn.row = name
                conn.send(ROWS[name][0])
                if name in ("nothing", "half-a-head", "short", "chunk-cut", "chunk-no-last-crlf", "until-close"):
                    return
                continue
            if getattr(conn, "row", None):
                self.spoilt.add(conn.row)
            body = path.encode()
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    def control(self, s):
        path = f"/control-{next(self.numbers)}"
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: web\r\n\r\n".encode())
        status, head, body = read_response(s)
        assert (status, body) == (200, path.encode()), head


@pytest.fixture(scope="module")
def lab():
    with make_mesh() as m:
        lab = Lab(m)
        yield lab
        lab.app.close()


@pytest.mark.parametrize("name", ROWS)
def test_row(lab, family, name):
    _, verdict = ROWS[name]
    ip = lab.web.ip(family)
    with connect(lab.client, ip, 8080) as other, connect(lab.client, ip, 8080) as s:
        lab.control(other)
        s.sendall(f"POST /row/{name} HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\n\r\n".encode())
        status, body, whole = Reader(s).answer()
        if verdict == BAD:
            assert status in (502, 503) and whole, (status, body)
        elif verdict == CUT:
            assert (status in (502, 503)) if whole else status in (0, 200), (status, body)
        else:
            assert status in (200, 204, 304) and whole, (status, body)
        assert b"stolen" not in body
        if verdict != CUT:
            lab.control(s)
        lab.control(other)
    if name != "interim-then-answer":
        assert name not in lab.spoilt, "the application's connection was used again"


def test_answers_to_head(lab, family):
    """A HEAD has no body whatever the head says; bytes that come nevertheless end the connection behind it."""
    with connect(lab.client, lab.web.ip(family), 8080) as s:
        s.sendall(b"HEAD /row/second-response HTTP/1.1\r\nHost: web\r\n\r\n")
        head = read_until(s, b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200") and b"content-length: 5" in head and head.endswith(b"\r\n\r\n")
        lab.control(s)


def test_errors_are_counted(lab):
    wait_for("requests to end", lambda: lab.web.metric("weft_requests_in_flight") == 0)
    assert lab.web.metric("weft_requests_total", direction="inbound", reason="UPE") >= 60
    assert lab.web.sidecar.alive() and lab.client.sidecar.alive()
