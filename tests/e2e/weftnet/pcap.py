"""Recording what passes between pods, and the judgement over it: every TCP payload between meshed pods
must be TLS 1.3 records."""

import re
import signal
import struct

from .proc import Proc, wait_for

COUNTS = re.compile(r"(\d+) packets? captured.*?(\d+) packets? received by filter", re.S)


class Recorder:
    """tcpdump on the node's end of a pod's veth."""

    def __init__(self, node, veth, path):
        self.path = path
        self.proc = Proc(f"tcpdump {veth}",
                         ["nsenter", f"--net=/run/netns/{node}", "--", "tcpdump", "-Z", "root", "-i", veth,
                          "-U", "--immediate-mode", "-n", "-s", "0", "-B", "16384", "-w", path, "tcp"], path + ".log")
        self.proc.wait_text("listening on")

    def caught_up(self):
        """True where tcpdump has written all that the kernel gave it (it tells when asked by SIGUSR1)."""
        before = len(COUNTS.findall(self.proc.text()))
        self.proc.signal(signal.SIGUSR1)
        counts = wait_for("tcpdump's counts", lambda: COUNTS.findall(self.proc.text())[before:] or not self.proc.alive())
        return counts is True or counts[-1][0] == counts[-1][1]

    def stop(self):
        if self.proc.alive():
            wait_for("tcpdump to catch up", self.caught_up)
            self.proc.stop()


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


def is_tls13(stream):
    """True where the bytes are TLS records throughout, as far as they go, and a hello among them says 1.3.
    Record versions are 3.1 or 3.3 (RFC 8446 5.1); types change_cipher_spec to application_data."""
    at = 0
    while at + 5 <= len(stream):
        kind, version, size = struct.unpack_from(">BHH", stream, at)
        if not 20 <= kind <= 23 or version not in (0x0301, 0x0303) or size > 16384 + 256:
            return False
        if at == 0 and kind == 22 and at + 5 + size <= len(stream):
            if not offers_tls13(stream[5:5 + size]):
                return False
        at += 5 + size
    return True


def offers_tls13(hello):
    """supported_versions with 0x0304 in a ClientHello or ServerHello."""
    return (b"\x00\x2b" in hello) and (b"\x03\x04" in hello)


def judge(path, meshed, limit=1 << 20):
    """Violations: streams between two of the meshed addresses (bytes) whose payload is not TLS 1.3."""
    bad = []
    for (src, sport, dst, dport), parts in streams(path):
        if src not in meshed or dst not in meshed or not parts:
            continue
        head = first_bytes(parts, limit)
        if head and not is_tls13(head):
            bad.append((src, sport, dst, dport, head[:80]))
    return bad


__all__ = ["Recorder", "judge", "read_packets", "streams", "first_bytes", "is_tls13"]
