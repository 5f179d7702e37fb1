"""One client connection of a pod abuses HTTP/2. It ends with ENHANCE_YOUR_CALM or its own error code, and log
and metric say why; the other connections of that pod, over the same shared connection between the sidecars,
see no error, and the memory of both sidecars stays bounded."""

import struct
import threading

import pytest
from hpack import Encoder

from conftest import make_mesh, url
from h2_attacks import FATAL, FLOODS
from weftnet import wait_for
from weftnet.h2raw import (CONTINUATION, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PING, SETTINGS, H2Raw,
                           frame, http2_app)
from weftnet.inside import App, connect
from weftnet.mesh import SANITIZED
from weftnet.mtls import dial_tls, make_leaf

ROOM = (64 if SANITIZED else 8) << 20  # of memory over idle, at any moment


def memory(pod, field="VmRSS"):
    with open(f"/proc/{pod.sidecar.pid}/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith(field + ":"))


def forget_peak(pod):
    with open(f"/proc/{pod.sidecar.pid}/clear_refs", "w") as f:
        f.write("5")


class Witness:
    """Another connection of the pod that asks all the time and wants an answer each time."""

    def __init__(self, lab, family):
        self.c = H2Raw(connect(lab.client, lab.web.ip(family), 8081))
        self.done, self.wrong, self.stop = 0, [], threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        wait_for("the witness", lambda: self.done > 3 or self.wrong)

    def run(self):
        while not self.stop.wait(0.002):  # leaves the machine to the attack
            sid = self.c.get("/witness")
            s = self.c.finish(sid, timeout=20)
            if s.status != 200 or not s.ended:
                self.wrong.append((sid, s.status, s.headers, s.body, s.reset, self.c.goaway, self.c.goaway_text))
                return
            del self.c.streams[sid]
            self.done += 1

    def end(self):
        """Ten more answers, and none of all was wrong."""
        goal = self.done + 10
        wait_for("more answers", lambda: self.done >= goal or self.wrong)
        self.stop.set()
        self.thread.join(30)
        self.c.close()
        assert not self.wrong


class Lab:
    def __init__(self, mesh):
        self.client, self.web = mesh.pod("client"), mesh.pod("web", ports=[("http2", 8081)])
        self.stranger = mesh.pod("stranger", meshed=False)
        mesh.service("web", [{"name": "http2", "port": 8081}])
        self.requests = []
        self.app = App(self.web, 8081, http2_app(self.requests))
        mesh.start()
        self.leaf = make_leaf(mesh, "client", self.client.spiffe_id)

    def dial(self, family, **kw):
        return H2Raw(connect(self.client, self.web.ip(family), 8081), **kw)

    def events(self, seen):
        return [e for e in self.client.log()[seen:] if e.get("msg") == "HTTP connection ended"]


@pytest.fixture(scope="module")
def lab():
    with make_mesh() as m:
        lab = Lab(m)
        yield lab
        lab.app.close()


@pytest.fixture
def calm(lab, family):
    """Around an attack: a witness, and the memory of both sidecars."""
    lab.requests.clear()
    witness = Witness(lab, family)
    level = {}
    for pod in (lab.client, lab.web):
        level[pod] = memory(pod)
        forget_peak(pod)
    yield
    witness.end()
    for pod, idle in level.items():
        assert memory(pod, "VmHWM") < idle + ROOM, pod.name
        assert pod.sidecar.alive()


def attack(c, pieces):
    """Sends until the end of the pieces or of the connection, reading what comes."""
    for n, piece in enumerate(pieces):
        if not c.send(piece) or c.closed or c.goaway is not None:
            break
        if n % 20 == 0:
            c.drain()


@pytest.mark.parametrize("name", FLOODS)
def test_flood(lab, family, calm, name):
    seen = len(lab.client.log())
    before = lab.client.metric("weft_connections_refused_total", direction="outbound", reason="DPE")
    c = lab.dial(family)
    assert c.alive()
    attack(c, FLOODS[name](c))
    c.pump(lambda: c.goaway is not None, timeout=20)
    assert c.goaway == ENHANCE_YOUR_CALM, (c.goaway, c.goaway_text, c.closed)
    assert c.pump(lambda: c.closed, timeout=20) or c.closed, "the connection lives on"
    c.close()
    event = wait_for("the log", lambda: lab.events(seen))[-1]
    assert event["text"] == "the peer abuses the protocol" and event["detail"], event
    assert lab.client.metric("weft_connections_refused_total", direction="outbound", reason="DPE") == before + 1


def test_flood_without_reading(lab, family, calm):
    """Answers that nobody takes pile up to a bound, not beyond."""
    c = lab.dial(family)
    assert c.alive()
    piece = frame(6, 0, 0, b"12345678") * 1000
    c.drain = lambda: None
    for _ in range(1000):
        if not c.send(piece, timeout=2):
            break
    c.pump(lambda: c.goaway is not None, timeout=20)
    assert c.closed or c.goaway == ENHANCE_YOUR_CALM
    c.close()


def test_malformed_frames(lab, family, calm):
    """Frames after which no connection can go on."""
    for name, frames in FATAL.items():
        seen = len(lab.client.log())
        c = lab.dial(family)
        c.pump(lambda c=c: SETTINGS in c.frames)
        c.send(frames)
        assert c.pump(lambda c=c: c.closed, timeout=20), name
        assert c.goaway not in (None, 0), f"{name}: it ended without an error code: {c.goaway}"
        c.close()
        event = wait_for("the log", lambda seen=seen: lab.events(seen))[-1]
        assert event["detail"], (name, event)


def hpack_bomb(c):
    """One field of 4 KiB in the dynamic table, then references to it, a byte each."""
    sid = c.new_stream()
    literal = b"\x40\x01a\x7f" + bytes([0x81 | 0x80, 0x1e]) + b"b" * 4000  # length 4000 in HPACK's integers
    block = c.encode(c.pseudo()) + literal + b"\xbe" * 100000
    yield frame(HEADERS, END_STREAM, sid, block[:16000])
    for at in range(16000, len(block), 16000):
        last = at + 16000 >= len(block)
        yield frame(CONTINUATION, END_HEADERS if last else 0, sid, block[at:at + 16000])


def table_flips(c):
    """The table's size up and down within a block."""
    sid = c.new_stream()
    yield frame(HEADERS, END_HEADERS | END_STREAM, sid, b"\x20\x3f\xe1\x1f" * 3000 + c.encode(c.pseudo()))


def cookies(c):
    sid = c.new_stream()
    block = c.encode(c.pseudo()) + b"\x40\x06cookie\x03a=b" + b"\xbe" * 15000
    yield frame(HEADERS, END_HEADERS | END_STREAM, sid, block)


@pytest.mark.parametrize("bomb", [hpack_bomb, table_flips, cookies])
def test_hpack(lab, family, calm, bomb):
    """Refused as a request or as a connection; in no case does it grow in memory or go on to the application."""
    for _ in range(20):
        c = lab.dial(family)
        c.pump(lambda: SETTINGS in c.frames)
        attack(c, bomb(c))
        s = c.streams[1]
        assert c.pump(lambda: c.goaway or c.closed or s.over, timeout=20)
        assert s.reset is not None or s.status == 431 or bomb is table_flips, (c.goaway, s.status)
        c.encoder = Encoder()  # the bomb's field is in the table that the other one referred to
        assert c.alive(), "the connection paid for it"
        c.close()
    assert all(r.get(":path") in (["/witness"], ["/"]) and len(r.headers) < 10 for r in lab.requests)


def test_slow_readers(lab, family, calm):
    """Windows of nothing: responses wait at the application, not here."""
    readers = []
    for _ in range(10):
        c = lab.dial(family, settings=struct.pack(">HI", 4, 0))
        for _ in range(50):
            c.get("/slow")
        readers.append(c)
    for c in readers:
        c.pump(lambda c=c: all(s.status for s in c.streams.values()))
        assert all(s.status == 200 and not s.body for s in c.streams.values())
    for c in readers:
        c.close()


def test_h2load_beside_rapid_reset(lab, family):
    """An independent client on connections of its own, while another connection resets as fast as it can."""
    host = url(lab.web.ip(family), 8081)
    load = lab.client.spawn("h2load", "h2load", "-n", "3000", "-c", "4", "-m", "10", host)
    resets = 0
    while load.alive():
        c = lab.dial(family)
        attack(c, FLOODS["rapid-reset"](c))
        c.pump(lambda: c.goaway is not None, timeout=20)
        assert c.goaway == ENHANCE_YOUR_CALM
        c.close()
        resets += 1
    load.wait()
    text = load.text()
    assert "3000 succeeded, 0 failed, 0 errored, 0 timeout" in text and "3000 2xx" in text, text
    assert resets >= 1


def test_a_hostile_sidecar(lab, family):
    """The same from somebody who holds a key and speaks to the inbound sidecar itself: others see nothing of it."""
    witness = Witness(lab, family)
    for name in ("rapid-reset", "reset-by-window-zero", "continuation-empty", "ping", "empty-data"):
        c = H2Raw(dial_tls(lab.stranger, lab.web.ip(family), 8081, lab.leaf, "weft/h2"))
        idle = memory(lab.web)
        forget_peak(lab.web)
        attack(c, FLOODS[name](c))
        c.send(frame(PING, 0, 0, b"all read"))
        acks = c.frames.get(PING, 0)
        c.pump(lambda: c.closed or c.frames.get(PING, 0) > acks, timeout=20)
        c.close()
        assert memory(lab.web, "VmHWM") < idle + ROOM, name
    witness.end()


def test_nothing_is_left(lab):
    for pod in (lab.client, lab.web):
        wait_for("requests to end", lambda pod=pod: pod.metric("weft_requests_in_flight") == 0)
        assert pod.admin("/healthz/ready")[0] == 200
