"""Early answers while the body is still coming, and the bounds of a message: headers up to the configured size and
number and the 431 beyond, 414, unknown upgrades; queries stay out of logs."""

import os

import pytest

from conftest import make_mesh
from weftnet import http1, http2, sock
from weftnet.world import HttpWorld

HTTP = """
  large_client_header_buffers 32 400k; client_header_buffer_size 400k;
  server {
    listen 8080; listen [::]:8080; listen 8081 http2; listen [::]:8081 http2; client_max_body_size 100k;
    location / { default_type text/plain; return 200 "$http_x_big$http_upgrade"; }
    location /up/ { root {dir}/files; dav_methods PUT; }
  }
"""
HEADER_BYTES, HEADER_COUNT, TARGET_BYTES = 60 * 1024, 100, 16 * 1024
WIDE = 256 * 1024
BODY = 20 << 20
VERSIONS = {"http1": ("--http1.1", 80), "http2": ("--http2-prior-knowledge", 81)}


@pytest.fixture(scope="module")
def world():
    with make_mesh() as m:
        w = HttpWorld(m, HTTP, http2=True)
        w.body = os.path.join(w.files, "body")
        with open(w.body, "wb") as f:
            f.truncate(BODY)
        yield w


@pytest.fixture(scope="module")
def wide():
    with make_mesh() as m:
        yield HttpWorld(m, HTTP, http2=True, flags=("--max-header-bytes", "256KiB", "--max-headers", "2000"))


def fields_of_size(size, host="web", tag="t", number=None):
    """Field lines x-big... which with Host and x-tag make exactly size, counted as name, value and 32 each."""
    left = size - (4 + len(host) + 32) - (5 + len(tag) + 32)
    if number is None:
        return [("x-big", "b" * (left - 5 - 32))]
    each, rest = divmod(left, number)
    return [(f"x-{i:04}", "b" * (each - 6 - 32 + (rest if i == 0 else 0))) for i in range(number)]


# -- early answers ---------------------------------------------------------------------------------------------------------

def test_413_while_the_body_comes(world, family):
    tags = [f"early1{family}-{i}" for i in range(3)]
    for tag in tags:
        done = world.client.exec("curl", "-sS", "-m", "20", "-T", world.body, "-H", "Expect:", "-o", "/dev/null", "-w",
                                 "%{http_code}", "-H", f"x-tag: {tag}", world.url(family, f"/up/{tag}"))
        assert done.stdout == "413" and not done.stderr, done.stderr
    world.agree(tags)


def test_413_while_the_body_comes_http2(world, family):
    """nghttp sees status, body and the end of the answer, and a reset that is no error (RFC 9113 8.1)."""
    tags = [f"early2{family}-{i}" for i in range(3)]
    for tag in tags:
        out = world.client.exec("nghttp", "-nv", "-d", world.body, "-H", ":method: PUT", "-H", f"x-tag: {tag}",
                                world.url(family, f"/up/{tag}", 81)).stdout
        assert ":status: 413" in out and "END_STREAM" in out.partition(":status: 413")[2], out[-2000:]
        assert "RST_STREAM" not in out or "error_code=NO_ERROR" in out.partition("recv RST_STREAM")[2][:200], out[-2000:]
    world.agree(tags)


def test_413_raw_client_reads_the_answer_whole(world, family):
    """The client sends its body first and reads only then: the answer must still be there."""
    s, f = world.open(family)
    with s, f:
        s.sendall(http1.request("PUT", "/up/x", tag=f"early-raw{family}", body=b"x" * 150000))
        m = http1.read_response(f)
        assert m.status == 413 and b"413 Request Entity Too Large" in m.body
    world.agree([f"early-raw{family}"])


def test_early_success_is_a_success(world, family):
    """A server that answers 200 without reading on: the client gets the whole answer, however much it still sends."""
    def script(s, f):
        server.seen.append(http1.read_head(f).get("x-tag"))
        s.sendall(http1.response(body=b"enough " * 1000))
        sock.wait_for("the client to have it", lambda: answered)
    answered = []
    with world.serve(script) as server:
        s, f = world.open(family, 90)
        with s, f:
            s.sendall(http1.request("POST", tag="early-ok", headers=[("Content-Length", str(BODY))]))
            s.sendall(b"x" * 100000)
            m = http1.read_response(f)
            answered.append(True)
            assert (m.status, m.body) == (200, b"enough " * 1000)
        server.settle()
        assert server.seen == ["early-ok"] and not server.failed
    assert world.access(world.web, path="/", status=200, reason="-")


# -- bounds of a message -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("number", [None, 50], ids=["one", "many"])
def test_headers_up_to_the_bound(world, family, number):
    def script(s, f):
        server.seen.append(http1.read_request(f))
        s.sendall(http1.response())
    with world.serve(script) as server:
        fields = fields_of_size(HEADER_BYTES, number=number)
        target = "/" + "p" * (TARGET_BYTES - 1)
        assert world.ask(family, http1.request(target=target, tag="t", headers=fields), 90).status == 200
        got = server.seen.pop()
        assert [(n, v) for n, v in got.headers if n.startswith("x-") and n != "x-tag" and "cert" not in n] == fields
        assert got.start == f"GET {target} HTTP/1.1"


@pytest.mark.parametrize("number", [None, 50], ids=["one", "many"])
def test_431_beyond_the_bound(world, family, number):
    fields = fields_of_size(HEADER_BYTES + 1, number=number)
    m = world.ask(family, http1.request(tag="t", headers=fields))
    assert m.status == 431 and not world.nginx.records("t")


@pytest.mark.parametrize("version", VERSIONS)
def test_large_headers_curl(world, family, version):
    flag, port = VERSIONS[version]
    tag, big = f"large{version}{family}", "b" * 50000
    assert world.curl(flag, "-H", f"x-tag: {tag}", "-H", f"x-big: {big}", world.url(family, "/", port)) == big
    world.agree([tag])
    out = world.curl(flag, "-o", "/dev/null", "-w", "%{http_code}", "-H", f"x-tag: over{tag}", "-H", "x-big: " + "b" * 62000,
                     world.url(family, "/", port))
    assert out == "431" and not world.nginx.records(f"over{tag}")


def test_number_of_headers(world, family):
    def script(s, f):
        server.seen.append(http1.read_request(f))
        s.sendall(http1.response())
    for number, status in ((HEADER_COUNT, 200), (HEADER_COUNT + 1, 431)):
        with world.serve(script) as server:
            fields = [(f"x-n{i}", str(i)) for i in range(number - 2)]  # and Host, x-tag
            assert world.ask(family, http1.request(tag="many", headers=fields), 90).status == status
            got = [m.headers for m in server.seen]
            assert [[h for h in headers if h[0].startswith("x-n")] for headers in got] == [fields] * (status == 200)


def test_wider_bounds(wide, family):
    """What is configured holds on the whole way, also where it needs many HTTP/2 frames."""
    tag = f"wide1{family}"
    config = "".join(f'header = "x-w{i}: {"w" * 1000}"\n' for i in range(230)) + 'header = "x-big: here"\n'
    assert wide.curl("-K", "-", "-H", f"x-tag: {tag}", wide.url(family, "/"), input=config) == "here"
    wide.agree([tag])


def test_wider_bounds_http2(wide, family):
    s, f = wide.open(family, 81)
    with s, f:
        c = http2.Client(s)
        fields = [(f"x-w{i}", "w" * 1000) for i in range(230)] + [("x-big", "here")]
        fits = c.request(headers=fields + [("x-tag", f"wide2{family}-fits")])
        over = c.request(headers=fields * 2 + [("x-tag", f"wide2{family}-over")])
        fits, over = c.run(fits, over)
        assert (fits.status, fits.body, over.status) == (200, b"here", 431)
    wide.agree([f"wide2{family}-fits"])


def test_wider_bound_exactly(wide, family):
    number = WIDE // 1000
    assert wide.ask(family, http1.request(tag="t", headers=fields_of_size(WIDE, number=number))).status == 200
    assert wide.ask(family, http1.request(tag="t", headers=fields_of_size(WIDE + 1, number=number))).status == 431


@pytest.mark.parametrize("size, status", [(HEADER_BYTES, 200), (HEADER_BYTES + 1, 502)])
def test_response_headers(world, family, size, status):
    def script(s, f):
        server.seen.append(http1.read_request(f).get("x-tag"))
        value = "r" * (size - (14 + 1 + 32) - (5 + 32))
        s.sendall(http1.response(headers=[("x-big", value)]))
    with world.serve(script) as server:
        m = world.ask(family, http1.request(tag="response"), 90)
        assert m.status == status and server.seen == ["response"]
        assert m.get("x-weft-reason") == (None if status == 200 else "UPE")


def test_414(world, family):
    assert world.ask(family, http1.request(target="/" + "p" * (TARGET_BYTES - 1), tag=f"414{family}-fits")).status == 200
    assert world.ask(family, http1.request(target="/" + "p" * TARGET_BYTES, tag=f"414{family}-over")).status == 414
    world.agree([f"414{family}-fits"])


# -- upgrades and logs -------------------------------------------------------------------------------------------------------

def test_unknown_upgrade_is_stripped(world, family):
    def script(s, f):
        server.seen.append(http1.read_request(f))
        s.sendall(http1.response(body=b"plain"))
    with world.serve(script) as server:
        m = world.ask(family, http1.request(tag="up", headers=[("Connection", "Upgrade"), ("Upgrade", "foo/2")]), 90)
        assert (m.status, m.body) == (200, b"plain")
        assert server.seen[0].get("upgrade") is None and "upgrade" not in (server.seen[0].get("connection") or "").lower()


def test_h2c_upgrade_stays_http1(world, family):
    out = world.curl("--http2", "-w", "%{http_version}", "-H", f"x-tag: h2c{family}", "-H", "x-big: h",
                     world.url(family, "/"))
    assert out == "h1.1"
    world.agree([f"h2c{family}"])


def test_queries_stay_out_of_logs(world, family):
    secret = f"secret-{os.urandom(8).hex()}"
    out = world.curl("-H", f"x-tag: q{family}", world.url(family, f"/path?token={secret}"))
    assert out == "" and world.nginx.records(f"q{family}")[0]["uri"] == f"/path?token={secret}"
    for pod in (world.client, world.web):
        sock.wait_for("the log", lambda p=pod: world.access(p, path="/path"))
        assert secret not in pod.sidecar.text()
        assert secret not in pod.admin("/config_dump")[1] + pod.metrics()
