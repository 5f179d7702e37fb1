"""Is a byte stream TLS 1.3? Followed record by record as it comes, in any order of segments, in constant
memory; used by the recorder on every TCP stream."""

import struct

LATE_SEGMENTS = 4096


def offers_tls13(hello):
    """supported_versions with 0x0304 in a ClientHello or ServerHello."""
    return (b"\x00\x2b" in hello) and (b"\x03\x04" in hello)


class Follower:
    """One direction of a connection, from its SYN on; where it is older than the recording (whole=False) only as
    long as what is seen of it are records, then it is lost. plain: the bytes that were no TLS 1.3, None while there are
    none; lost: segments that the recording lacks, after which nothing more is judged."""

    __slots__ = ("expect", "fed", "kept", "late", "lost", "plain", "head", "left", "hello", "whole")

    def __init__(self, expect, whole=True):
        self.whole = whole
        self.expect, self.fed, self.kept = expect, 0, 0
        self.late, self.lost, self.plain = None, False, None
        self.head, self.left, self.hello = b"", 0, b"" if whole else None

    def segment(self, seq, data):
        """A segment's payload; data is only valid during the call."""
        if self.plain is not None or self.lost:
            return
        ahead = (seq - self.expect) & 0xffffffff
        if ahead == 0:
            self.take(data)
        elif ahead >= 1 << 31:
            seen = (1 << 32) - ahead
            if seen < len(data):
                self.take(data[seen:])
        elif self.late is not None and len(self.late) >= LATE_SEGMENTS:
            self.lost, self.late = True, None
        else:
            self.late = self.late or []
            self.late.append((seq, bytes(data)))

    def take(self, data):
        self.expect = (self.expect + len(data)) & 0xffffffff
        self.feed(data)
        if self.late:
            waiting, self.late = self.late, None
            for seq, late in sorted(waiting, key=lambda s: (s[0] - self.expect) & 0xffffffff):
                self.segment(seq, late)

    def feed(self, data):
        at, size = 0, len(data)
        while at < size:
            if self.left == 0:
                at = self.begin(data, at)
                if self.plain is not None:
                    return
                continue
            step = min(self.left, size - at)
            if self.hello is not None:
                self.hello += bytes(data[at:at + step])
            at += step
            self.left -= step
            if self.left == 0 and self.hello is not None:
                if not offers_tls13(self.hello):
                    self.plain = self.hello[:80]
                    return
                self.hello = None
        self.fed += size

    def begin(self, data, at):
        """Collects a record's header (RFC 8446 5.1: types change_cipher_spec to application_data, version 3.1
        or 3.3); returns where its body begins."""
        if self.fed == 0 and at == 0 and not self.head:
            if self.whole and data[0] != 22:
                self.plain = bytes(data[:80])
                return at
        step = min(5 - len(self.head), len(data) - at)
        self.head += bytes(data[at:at + step])
        if len(self.head) < 5:
            return at + step
        kind, version, size = struct.unpack(">BHH", self.head)
        if not 20 <= kind <= 23 or version not in (0x0301, 0x0303) or not 0 < size <= 16384 + 256:
            if not self.whole:
                self.lost = True
                return len(data)
            self.plain = self.head + bytes(data[at + step:at + step + 75])
        self.head, self.left = b"", size
        return at + step
