"""Raw TCP through two sidecars: what ends how at one side ends so at the other. On a port named tcp-, on one whose protocol
is found out, and to the pod's own address."""

import threading

import pytest

from conftest import make_mesh
from weftnet import sock

PORT = 7000
MEG = b"0123456789abcdef" * 65536


class World:
    def __init__(self, m):
        self.client, self.web = m.pod("client"), m.pod("web", ports=[("tcp-named", PORT)])
        self.other = m.pod("other")
        self.service = m.service("web", ("tcp-named", 70), target=PORT)
        self.undeclared = m.service("other", ("any", 70), target=PORT)
        m.start()

    def serve(self, kind, script):
        return sock.Server(self.web if kind == "declared" else self.other, PORT, script)

    def connect(self, kind, family):
        if kind == "pod":
            return sock.connect(self.client, self.other.ip(family), PORT)
        service = self.service if kind == "declared" else self.undeclared
        return sock.connect(self.client, service.ip(family), 70)


@pytest.fixture(scope="module")
def world():
    with make_mesh() as m:
        yield World(m)


@pytest.fixture(params=["declared", "undeclared", "pod"])
def kind(request):
    return request.param


def test_client_ends_first(world, family, kind):
    """The client's end of stream arrives while its other direction stays open."""
    def script(s):
        got, clean = sock.read_all(s)
        server.seen.append((got, clean))
        s.sendall(b"answer to " + got[:6] + MEG)
    with world.serve(kind, script) as server, world.connect(kind, family) as s:
        s.sendall(b"tag %d\n" % family + MEG)
        s.shutdown(1)
        assert sock.read_all(s) == (b"answer to tag %d\n" % family + MEG, True)
        server.settle()
        assert server.seen == [(b"tag %d\n" % family + MEG, True)] and not server.failed


def test_server_ends_first(world, family, kind):
    def script(s):
        server.seen.append(sock.read_until(s, b"\n"))
        s.sendall(MEG)
        s.shutdown(1)
        server.seen.append(sock.read_all(s))
    with world.serve(kind, script) as server, world.connect(kind, family) as s:
        s.sendall(b"tag %d\n" % family)
        assert sock.read_all(s) == (MEG, True)
        s.sendall(MEG)
        s.shutdown(1)
        server.settle()
        assert server.seen == [b"tag %d\n" % family, (MEG, True)] and not server.failed


def test_client_that_says_nothing_and_ends(world, family, kind):
    """As "nc HOST PORT </dev/null" does to read a greeting."""
    def script(s):
        server.seen.append(sock.read_all(s))
        s.sendall(b"greeting\n")
    with world.serve(kind, script) as server, world.connect(kind, family) as s:
        s.shutdown(1)
        assert sock.read_all(s) == (b"greeting\n", True)
        server.settle()
        assert server.seen == [(b"", True)] and not server.failed


def test_server_that_says_nothing_and_ends(world, family, kind):
    def script(s):
        server.seen.append(sock.read_until(s, b"\n"))
    with world.serve(kind, script) as server, world.connect(kind, family) as s:
        s.sendall(b"tag %d\n" % family)
        assert sock.read_all(s) == (b"", True)
        server.settle()
        assert server.seen == [b"tag %d\n" % family]


@pytest.mark.parametrize("who", ["client", "server"])
def test_reset(world, family, kind, who):
    """A reset is no end of stream at the other side."""
    begun = threading.Event()

    def script(s):
        server.seen.append(sock.read_until(s, b"\n"))
        s.sendall(b"hello\n")
        if who == "server":
            sock.wait_for("the client to have it", begun.is_set)
            sock.reset(s)
        else:
            server.seen.append(sock.read_all(s))
    with world.serve(kind, script) as server:
        s = world.connect(kind, family)
        s.sendall(b"tag %d\n" % family)
        assert sock.read_until(s, b"\n") == b"hello\n"
        begun.set()
        if who == "client":
            sock.reset(s)
        else:
            assert sock.read_all(s) == (b"", False)
            s.close()
        server.settle()
        assert server.seen == [b"tag %d\n" % family] + ([(b"", False)] if who == "client" else [])


def test_both_talk_at_once(world, family, kind):
    """Full duplex: neither waits for the other to read."""
    def script(s):
        sender = threading.Thread(target=s.sendall, args=(MEG * 8,))
        sender.start()
        server.seen.append(sock.read_exactly(s, len(MEG) * 8) == MEG * 8)
        sender.join()
    with world.serve(kind, script) as server, world.connect(kind, family) as s:
        sender = threading.Thread(target=s.sendall, args=(MEG * 8,))
        sender.start()
        assert sock.read_exactly(s, len(MEG) * 8) == MEG * 8
        sender.join()
        server.settle()
        assert server.seen == [True] and not server.failed


def test_nobody_listens(world, family, kind):
    """The client's connection, already accepted by capture, is reset, never ended as if it had been served."""
    with world.connect(kind, family) as s:
        s.sendall(b"\0\1\2")
        assert sock.read_all(s) == (b"", False)
