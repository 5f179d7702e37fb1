"""Many requests and many connections: none fails, and afterwards memory and descriptors of both sidecars are where they
were, and at their end nothing has leaked. Under sanitizers, which cost tenfold, it is a tenth of each number; there the
leak check at exit is one more witness."""

import os
import re
import threading

import pytest

from conftest import make_mesh
from weftnet import SANITIZED, apps, sock
from weftnet.world import url

SHARE = 10 if SANITIZED else 1
REQUESTS, MANY, OPENED, RAW = 20000 // SHARE, 100000 // SHARE, 10000 // SHARE, 1000 // SHARE
CONNECTIONS = 1000
LEVEL_KIB = 8 << 10

HTTP = """
  server { listen 8080 backlog=4096; listen [::]:8080 backlog=4096; listen 8081 http2 backlog=4096;
    listen [::]:8081 http2 backlog=4096;
    location / { default_type text/plain; return 200 "hello from the other side\\n"; } }
"""
STREAM = """stream { server { listen 2525 backlog=4096; listen [::]:2525 backlog=4096; return "220 hello\\n"; } }"""
VERSIONS = {"http1": (["--h1"], 80), "http2": (["-m", "4"], 81)}


class World:
    def __init__(self, m):
        self.client, self.web = m.pod("client"), m.pod("web", ports=[("http", 8080), ("http2", 8081), ("raw", 2525)])
        self.service = m.service("web", [{"name": "http", "port": 80, "targetPort": 8080},
                                         {"name": "http2", "port": 81, "targetPort": 8081},
                                         {"name": "raw", "port": 25, "targetPort": 2525}])
        self.nginx = apps.Nginx(self.web, HTTP, [8080, 8081, 2525], STREAM)
        m.start("--pool-idle", "500ms")
        self.pods = (self.client, self.web)
        self.logged, self.idle, self.small = 0, self.descriptors(), self.memory()

    def requests(self):
        """Requests that nginx recorded since the last call; its log is long, so it is only counted."""
        with open(os.path.join(self.web.dir, "access.log"), "rb") as f:
            f.seek(self.logged)
            data = f.read()
        self.logged += len(data)
        return data.count(b'"status":200')

    def load(self, family, version, number, connections):
        """h2load with its own judgement and nginx's count of what arrived."""
        flags, port = VERSIONS[version]
        self.requests()
        out = self.client.exec("h2load", *flags, "-n", number, "-c", connections, "-t", "1", "-H", "x-tag: load",
                               "-H", ":authority: web",  # its own for IPv6 lacks the brackets
                               url(self.service.ip(family), port), timeout=300).stdout
        print(re.search(r"finished in .*", out).group(0))
        assert f"requests: {number} total, {number} started, {number} done, {number} succeeded, 0 failed, 0 errored, 0 " \
               "timeout" in out, out
        assert f"status codes: {number} 2xx, 0 3xx, 0 4xx, 0 5xx" in out, out
        seen = [self.requests()]
        sock.wait_for("nginx's log", lambda: seen.append(self.requests()) or sum(seen) >= number)
        assert sum(seen) == number

    def descriptors(self):
        return [len(os.listdir(f"/proc/{p.sidecar.pid}/fd")) for p in self.pods]

    def memory(self):
        found = []
        for p in self.pods:
            with open(f"/proc/{p.sidecar.pid}/status") as f:
                found.append(int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)))
        return found

    def settle(self):
        """Descriptors are as many as at the very beginning."""
        sock.wait_for(f"descriptors to be back at {self.idle}",
                      lambda: all(n <= i for n, i in zip(self.descriptors(), self.idle)))
        print(f"{self.memory()} KiB, {self.idle} descriptors")

    def stop(self):
        for p in self.pods:
            assert p.sidecar.stop(20) == 0, p.sidecar.text()[-4000:]
            assert "Sanitizer" not in p.sidecar.text()


@pytest.fixture(scope="module")
def world():
    with make_mesh() as m:
        w = World(m)
        yield w
        w.stop()


@pytest.mark.parametrize("version", VERSIONS)
def test_no_failed_request(world, family, version):
    before = world.client.metric("weft_requests_total", code="200"), world.web.metric("weft_requests_total", code="200")
    world.load(family, version, REQUESTS, 64)
    sock.wait_for("the counters", lambda: world.client.metric("weft_requests_total", direction="outbound", code="200") ==
                  before[0] + REQUESTS)
    assert world.web.metric("weft_requests_total", direction="inbound", code="200") == before[1] + REQUESTS


@pytest.mark.parametrize("version", VERSIONS)
def test_many_requests_over_many_connections(world, family, version):
    world.load(family, version, MANY if family == 4 else MANY // 4, CONNECTIONS)
    world.settle()


@pytest.mark.parametrize("version", VERSIONS)
def test_connections_opened_and_closed(world, family, version):
    """Each connection carries one request and goes."""
    for _ in range(OPENED // 500):
        world.load(family, version, 500, 500)
    world.settle()


def test_raw_connections_opened_and_closed(world, family):
    """Each a handshake of its own between the sidecars; eight at a time."""
    def some(number):
        for _ in range(number):
            with sock.connect(world.client, world.service.ip(family), 25) as s:
                got.append(sock.read_all(s))

    got = []
    threads = [threading.Thread(target=some, args=(RAW // 8,)) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got == [(b"220 hello\n", True)] * (RAW // 8 * 8)
    world.settle()


@pytest.mark.skipif(SANITIZED, reason="the sanitizer keeps what is freed in quarantine; its leak check is the witness")
def test_memory_is_level_afterwards(world):
    """What the bursts took is given back: not only level, but nearly what it was before the first request."""
    world.settle()
    sock.wait_for(f"memory to be back near {world.small} KiB",
                  lambda: all(m <= s + LEVEL_KIB for m, s in zip(world.memory(), world.small)))
    print(f"{world.small} -> {world.memory()} KiB")
