"""What one HTTP/2 client connection can do to wear a proxy out: each attack is a generator of byte strings, sent
until it ends or the connection does."""

import struct

from weftnet.h2raw import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY,
                           PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame)

CANCEL = struct.pack(">I", 8)
N = 10000


def begin(c, flags=END_HEADERS | END_STREAM, path="/", method="GET"):
    """HEADERS of a new stream: (its id, the frame)."""
    sid = c.new_stream()
    return sid, frame(HEADERS, flags, sid, c.encode(c.pseudo(method, path)))


def rapid_reset(c):
    for _ in range(N):
        sid, raw = begin(c)
        yield raw + frame(RST_STREAM, 0, sid, CANCEL)


def rapid_reset_of_bodies(c):
    for _ in range(N):
        sid, raw = begin(c, END_HEADERS, method="POST")
        yield raw + frame(DATA, 0, sid, b"x" * 100) + frame(RST_STREAM, 0, sid, CANCEL)


def make_you_reset(*faults):
    """CVE-2025-8671: faults on a stream that force the server to reset it."""
    def attack(c):
        for n in range(N):
            sid, raw = begin(c, END_HEADERS, method="POST")
            yield raw + b"".join(f(sid) for f in faults)
            if n % 50 == 49:  # so that there are never more streams than the proxy permits
                acks = c.frames.get(PING, 0)
                yield frame(PING, 0, 0, b"in step?")
                c.pump(lambda: c.frames.get(PING, 0) > acks or c.goaway is not None)
    return attack


def window_zero(sid):
    return frame(WINDOW_UPDATE, 0, sid, struct.pack(">I", 0))


def window_overflow(sid):
    return frame(WINDOW_UPDATE, 0, sid, struct.pack(">I", 0x7fffffff)) * 2


def data_after_end(sid):
    return frame(DATA, END_STREAM, sid, b"x") + frame(DATA, 0, sid, b"y")


def headers_after_end(sid):
    return frame(DATA, END_STREAM, sid, b"x") + frame(HEADERS, END_HEADERS | END_STREAM, sid, b"\x82")


def short_priority(sid):
    return frame(PRIORITY, 0, sid, b"abc")


def trailers_without_end(sid):
    return frame(HEADERS, END_HEADERS, sid, b"\x00\x01a\x01b")


def continuation(payload):
    def attack(c):
        sid = c.new_stream()
        yield frame(HEADERS, END_STREAM, sid, c.encode(c.pseudo()))
        for _ in range(N):
            yield frame(CONTINUATION, 0, sid, payload)
    return attack


def flood(raw, n=200000):
    def attack(c):
        for _ in range(0, n, 100):
            yield raw * 100
    return attack


def on_stream(make, n=200000):
    """A flood of frames on one open stream."""
    def attack(c):
        sid, raw = begin(c, END_HEADERS, method="POST", path="/never")
        yield raw
        for _ in range(0, n, 100):
            yield make(sid) * 100
    return attack


def one_byte_windows(c):
    """A response that may leave by the byte."""
    for _ in range(50):
        sid, raw = begin(c, path="/large")
        yield raw
        for _ in range(100):
            yield frame(WINDOW_UPDATE, 0, sid, struct.pack(">I", 1)) * 20


# Each must end with ENHANCE_YOUR_CALM.
FLOODS = {
    "rapid-reset": rapid_reset, "rapid-reset-bodies": rapid_reset_of_bodies,
    "reset-by-window-zero": make_you_reset(window_zero),
    "reset-by-window-overflow": make_you_reset(window_overflow),
    "reset-by-data-after-end": make_you_reset(data_after_end),
    "reset-by-headers-after-end": make_you_reset(headers_after_end),
    "reset-by-short-priority": make_you_reset(short_priority),
    "reset-by-trailers-without-end": make_you_reset(trailers_without_end), 
    "continuation-empty": continuation(b""), "continuation-bytes": continuation(b"\x00\x01a\x01b"),
    "ping": flood(frame(PING, 0, 0, b"12345678")), "settings": flood(frame(SETTINGS, 0, 0)),
    "settings-values": flood(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535))),
    "unknown-frames": flood(frame(99, 0, 0, b"x")),
    "priority": flood(frame(PRIORITY, 0, 1, struct.pack(">IB", 0, 1))), "window-updates": on_stream(
        lambda sid: frame(WINDOW_UPDATE, 0, sid, struct.pack(">I", 1))),
    "window-updates-of-all": flood(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1))),
    "empty-data": on_stream(lambda sid: frame(DATA, 0, sid)),
    "padded-nothing": on_stream(lambda sid: frame(DATA, 8, sid, b"\x03\x00\x00\x00")),
}


def setting(key, value):
    return frame(SETTINGS, 0, 0, struct.pack(">HI", key, value))


# Frames after which no connection can go on (RFC 9113: connection errors); what they say about it is an error code.
FATAL = {
    "data-on-zero": frame(DATA, 0, 0, b"x"), "headers-on-zero": frame(HEADERS, END_HEADERS, 0, b"\x82"),
    "headers-on-even": frame(HEADERS, END_HEADERS | END_STREAM, 2, b"\x82\x86\x84"),
    "rst-on-zero": frame(RST_STREAM, 0, 0, CANCEL),
    "rst-on-idle": frame(RST_STREAM, 0, 77, CANCEL), "rst-short": frame(RST_STREAM, 0, 1, b"abc"),
    "data-on-idle": frame(DATA, 0, 77, b"x"), "window-on-idle": frame(WINDOW_UPDATE, 0, 77, struct.pack(">I", 1)),
    "window-zero": frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0)),
    "window-short": frame(WINDOW_UPDATE, 0, 0, b"abc"),
    "window-overflow": frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7fffffff)) * 2,
    "ping-short": frame(PING, 0, 0, b"1234567"),
    "ping-on-stream": frame(PING, 0, 1, b"12345678"), "settings-odd": frame(SETTINGS, 0, 0, b"12345"),
    "settings-on-stream": frame(SETTINGS, 0, 1), "settings-ack-payload": frame(SETTINGS, ACK, 0, b"123456"),
    "settings-push": setting(2, 2), "settings-window": setting(4, 0x80000000), "settings-frame-size": setting(5, 1),
    "push-promise": frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 2) + b"\x82"),
    "frame-too-large": frame(DATA, 0, 1, b"x" * 16385),
    "continuation-alone": frame(CONTINUATION, END_HEADERS, 1, b"\x82"),
    "goaway-on-stream": frame(GOAWAY, 0, 1, b"\0" * 8),
    "interleaved": frame(HEADERS, 0, 1, b"\x82") + frame(PING, 0, 0, b"12345678"),
    "padding-too-long": frame(HEADERS, 13, 1, b"\xff\x82"),
    "hpack-index": frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\x0f"),
    "hpack-index-zero": frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x80"),
    "hpack-table": frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x3f\xff\xff\x03"),
    "hpack-huffman": frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x00\x84\xff\xff\xff\xff\x01b"),
    "hpack-cut": frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x00\x7fabc"), "garbage": b"\xff" * 4096,
    "http1": b"GET / HTTP/1.1\r\nHost: web\r\n\r\n",
}
