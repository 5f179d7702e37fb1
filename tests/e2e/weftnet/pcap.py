"""Recording what passes between pods, and the judgement over it: every TCP payload between meshed pods
must be TLS 1.3 records."""

import json
import os
import signal
import struct
import sys

from .proc import Proc, wait_for

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "record.py")


class Recorder:
    """Records the node's end of a pod's veth (record.py says how)."""

    def __init__(self, node, veth, path):
        self.path = path
        self.proc = Proc(f"recorder of {veth}", ["nsenter", f"--net=/run/netns/{node}", "--", sys.executable, PROGRAM,
                                                 veth, path], path + ".log")
        self.proc.wait_text("recording")

    def catch_up(self):
        """Until the file has all that passed before this call."""
        before = self.proc.text().count("caught up")
        self.proc.signal(signal.SIGUSR1)
        wait_for("the recorder to catch up", lambda: self.proc.text().count("caught up") > before)

    def stop(self):
        if self.proc.alive():
            self.proc.signal(signal.SIGTERM)
            self.proc.wait()

    def verdict(self):
        """What was recorded (stopped before): streams, bytes, drops, gaps, plain."""
        with open(self.path + ".json") as f:
            return json.load(f)


def read_packets(path):
    """(source ip, source port, destination ip, destination port, seq, flags, payload) of each TCP packet."""
    with open(path, "rb") as f:
        data = f.read()
    if len(data) < 24:
        return
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    at = 24
    while at + 16 <= len(data):
        caplen = struct.unpack_from(order + "I", data, at + 8)[0]
        packet = data[at + 16:at + 16 + caplen]
        at += 16 + caplen
        parsed = parse_packet(packet)
        if parsed:
            yield parsed


def parse_packet(p):
    if len(p) < 34:
        return None
    kind = p[12:14]
    if kind == b"\x08\x00" and p[23] == 6:
        head = 14 + (p[14] & 15) * 4
        end = 14 + struct.unpack_from(">H", p, 16)[0]
        src, dst = p[26:30], p[30:34]
    elif kind == b"\x86\xdd" and p[20] == 6:
        head, end = 54, 54 + struct.unpack_from(">H", p, 18)[0]
        src, dst = p[22:38], p[38:54]
    else:
        return None
    sport, dport, seq = struct.unpack_from(">HHI", p, head)
    flags = p[head + 13]
    payload = p[head + (p[head + 12] >> 4) * 4:end]
    return src, sport, dst, dport, seq, flags, payload


def streams(path):
    """Directional byte streams in order of sequence numbers: {(src, sport, dst, dport): bytes}; a SYN
    begins a new one, so that reused ports do not mix."""
    table, done = {}, []
    for src, sport, dst, dport, seq, flags, payload in read_packets(path):
        key = (src, sport, dst, dport)
        if flags & 2:
            if key in table:
                done.append((key, table[key]))
            table[key] = [(seq + 1) & 0xffffffff, {}]
            continue
        if payload and key in table:
            base, parts = table[key]
            offset = (seq - base) & 0xffffffff
            if offset < 1 << 31:
                parts[offset] = max(parts.get(offset, b""), payload, key=len)
    for key, (_, parts) in done + list(table.items()):
        yield key, parts


def first_bytes(parts, limit):
    """The stream from its start on, as far as it was recorded without a gap, at most limit bytes."""
    out = bytearray()
    for offset in sorted(parts):
        if offset > len(out) or len(out) >= limit:
            break
        out += parts[offset][len(out) - offset:] if offset + len(parts[offset]) > len(out) else b""
    return bytes(out[:limit])


def judge(recorder, meshed):
    """Violations: streams between two of the meshed addresses (bytes) whose payload is not TLS 1.3."""
    for src, sport, dst, dport, head in recorder.verdict()["plain"]:
        src, dst = bytes.fromhex(src), bytes.fromhex(dst)
        if src in meshed and dst in meshed:
            yield src, sport, dst, dport, bytes.fromhex(head)


__all__ = ["Recorder", "judge", "read_packets", "streams", "first_bytes"]
