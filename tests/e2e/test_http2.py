"""HTTP/2 as clients and servers speak it: many streams of one connection, trailers both ways, interim and bodyless answers,
and readers so slow that they stop, which stop nobody else."""

import os

import pytest

from conftest import make_mesh
from weftnet import http1, http2, sock
from weftnet.world import HttpWorld

HTTP = """
  server {
    listen 8080; listen [::]:8080; listen 8081 http2; listen [::]:8081 http2; root {dir}/files;
    location /hello { default_type text/plain; return 200 "hello\\n"; }
    location /none { return 204; }
    location /empty { default_type text/plain; return 200 ""; }
    location /up/ { dav_methods PUT; client_max_body_size 0; }
  }
"""
FILES = {"static": "s" * 1000, "big": "b" * 20000000}
PRIOR = "--http2-prior-knowledge"


@pytest.fixture(scope="module")
def world():
    with make_mesh() as m:
        yield HttpWorld(m, HTTP, FILES, http2=True)


def test_many_streams_at_once(world, family):
    """nghttp asks for all at once; more wait than one connection may carry."""
    urls = [world.url(family, f"/static?{family}-{i:03}", 81) for i in range(300)]
    out = world.client.exec("nghttp", "-ns", "-H", f"x-tag: nghttp{family}", *urls).stdout
    assert sum(line.split()[4:5] == ["200"] for line in out.splitlines()) == len(urls), out[-2000:]
    world.agree([f"nghttp{family}"] * len(urls))
    seen = world.nginx.records(f"nghttp{family}")
    assert sorted(e["uri"] for e in seen) == [f"/static?{family}-{i:03}" for i in range(300)]
    assert {e["proto"] for e in seen} == {"HTTP/2.0"}


def test_bodyless_answers(world, family):
    s, f = world.open(family, 81)
    with s, f:
        c = http2.Client(s)
        tags = [f"bodyless{family}-{i}" for i in range(5)]
        head, none, empty, static = c.run(*(c.request(method, path, [("x-tag", tag)]) for tag, (method, path) in zip(
            tags, [("HEAD", "/static"), ("GET", "/none"), ("GET", "/empty"), ("GET", "/static")])))
        same = c.run(c.request("GET", "/static", [("x-tag", tags[4]), ("if-none-match", static.get("etag"))]))
        assert (head.status, head.get("content-length"), head.body, head.ended) == (200, "1000", b"", True)
        assert (none.status, none.body, none.get("content-length")) == (204, b"", None)
        assert (empty.status, empty.body, empty.ended) == (200, b"", True)
        assert (static.body, same.status, same.body) == (b"s" * 1000, 304, b"")
    world.agree(tags)


def test_empty_and_large_uploads(world, family):
    for i, size in enumerate((0, 1, 16384, 5000000)):
        body = os.path.join(world.files, f"body{family}{i}")
        with open(body, "wb") as f:
            f.write(os.urandom(size))
        out = world.curl(PRIOR, "-T", body, "-H", f"x-tag: upload{family}-{i}", "-w", "%{http_code}",
                         world.url(family, f"/up/body{family}{i}", 81))
        assert out == "201"
        with open(body, "rb") as a, open(os.path.join(world.files, "up", f"body{family}{i}"), "rb") as b:
            assert a.read() == b.read()
    world.agree([f"upload{family}-{i}" for i in range(4)])


def test_trailers_both_ways(world, family):
    def script(s, f):
        h = http2.Server(s)
        number = h.wait_request(whole=True)
        r = h.requests[number]
        server.seen.append((r.get("x-tag"), r.body, r.trailers))
        h.answer(number, 200, b"answer", trailers=[("x-sum", "down")])
        h.until_end()
    with world.serve(script) as server:
        s, f = world.open(family, 90)
        with s, f:
            c = http2.Client(s)
            n = c.request("POST", headers=[("x-tag", "trailers"), ("te", "trailers")], end=False)
            c.send(n, b"question")
            c.trailers(n, [("x-sum", "up"), ("x-forwarded-client-cert", "URI=evil")])
            x = c.run(n)
            assert (x.status, x.body, x.trailers, x.ended) == (200, b"answer", [("x-sum", "down")], True)
        assert server.seen == [("trailers", b"question", [("x-sum", "up")])] and not server.failed


def test_interim_answers(world, family):
    def script(s, f):
        h = http2.Server(s)
        number = h.wait_request()
        server.seen.append(h.requests[number].get("x-tag"))
        h.interim(number, 103, [("link", "</a.css>; rel=preload")])
        h.interim(number, 103, [("link", "</b.css>; rel=preload")])
        h.answer(number, 200, b"final", end=True)
        h.until_end()
    with world.serve(script) as server:
        s, f = world.open(family, 90)
        with s, f:
            c = http2.Client(s)
            x = c.run(c.request(headers=[("x-tag", "hints")]))
            assert [dict(i)["link"] for i in x.interim] == ["</a.css>; rel=preload", "</b.css>; rel=preload"]
            assert (x.status, x.body) == (200, b"final") and server.seen == ["hints"]


def test_expect_continue(world, family):
    """The client waits for the 100, which is the application's."""
    def script(s, f):
        h = http2.Server(s)
        number = h.wait_request()
        server.seen.append(h.requests[number].body)
        h.interim(number, 100)
        server.seen.append(h.requests[h.wait_request(whole=True)].body)
        h.answer(number, 200, b"thanks", end=True)
        h.until_end()
    with world.serve(script) as server:
        s, f = world.open(family, 90)
        with s, f:
            c = http2.Client(s)
            n = c.request("POST", headers=[("expect", "100-continue")], end=False)
            while not c.streams[n].interim:
                c.step()
            assert server.seen == [b""]
            c.send(n, b"body", end=True)
            assert c.run(n).body == b"thanks"
        assert server.seen == [b"", b"body"] and not server.failed


@pytest.mark.parametrize("port", [80, 81], ids=["http1", "http2"])
def test_stopped_readers_stop_nobody(world, family, port):
    """Sixty downloads that nobody reads, over the few connections between the sidecars, beside one that is read."""
    stopped = []
    try:
        for _ in range(60):
            s = sock.connect(world.client, world.service.ip(family), port)
            stopped.append(s)
            if port == 80:
                s.sendall(http1.request(target="/big", tag="stopped"))
            else:
                http2.Client(s).request(path="/big", headers=[("x-tag", "stopped")])
        sock.wait_for("all downloads to have begun", lambda: all(s.recv(1, 2) for s in stopped))  # MSG_PEEK
        flags = [PRIOR] if port == 81 else []
        for i in range(5):
            assert world.curl(*flags, "-H", f"x-tag: flows{family}{port}-{i}", world.url(family, "/hello", port)) == "hello\n"
        out = world.curl(*flags, "-o", "/dev/null", "-w", "%{size_download}", world.url(family, "/big", port))
        assert out == "20000000"
    finally:
        for s in stopped:
            s.close()
    world.agree([f"flows{family}{port}-{i}" for i in range(5)])
