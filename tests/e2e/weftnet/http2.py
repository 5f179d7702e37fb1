"""HTTP/2 with prior knowledge on a raw socket by python3-h2, for what no real program does: exact header sizes,
trailers, and seeing how each stream ended."""

import h2.config
import h2.connection
import h2.events
import h2.settings


class Exchange:
    """What came on one stream. reset: the error code of RST_STREAM, None without one; ended: END_STREAM came."""

    def __init__(self):
        self.headers, self.interim, self.body, self.trailers = None, [], b"", None
        self.ended, self.reset = False, None

    @property
    def status(self):
        return int(dict(self.headers)[":status"])

    def get(self, name):
        return dict(self.headers).get(name)

    def over(self):
        return self.ended or self.reset is not None


class Client:
    """One connection; run(ids) reads until those streams are over."""

    def __init__(self, sock, authority="web"):
        self.sock, self.authority, self.streams, self.gone = sock, authority, {}, None
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def request(self, method="GET", path="/", headers=(), end=True):
        number = self.h2.get_next_available_stream_id()
        self.streams[number] = Exchange()
        self.h2.send_headers(number, [(":method", method), (":scheme", "http"), (":authority", self.authority),
                                      (":path", path), *headers], end_stream=end)
        self.flush()
        return number

    def send(self, number, data, end=False):
        """As much as the peer's window takes at a time."""
        while data:
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
            if room == 0:
                self.step()
                continue
            self.h2.send_data(number, data[:room])
            data = data[room:]
            self.flush()
        if end:
            self.h2.end_stream(number)
            self.flush()

    def trailers(self, number, fields):
        self.h2.send_headers(number, fields, end_stream=True)
        self.flush()

    def run(self, *numbers):
        """The exchanges, over; or as far as they came where the connection ended."""
        while self.gone is None and not all(self.streams[n].over() for n in numbers):
            self.step()
        found = [self.streams[n] for n in numbers]
        return found[0] if len(found) == 1 else found

    def step(self):
        data = self.sock.recv(1 << 16)
        if not data:
            self.gone = self.gone or "end of stream"
            return
        for event in self.h2.receive_data(data):
            self.take(event)
        self.flush()

    def take(self, event):
        if isinstance(event, h2.events.ConnectionTerminated):
            self.gone = f"GOAWAY {event.error_code}"
            return
        x = self.streams.get(getattr(event, "stream_id", None))
        if x is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            x.headers = event.headers
        elif isinstance(event, h2.events.InformationalResponseReceived):
            x.interim.append(event.headers)
        elif isinstance(event, h2.events.TrailersReceived):
            x.trailers = event.headers
        elif isinstance(event, h2.events.DataReceived):
            x.body += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            x.ended = True
        elif isinstance(event, h2.events.StreamReset):
            x.reset = event.error_code


class Request:
    """A request as a server got it."""

    def __init__(self, headers):
        self.headers, self.body, self.trailers, self.ended = headers, b"", None, False

    def get(self, name):
        return dict(self.headers).get(name)


class Server:
    """The server's end of a connection, for scripts."""

    def __init__(self, sock):
        self.sock, self.requests = sock, {}
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def wait_request(self, whole=False):
        """The stream of the next request whose head, or all of it, has come; None at the end of the connection."""
        while True:
            for number, r in self.requests.items():
                if r.ended or not whole:
                    return number
            data = self.sock.recv(1 << 16)
            if not data:
                return None
            for event in self.h2.receive_data(data):
                self.take(event)
            self.flush()

    def take(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.requests[event.stream_id] = Request(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self.requests[event.stream_id].body += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            self.requests[event.stream_id].trailers = event.headers
        elif isinstance(event, h2.events.StreamEnded):
            self.requests[event.stream_id].ended = True

    def interim(self, number, status, fields=()):
        self.h2.send_headers(number, [(":status", str(status)), *fields])
        self.flush()

    def answer(self, number, status, body=b"", end=False, trailers=None):
        self.h2.send_headers(number, [(":status", str(status))], end_stream=end and not body)
        if body:
            self.h2.send_data(number, body, end_stream=end)
        if trailers:
            self.h2.send_headers(number, trailers, end_stream=True)
        self.flush()

    def until_end(self):
        """Reads until the peer ends the connection: to close before it has read would take the answer from it."""
        while self.sock.recv(1 << 16):
            pass

    def reset(self, number, code):
        self.h2.reset_stream(number, code)
        self.flush()

    def goaway(self, code):
        self.h2.close_connection(code)
        self.flush()
