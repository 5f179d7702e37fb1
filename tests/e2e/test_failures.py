"""What a client sees when something behind the sidecars fails: a reply that names the reason while one can still be given,
and afterwards an error, never a clean end."""

import threading

import pytest

from conftest import make_mesh
from weftnet import http1, http2, sock
from weftnet.world import HttpWorld

HTTP = """
  server { listen 8080; listen [::]:8080; location / { default_type text/plain; return 200 "hello\\n"; } }
"""
FRAMES = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 40000,
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"9c40\r\n" + b"x" * 40000 + b"\r\n",
    "close": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 40000,
}
REASONS = {  # what the application does: status, reason of its pod's sidecar
    "nothing": (503, "UC"),
    "garbage": (502, "UPE"),
    "two lengths": (502, "UPE"),
}
ANSWERS = {"nothing": b"", "garbage": b"\x16\x03\x01 this is no HTTP\r\n\r\n",
           "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"}


@pytest.fixture(scope="module")
def world():
    with make_mesh() as m:
        m.service("nobody", [{"name": "http", "port": 80, "targetPort": 8080}])
        yield HttpWorld(m, HTTP)


@pytest.fixture(scope="module")
def hasty():
    with make_mesh() as m:
        yield HttpWorld(m, HTTP, flags=("--request-timeout", "500ms"))


# -- replies -----------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_application_is_down(world, family, method):
    m = world.ask(family, http1.request(method, tag="down"), 90, method)
    assert (m.status, m.get("x-weft-reason")) == (503, "UF")
    assert method == "HEAD" or b"could not connect" in m.body
    sock.wait_for("the log", lambda: world.access(world.web, status=503, reason="UF"))


def test_application_is_down_http2(world, family):
    s, f = world.open(family, 90)
    with s, f:
        c = http2.Client(s)
        for x in c.run(c.request(), c.request("POST", end=False)):
            assert (x.status, x.get("x-weft-reason"), x.ended) == (503, "UF", True)


@pytest.mark.parametrize("what", REASONS)
def test_application_answers_badly(world, family, what):
    def script(s, f):
        server.seen.append(http1.read_request(f).get("x-tag"))
        s.sendall(ANSWERS[what])
    with world.serve(script) as server:
        m = world.ask(family, http1.request("POST", tag="bad"), 90)
        assert (m.status, m.get("x-weft-reason")) == REASONS[what]
        server.settle()
        assert server.seen == ["bad"]  # not sent twice


def test_application_is_too_slow(hasty, family):
    def script(s, f):
        server.seen.append(http1.read_request(f).get("x-tag"))
        assert sock.read_all(s)[0] == b""  # given up by the sidecar
    with hasty.serve(script) as server:
        m = hasty.ask(family, http1.request(tag="slow"), 90)
        assert (m.status, m.get("x-weft-reason")) == (504, "UT")
        server.settle()
        assert server.seen == ["slow"] and not server.failed


def test_timeout_in_the_middle_of_an_answer(hasty, family):
    def script(s, f):
        http1.read_request(f)
        s.sendall(FRAMES["chunked"])
        sock.read_all(s)
    with hasty.serve(script) as server:
        with pytest.raises((EOFError, ConnectionResetError)):
            hasty.ask(family, http1.request(tag="slow"), 90)
        server.settle()


def test_no_endpoint(world, family):
    s = sock.connect(world.client, world.mesh.services["nobody"].ip(family), 80)
    with s:
        s.sendall(http1.request(tag="nobody"))
        m = http1.read_response(s.makefile("rb"))
        assert (m.status, m.get("x-weft-reason")) == (503, "UH")


def test_unknown_destination_in_the_mesh_is_not_guessed(world, family):
    with sock.connect(world.client, "10.96.0.77" if family == 4 else "fd96::77", 80) as s:
        s.sendall(http1.request(tag="unknown"))
        m = http1.read_response(s.makefile("rb"))
        assert (m.status, m.get("x-weft-reason")) == (503, "discovery")


# -- torn answers --------------------------------------------------------------------------------------------------------------

@pytest.fixture(params=[(f, e) for f in FRAMES for e in ("reset", "end") if (f, e) != ("close", "end")],
                ids=lambda p: f"{p[0]}-{p[1]}")
def torn(world, request):
    """A server that breaks off in the middle of its answer, once the client has seen the beginning."""
    frame, end = request.param

    def script(s, f):
        http1.read_request(f)
        s.sendall(FRAMES[frame])
        sock.wait_for("the client to see the beginning", seen.is_set)
        if end == "reset":
            sock.reset(s, f)

    seen = threading.Event()
    with world.serve(script) as server:
        yield seen
        server.settle()
        assert not server.failed


def read_torn(f, m):
    """Reads the rest of a torn answer; it must not end as a whole one does."""
    with pytest.raises((EOFError, ConnectionResetError)):
        http1.read_body(f, m)


def test_torn_answer_http1(world, family, torn):
    s, f = world.open(family, 90)
    with s, f:
        s.sendall(http1.request(tag="torn"))
        m = http1.read_head(f)
        assert m.status == 200 and f.peek(1)
        torn.set()
        read_torn(f, m)


def test_torn_answer_http10(world, family, torn):
    """Only a reset can tell a client that reads until the end."""
    s, f = world.open(family, 90)
    with s, f:
        s.sendall(http1.request(version="1.0", tag="torn"))
        m = http1.read_head(f)
        assert m.status == 200 and m.get("transfer-encoding") is None
        f.read(1)
        torn.set()
        if m.get("content-length"):
            try:
                assert len(f.read()) < 99999
            except ConnectionResetError:
                pass
        else:
            with pytest.raises(ConnectionResetError):
                f.read()


@pytest.mark.parametrize("flag", ["--http1.1", "--http1.0"])
def test_torn_answer_curl(world, family, torn, flag):
    torn.set()
    done = world.client.exec("curl", "-sS", "-m", "20", flag, "-o", "/dev/null", world.url(family, "/", 90), check=False)
    assert done.returncode in (18, 56), done.stderr


@pytest.mark.parametrize("end", ["rst_stream", "reset", "end", "goaway"])
def test_torn_answer_http2(world, family, end):
    def script(s, f):
        h = http2.Server(s)
        number = h.wait_request()
        h.answer(number, 200, b"x" * 10000)
        sock.wait_for("the client to see the beginning", seen.is_set)
        if end == "rst_stream":
            h.reset(number, 2)
        elif end == "goaway":
            h.goaway(1)
        elif end == "reset":
            sock.reset(s, f)
    seen = threading.Event()
    with world.serve(script) as server:
        s, f = world.open(family, 90)
        with s, f:
            c = http2.Client(s)
            n = c.request()
            while not c.streams[n].body:
                c.step()
            seen.set()
            x = c.run(n)
            assert x.status == 200 and not x.ended and x.reset not in (None, 0)
        server.settle()
        assert not server.failed


# -- torn requests ---------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("end", ["reset", "end"])
def test_client_breaks_off_its_body(world, family, framing, end):
    """What the application gets is no whole request."""
    def script(s, f):
        m = http1.read_head(f)
        server.seen.append(m.get("x-tag"))
        try:
            server.seen.append(http1.read_body(f, m).body)
        except (EOFError, ConnectionResetError):
            server.seen.append("torn")
    with world.serve(script) as server:
        s, f = world.open(family, 90)
        headers = [("Content-Length", "1000")] if framing == "length" else [("Transfer-Encoding", "chunked")]
        s.sendall(http1.request("POST", tag="breaks", headers=headers) + b"1f4\r\n" * (framing == "chunked") + b"b" * 500)
        sock.wait_for("the application to have the head", lambda: server.seen)
        if end == "reset":
            sock.reset(s, f)
        else:
            sock.close(s, f)
        server.settle()
        assert server.seen == ["breaks", "torn"]


def test_client_gives_up_an_answer(world, family):
    """The application learns that nobody reads on."""
    def script(s, f):
        http1.read_request(f)
        s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                s.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
        except (BrokenPipeError, ConnectionResetError):
            server.seen.append("gone")
    with world.serve(script) as server:
        s, f = world.open(family, 90)
        s.sendall(http1.request(tag="gives-up"))
        assert http1.read_head(f).status == 200
        sock.reset(s, f)
        server.settle()
        assert server.seen == ["gone"]


# -- a sidecar that dies -----------------------------------------------------------------------------------------------------------

def test_sidecar_killed_and_back(family):
    """In the middle of an answer the client gets an error; while it is away 503, plaintext never; then it works."""
    with make_mesh() as m:
        w = HttpWorld(m, HTTP)

        def script(s, f):
            http1.read_request(f)
            s.sendall(FRAMES["chunked"])
            sock.read_all(s)
        with w.serve(script):
            s, f = w.open(family, 90)
            with s, f:
                s.sendall(http1.request(tag="killed"))
                head = http1.read_head(f)
                w.web.sidecar.kill()
                read_torn(f, head)
            m1 = w.ask(family, http1.request(tag="away"))
            assert (m1.status, m1.get("x-weft-reason")) == (503, "UF") and not w.nginx.records("away")
        w.web.start_sidecar(capture=False)
        sock.wait_for("the endpoint to be tried again",
                      lambda: w.ask(family, http1.request(tag="back")).status == 200)
        sock.wait_for("nginx's log", lambda: w.nginx.records("back"))
