"""HTTP/2 without manners: frames as the test wants them, valid or not, and a log of what comes back; and an
application on python3-h2 that records requests. hpack does the tables, nothing here checks a rule."""

import ssl
import struct
import time

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from hpack import Decoder, Encoder

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY_FLAG = 1, 1, 4, 8, 32
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
ENHANCE_YOUR_CALM = 11


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


class Stream:
    """What came back on one stream."""

    def __init__(self):
        self.status, self.headers, self.body, self.trailers = None, [], b"", None
        self.ended, self.reset = False, None

    @property
    def over(self):
        return self.ended or self.reset is not None


class H2Raw:
    """A client connection. pump() reads frames; streams, goaway, closed tell what they said."""

    def __init__(self, sock, authority="web", settings=b""):
        self.sock, self.authority = sock, authority
        self.encoder, self.decoder = Encoder(), Decoder()
        self.streams, self.goaway, self.goaway_text = {}, None, b""
        self.closed, self.broken = False, False  # nothing more comes; nothing more goes
        self.frames = {}
        self.next_id, self.buffer, self.block = 1, b"", b""
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings))

    def send(self, data, timeout=20):
        """True where the peer took it all. What comes meanwhile is read: a peer may take no more until it is."""
        deadline, view = time.monotonic() + timeout, memoryview(data)
        while view and not self.broken and time.monotonic() < deadline:
            self.sock.settimeout(0.05)
            try:
                view = view[self.sock.send(view):]
            except (TimeoutError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                self.drain()
            except OSError:
                self.broken = True
        return not view and not self.broken

    def drain(self):
        """Reads what is there, without waiting."""
        self.sock.settimeout(0)
        try:
            while piece := self.sock.recv(65536):
                self.buffer += piece
            self.closed = True
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except OSError:
            self.closed = True
        while self._take():
            pass

    def new_stream(self):
        sid = self.next_id
        self.next_id += 2
        self.streams[sid] = Stream()
        return sid

    def encode(self, fields):
        """A header block; values may be anything, without Huffman so that they are sent as they are."""
        return self.encoder.encode([(n, v) for n, v in fields], huffman=False)

    def pseudo(self, method="GET", path="/", scheme="http", authority=None):
        return [(":method", method), (":scheme", scheme), (":authority", authority or self.authority), (":path", path)]

    def request(self, fields, end=True, sid=None, more_flags=0):
        """HEADERS with exactly these fields; the stream's id."""
        sid = sid or self.new_stream()
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0) | more_flags, sid, self.encode(fields)))
        return sid

    def get(self, path="/", fields=(), **kw):
        return self.request(self.pseudo(path=path, **kw) + list(fields))

    def data(self, sid, payload, end=False):
        self.send(frame(DATA, END_STREAM if end else 0, sid, payload))

    # -- what comes back ----------------------------------------------------------------------------

    def _headers(self, sid, payload, flags):
        fields = self.decoder.decode(payload)
        s = self.streams.setdefault(sid, Stream())
        status = [v for n, v in fields if n == ":status"]
        if s.status is not None and not status:
            s.trailers = fields
        elif not status or not 100 <= int(status[0]) < 200:
            s.status, s.headers = int(status[0]) if status else 0, fields
        s.ended = s.ended or bool(flags & END_STREAM)

    def _frame(self, kind, flags, sid, payload):
        self.frames[kind] = self.frames.get(kind, 0) + 1
        if kind == HEADERS:
            if flags & PADDED:
                payload = payload[1:len(payload) - payload[0]]
            if flags & PRIORITY_FLAG:
                payload = payload[5:]
            self.block = payload
            if flags & END_HEADERS:
                self._headers(sid, self.block, flags)
        elif kind == CONTINUATION:
            self.block += payload
            if flags & END_HEADERS:
                self._headers(sid, self.block, flags)
        elif kind == DATA:
            s = self.streams.setdefault(sid, Stream())
            s.body += payload
            s.ended = s.ended or bool(flags & END_STREAM)
            if payload:
                more = struct.pack(">I", len(payload))
                self.send(frame(WINDOW_UPDATE, 0, 0, more))
                if not s.ended:
                    self.send(frame(WINDOW_UPDATE, 0, sid, more))
        elif kind == RST_STREAM:
            self.streams.setdefault(sid, Stream()).reset = struct.unpack(">I", payload)[0]
        elif kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            self.goaway = struct.unpack(">I", payload[4:8])[0]
            self.goaway_text = payload[8:]

    def pump(self, until=lambda: False, timeout=10):
        """Reads frames until the condition holds or the connection ends; True where the condition holds."""
        deadline = time.monotonic() + timeout
        while not until():
            if self._take():
                continue
            left = deadline - time.monotonic()
            if self.closed or left <= 0:
                return until()
            self.sock.settimeout(left)
            try:
                piece = self.sock.recv(65536)
            except TimeoutError:
                return until()
            except OSError:
                piece = b""
            if not piece:
                self.closed = True
            self.buffer += piece
        return True

    def _take(self):
        if len(self.buffer) < 9:
            return False
        size = struct.unpack(">I", b"\0" + self.buffer[:3])[0]
        if len(self.buffer) < 9 + size:
            return False
        kind, flags = self.buffer[3], self.buffer[4]
        sid = struct.unpack(">I", self.buffer[5:9])[0] & 0x7fffffff
        payload, self.buffer = self.buffer[9:9 + size], self.buffer[9 + size:]
        self._frame(kind, flags, sid, payload)
        return True

    def finish(self, sid, timeout=10):
        """The stream when it is over, or when the connection is."""
        s = self.streams[sid]
        self.pump(lambda: s.over, timeout)
        return s

    def alive(self):
        """True where an ordinary request on this connection still gets its answer."""
        s = self.finish(self.get())
        return s.status == 200 and s.ended

    def close(self):
        self.closed = True
        self.sock.close()


class Request:
    """One request as the HTTP/2 application saw it."""

    def __init__(self, headers):
        self.headers, self.body, self.trailers, self.whole = headers, b"", [], False

    def names(self):
        return [n for n, _ in self.headers + self.trailers]

    def get(self, name):
        return [v for n, v in self.headers if n == name]


def http2_app(requests, response=((":status", "200"),), body=b"ok\n", trailers=None):
    """A serve function for App: answers each request when it is whole, and appends it to requests."""
    def serve(conn):
        config = h2.config.H2Configuration(client_side=False, header_encoding="latin-1")
        c = h2.connection.H2Connection(config)
        c.initiate_connection()
        open_requests = {}
        conn.send(c.data_to_send())
        while True:
            piece = conn.recv()
            if not piece:
                return
            for event in c.receive_data(piece):
                on_event(c, event, open_requests)
            conn.send(c.data_to_send())

    def on_event(c, event, open_requests):
        if isinstance(event, h2.events.RequestReceived):
            open_requests[event.stream_id] = r = Request(event.headers)
            requests.append(r)
        elif isinstance(event, h2.events.DataReceived):
            open_requests[event.stream_id].body += event.data
            c.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            open_requests[event.stream_id].trailers = event.headers
        elif isinstance(event, h2.events.StreamEnded):
            open_requests.pop(event.stream_id).whole = True
            try:
                c.send_headers(event.stream_id, list(response))
                c.send_data(event.stream_id, body, end_stream=not trailers)
                if trailers:
                    c.send_headers(event.stream_id, list(trailers), end_stream=True)
            except h2.exceptions.ProtocolError:
                pass  # reset by what came in the same piece
        elif isinstance(event, h2.events.StreamReset):
            open_requests.pop(event.stream_id, None)

    return serve
