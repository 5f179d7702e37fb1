"""HTTP/1 messages on raw sockets, read strictly: what a lenient client would forgive is an error here."""


class Bad(Exception):
    """The message is not what HTTP/1 permits."""


class Message:
    """A request or response; headers and trailers as lists of (lower-case name, value)."""

    def __init__(self, start, headers):
        self.start, self.headers, self.body, self.trailers = start, headers, b"", []
        self.interim = []

    @property
    def status(self):
        return int(self.start.split(" ", 2)[1])

    def all(self, name):
        return [v for n, v in self.headers if n == name]

    def get(self, name):
        values = self.all(name)
        if len(values) > 1:
            raise Bad(f"{name} came {len(values)} times")
        return values[0] if values else None


def _line(f):
    line = f.readline(1 << 20)
    if not line.endswith(b"\r\n"):
        raise EOFError(f"line cut short: {line[:200]!r}")
    return line[:-2].decode("latin-1")


def _fields(f):
    fields = []
    while line := _line(f):
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise Bad(f"malformed field {line!r}")
        fields.append((name.lower(), value.strip()))
    return fields


def _exactly(f, size):
    data = f.read(size)
    if len(data) != size:
        raise EOFError(f"{len(data)} of {size} body bytes came")
    return data


def read_head(f):
    """f: a buffered binary file on the socket (makefile("rb"))."""
    return Message(_line(f), _fields(f))


def read_chunked(f, m):
    while True:
        size = int(_line(f).partition(";")[0], 16)
        if size == 0:
            m.trailers = _fields(f)
            return
        m.body += _exactly(f, size)
        if f.read(2) != b"\r\n":
            raise Bad("chunk without its end")


def read_body(f, m, until_end=False):
    length, coding = m.get("content-length"), m.get("transfer-encoding")
    if length is not None and coding is not None:
        raise Bad("content-length beside transfer-encoding")
    if coding is not None:
        if coding != "chunked":
            raise Bad(f"transfer-encoding {coding}")
        read_chunked(f, m)
    elif length is not None:
        m.body = _exactly(f, int(length))
    elif until_end:
        m.body = f.read()
    return m


def read_request(f):
    return read_body(f, read_head(f))


def read_response(f, method="GET"):
    """The final response; interim ones are in its list."""
    interim = []
    m = read_head(f)
    while 100 <= m.status < 200 and m.status != 101:
        interim.append(m)
        m = read_head(f)
    m.interim = interim
    if method == "HEAD" or m.status in (101, 204, 304):
        return m
    return read_body(f, m, until_end=True)


def request(method="GET", target="/", headers=(), body=b"", version="1.1", host="web", tag=None):
    """The bytes of a request; content-length is added where there is a body."""
    lines = [f"{method} {target} HTTP/{version}"]
    lines += [f"Host: {host}"] if host else []
    lines += [f"x-tag: {tag}"] if tag else []
    lines += [f"{n}: {v}" for n, v in headers]
    if body and not any(n.lower() in ("content-length", "transfer-encoding") for n, _ in headers):
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def response(status="200 OK", headers=(), body=b"", version="1.1", length=True):
    lines = [f"HTTP/{version} {status}"] + [f"{n}: {v}" for n, v in headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def chunks(parts, trailers=()):
    out = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts)
    return out + b"0\r\n" + b"".join(f"{n}: {v}\r\n".encode("latin-1") for n, v in trailers) + b"\r\n"
