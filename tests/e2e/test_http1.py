"""HTTP/1 as clients and servers really speak it: 1.0, keep-alive, pipelining, chunked bodies with trailers, 100-continue,
interim and bodyless responses. Real programs where one behaves so, raw sockets where none does."""

import os

import pytest

from conftest import make_mesh
from weftnet import http1, sock
from weftnet.world import RAW, HttpWorld

HTTP = """
  server {
    listen 8080; listen [::]:8080; root {dir}/files;
    location /hello { default_type text/plain; return 200 "hello\\n"; }
    location /none { return 204; }
    location /empty { default_type text/plain; return 200 ""; }
    location /ssi { ssi on; ssi_types text/plain; default_type text/plain; }
    location /up/ { dav_methods PUT; }
  }
"""
FILES = {"static": "s" * 1000, "ssi": "<!--# echo var='request_method' -->" + "x" * 1000}


@pytest.fixture(scope="module")
def world():
    with make_mesh() as m:
        yield HttpWorld(m, HTTP, FILES)


# -- HTTP/1.0 ------------------------------------------------------------------------------------------------------------

def test_http10_curl(world, family):
    out = world.curl("--http1.0", "-H", f"x-tag: http10-{family}", "-w", "%{http_code} %{num_connects}\n",
                     world.url(family))
    assert out == "hello\n200 1\n"
    world.agree([f"http10-{family}"])


def test_http10_chunked_answer_has_no_coding(world, family):
    s, f = world.open(family)
    with s, f:
        s.sendall(http1.request(target="/ssi", version="1.0", tag=f"coding-{family}"))
        m = http1.read_response(f)
        assert m.get("transfer-encoding") is None and m.body == b"GET" + b"x" * 1000
        assert f.read() == b""  # closed, in order
    world.agree([f"coding-{family}"])


def test_http10_keep_alive(world, family):
    s, f = world.open(family)
    tags = [f"ka10-{family}/{i}" for i in range(5)]
    with s, f:
        for tag in tags:
            s.sendall(http1.request(target="/hello", version="1.0", tag=tag, headers=[("Connection", "keep-alive")]))
            m = http1.read_response(f)
            assert m.body == b"hello\n" and m.get("connection").lower() == "keep-alive"
        s.sendall(http1.request(target="/hello", version="1.0", tag=f"ka10-{family}/last"))
        assert http1.read_response(f).body == b"hello\n" and f.read() == b""
    world.agree(tags + [f"ka10-{family}/last"])


def test_http10_without_host(world, family):
    s, f = world.open(family)
    with s, f:
        s.sendall(http1.request(target="/hello", version="1.0", host=None, tag=f"nohost-{family}"))
        assert http1.read_response(f).body == b"hello\n"
    world.agree([f"nohost-{family}"])


def test_http10_server(world, family):
    """python's http.server speaks HTTP/1.0."""
    server = world.web.spawn("http10", "/usr/bin/python3", "-m", "http.server", "--bind", "::", "--directory",
                             os.path.join(world.web.dir, "files"), str(RAW))
    world.web.wait_port(RAW)
    for i in range(3):
        assert world.curl(f"{world.url(family, '/static', 90)}?tag={i}-{family}") == "s" * 1000
    for i in range(3):
        server.wait_text(f"/static?tag={i}-{family}")
    server.stop()


def test_close_delimited_answer(world, family):
    def script(s, f):
        tag = http1.read_request(f).get("x-tag")
        s.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + b"until the end " * 1000)
        server.seen.append(tag)
    with world.serve(script) as server:
        s, f = world.open(family, 90)
        with s, f:
            s.sendall(http1.request(tag="close-delimited"))
            m = http1.read_response(f)
        assert m.body == b"until the end " * 1000 and m.get("transfer-encoding") == "chunked"
        server.settle()
        assert server.seen == ["close-delimited"] and not server.failed


# -- reuse ---------------------------------------------------------------------------------------------------------------

def test_keep_alive_reuses_connections(world, family):
    tags = [f"ka-{i}" for i in range(20)]
    config = "".join(f'url = "{world.url(family)}"\nheader = "x-tag: ka{family}-{i}"\noutput = "/dev/null"\n'
                     f'write-out = "%{{http_code}} %{{num_connects}}\\n"\nnext\n' for i in range(len(tags)))
    out = world.client.exec("curl", "-sS", "-m", "20", "-K", "-", input=config.rpartition("next\n")[0]).stdout
    assert out == "200 1\n" + "200 0\n" * (len(tags) - 1)
    world.agree([f"ka{family}-{i}" for i in range(len(tags))])
    assert len({e["conn"] for e in world.nginx.records(f"ka{family}-")}) == 1


@pytest.mark.parametrize("path, answer", [("/hello", b"hello\n"), ("/empty", b"")])
def test_pipelining(world, family, path, answer):
    """All requests at once, bodies between them; answers in order."""
    tags = [f"pipe{path[1:]}{family}-{i}" for i in range(100)]
    s, f = world.open(family)
    with s, f:
        s.sendall(b"".join(http1.request(target=path, tag=tag) for tag in tags))
        for _ in tags:
            m = http1.read_response(f)
            assert (m.status, m.body) == (200, answer)
    world.agree(tags)


def test_pipelined_answers_keep_order(world, family):
    """Each answer names its request, also behind slow ones and requests with bodies."""
    def script(s, f):
        while f.peek(1):
            m = http1.read_request(f)
            server.seen.append(m.get("x-tag"))
            s.sendall(http1.response(body=m.get("x-tag").encode() + b":" + m.body))
    with world.serve(script) as server:
        s, f = world.open(family, 90)
        with s, f:
            s.sendall(b"".join(http1.request("POST" if i % 2 else "GET", tag=f"t{i}", body=b"b" * (i % 2 * i * 100))
                               for i in range(50)))
            for i in range(50):
                assert http1.read_response(f).body == f"t{i}:".encode() + b"b" * (i % 2 * i * 100)
        assert server.seen == [f"t{i}" for i in range(50)] and not server.failed


# -- bodies --------------------------------------------------------------------------------------------------------------

def test_chunked_with_trailers_both_ways(world, family):
    def script(s, f):
        m = http1.read_request(f)
        server.seen.append((m.get("x-tag"), m.get("transfer-encoding"), m.body, m.trailers))
        s.sendall(http1.response(headers=[("Transfer-Encoding", "chunked"), ("Trailer", "x-sum")], length=False) +
                  http1.chunks([b"one", b"two" * 9000, b"3"], [("x-sum", "down"), ("x-more", "yes")]))
    with world.serve(script) as server:
        s, f = world.open(family, 90)
        with s, f:
            s.sendall(http1.request("POST", tag="trailers", headers=[
                ("Transfer-Encoding", "chunked"), ("TE", "trailers"), ("Trailer", "x-sum")]))
            s.sendall(http1.chunks([b"a" * 10, b"b" * 70000], [("x-sum", "up"), ("X-Forwarded-Client-Cert", "URI=evil")]))
            m = http1.read_response(f)
        assert m.body == b"one" + b"two" * 9000 + b"3" and m.trailers == [("x-sum", "down"), ("x-more", "yes")]
        server.settle()
        assert server.seen == [("trailers", "chunked", b"a" * 10 + b"b" * 70000, [("x-sum", "up")])]
        assert not server.failed


def test_curl_uploads_chunked(world, family):
    done = world.client.exec("curl", "-sS", "-m", "20", "-T", "-", "-H", f"x-tag: chunked-{family}", "-w", "%{http_code}",
                             world.url(family, f"/up/chunked{family}"), input="c" * 300000)
    assert done.stdout.endswith("201")
    world.agree([f"chunked-{family}"])
    with open(os.path.join(world.web.dir, "files", "up", f"chunked{family}")) as f:
        assert f.read() == "c" * 300000


def test_head(world, family):
    s, f = world.open(family)
    with s, f:
        for i in range(3):  # a body would be taken for the next answer
            s.sendall(http1.request("HEAD", "/static", tag=f"head{family}-{i}"))
            m = http1.read_response(f, "HEAD")
            assert m.status == 200 and m.get("content-length") == "1000"
    world.agree([f"head{family}-{i}" for i in range(3)])


def test_bodyless_answers(world, family):
    s, f = world.open(family)
    with s, f:
        s.sendall(http1.request(target="/static", tag=f"bodyless{family}-0"))
        first = http1.read_response(f)
        s.sendall(http1.request(target="/static", tag=f"bodyless{family}-1",
                                headers=[("If-None-Match", first.get("etag"))]))
        m = http1.read_response(f)
        assert m.status == 304 and m.get("etag") == first.get("etag") and m.get("transfer-encoding") is None
        s.sendall(http1.request(target="/none", tag=f"bodyless{family}-2"))
        m = http1.read_response(f)
        assert m.status == 204 and m.get("content-length") is None and m.get("transfer-encoding") is None
        s.sendall(http1.request(target="/empty", tag=f"bodyless{family}-3"))
        m = http1.read_response(f)
        assert (m.status, m.body, m.get("content-length")) == (200, b"", "0")
    world.agree([f"bodyless{family}-{i}" for i in range(4)])


def test_empty_request_bodies(world, family):
    def script(s, f):
        while f.peek(1):
            m = http1.read_request(f)
            server.seen.append((m.get("x-tag"), m.get("content-length"), m.body))
            s.sendall(http1.response())
    with world.serve(script) as server:
        s, f = world.open(family, 90)
        with s, f:
            for tag, headers, body in (("none", [], b""), ("zero", [("Content-Length", "0")], b""),
                                       ("chunk", [("Transfer-Encoding", "chunked")], b"0\r\n\r\n")):
                s.sendall(http1.request("POST", tag=tag, headers=headers, body=body))
                assert http1.read_response(f).status == 200
        assert [(t, b) for t, _, b in server.seen] == [("none", b""), ("zero", b""), ("chunk", b"")]
        assert server.seen[1][1] == "0" and not server.failed


# -- interim responses -----------------------------------------------------------------------------------------------------

def test_expect_continue_curl(world, family):
    """curl would wait a minute for the 100 before it sent the body."""
    done = world.client.exec("curl", "-sSv", "-m", "20", "--expect100-timeout", "60", "-H", "Expect: 100-continue", "-T", "-",
                             "-H", f"x-tag: expect-{family}", world.url(family, f"/up/expect{family}"), input="e" * 5000)
    assert "HTTP/1.1 100 Continue" in done.stderr and "HTTP/1.1 201" in done.stderr
    world.agree([f"expect-{family}"])


def test_expect_continue_comes_from_the_application(world, family):
    """The client waits for the 100, and no body is sent for it before the application asked."""
    def script(s, f):
        head = http1.read_head(f)
        server.seen.append((head.get("x-tag"), head.get("expect")))
        s.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        server.seen.append(http1.read_body(f, head).body)
        s.sendall(http1.response(body=b"thanks"))
    with world.serve(script) as server:
        s, f = world.open(family, 90)
        with s, f:
            s.sendall(http1.request("POST", tag="waits", headers=[("Expect", "100-continue"), ("Content-Length", "4")]))
            assert http1.read_head(f).status == 100
            assert server.seen == [("waits", "100-continue")]
            s.sendall(b"body")
            assert http1.read_response(f).body == b"thanks"
        server.settle()
        assert server.seen[1] == b"body" and not server.failed


@pytest.mark.parametrize("status", ["417 Expectation Failed", "401 Unauthorized"])
def test_expectation_refused(world, family, status):
    """A final answer instead of the 100: the client keeps its body."""
    def script(s, f):
        head = http1.read_head(f)
        server.seen.append(head.get("x-tag"))
        s.sendall(http1.response(status, body=b"no"))
        server.seen.append(sock.read_all(s)[0])
    with world.serve(script) as server:
        s, f = world.open(family, 90)
        with s, f:
            s.sendall(http1.request("POST", tag="refused", headers=[("Expect", "100-continue"), ("Content-Length", "4")]))
            m = http1.read_response(f)
            assert m.status == int(status[:3]) and m.body == b"no" and not m.interim
        server.settle()
        assert server.seen == ["refused", b""] and not server.failed


def test_early_hints(world, family):
    def script(s, f):
        tag = http1.read_request(f).get("x-tag")
        server.seen.append(tag)
        s.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        sock.wait_for("the client to see the hints", lambda: hinted)
        s.sendall(http1.response(body=b"final"))
    hinted = []
    with world.serve(script) as server:
        s, f = world.open(family, 90)
        with s, f:
            s.sendall(http1.request(tag="hints"))
            first = http1.read_head(f)
            assert first.status == 103 and first.get("link") == "</a.css>; rel=preload"
            hinted.append(True)
            m = http1.read_response(f)
            assert (m.status, m.body) == (200, b"final")
        server.settle()
        assert server.seen == ["hints"] and not server.failed
