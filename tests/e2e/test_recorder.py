"""The recordings can fail a run: whatever is not TLS 1.3 is found, also where it begins late in a stream."""

import json
import os
import socket
import struct

import pytest

from weftnet import Mesh, pcap, sock

HELLO = b"\x02" + b"r" * 60 + b"\x00\x2b\x00\x02\x03\x04"
OLD_HELLO = b"\x02" + b"r" * 60 + b"\x00\x2b\x00\x02\x03\x03"


def record(kind, body):
    return struct.pack(">BHH", kind, 0x0303, len(body)) + body


GOOD = record(22, HELLO) + record(20, b"\1") + record(23, os.urandom(16384)) * 200
CASES = {
    "tls 1.3": (GOOD, False),
    "tls 1.2": (record(22, OLD_HELLO) + record(23, b"x"), True),
    "plaintext": (b"GET / HTTP/1.1\r\n\r\n", True),
    "plaintext after three MiB of TLS": (GOOD + b"GET / HTTP/1.1\r\n\r\n", True),
    "no hello": (record(23, b"x"), True),
    "empty record": (record(22, HELLO) + record(23, b""), True),
}


@pytest.mark.parametrize("name", CASES)
def test_judge(name, family):
    payload, found = CASES[name]
    with Mesh() as m:
        a, b = m.pod("a", meshed=False), m.pod("b", meshed=False)
        got = []
        with sock.Server(b, 4433, lambda s: got.append(sock.read_all(s)[0])) as server:
            with sock.connect(a, b.ip(family), 4433) as s:
                s.sendall(payload)
            server.settle()
        assert got == [payload]
        meshed = {socket.inet_pton(socket.AF_INET if family == 4 else socket.AF_INET6, p.ip(family)) for p in (a, b)}
        for p in (a, b):
            p.recorder.stop()
            bad = list(pcap.judge(p.recorder, meshed))
            assert bool(bad) == found, bad
            verdict = p.recorder.verdict()
            assert verdict["gaps"] == 0 and verdict["bytes"] >= len(payload), json.dumps(verdict)
            assert os.path.getsize(p.recorder.path) < (2 << 20)
            kept = b"".join(v for _, parts in pcap.streams(p.recorder.path) for _, v in sorted(parts.items()))
            assert payload.startswith(kept[:1 << 20])
