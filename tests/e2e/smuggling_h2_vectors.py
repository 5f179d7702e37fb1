"""HTTP/2 messages that must not be, above all those that would mean something else once written down as
HTTP/1. A row is (name, fields, data, trailers, verdict): data None ends the stream with the head.

  REFUSE  the stream is refused (RST_STREAM, or 4xx and 5xx); nothing reaches the application
  CUT     the fault comes after the head; the request never becomes whole
  EMPTY   as CUT, but the head says that there is no body and may have become a request by itself,
           and been answered
  PASS    goes on"""

REFUSE, CUT, EMPTY, PASS = "refuse", "cut", "empty", "pass"
INJECT = " HTTP/1.1\r\nHost: web\r\n\r\nGET /smuggled"


def head(method="GET", scheme="http", authority="web", path="/", first=(), last=()):
    """A request's fields; None leaves a pseudo field out."""
    pseudo = [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)]
    return list(first) + [(n, v) for n, v in pseudo if v is not None] + list(last)


def get(*last, **kw):
    return head(last=last, **kw)


def pseudo_rows():
    bad = {
        "no-method": get(method=None), "no-scheme": get(scheme=None), "no-path": get(path=None),
        "no-authority": get(authority=None), "method-twice": head(first=[(":method", "GET")]),
        "path-twice": head(first=[(":path", "/")]), "authority-twice": head(first=[(":authority", "web")]),
        "scheme-twice": head(first=[(":scheme", "http")]), "unknown": get((":unknown", "x"), ),
        "status": head(first=[(":status", "200")]),
        "after-field": [("a", "b")] + get(), "upper-case": head(first=[(":METHOD", "GET")]),
        "empty-name": head(first=[(":", "x")]),
        "protocol-without-connect": head(first=[(":protocol", "websocket")]),
        "path-empty": get(path=""), "path-no-slash": get(path="a"), "path-star": get(path="*"),
        "path-space": get(path="/a b"),
        "path-inject": get(path="/" + INJECT), "path-lf": get(path="/\nX: y"), "path-cr": get(path="/\rX: y"),
        "path-nul": get(path="/\x00"), "path-tab": get(path="/\t"), "path-del": get(path="/\x7f"),
        "path-high": get(path=b"/\xe9"),
        "path-fragment": get(path="/#a"), "path-absolute": get(path="http://evil/"),
        "path-version": get(path="/ HTTP/1.1"),
        "method-empty": get(method=""), "method-space": get(method="GET /smuggled"),
        "method-lower": get(method="get"),
        "method-inject": get(method="GET /smuggled HTTP/1.1\r\nHost: web\r\n\r\nGET"),
        "method-nul": get(method="G\x00ET"),
        "method-colon": get(method="GET:"), "scheme-empty": get(scheme=""), "scheme-other": get(scheme="ftp"),
        "scheme-inject": get(scheme="http\r\n"), "authority-empty": get(authority=""),
        "authority-space": get(authority="web evil"),
        "authority-list": get(authority="web,evil"), "authority-userinfo": get(authority="user@web"),
        "authority-inject": get(authority="web\r\nTransfer-Encoding: chunked"),
        "authority-lf": get(authority="web\nX: y"),
        "authority-nul": get(authority="web\x00"), "authority-path": get(authority="web/x"),
        "authority-port": get(authority="web:x"),
        "host-differs": get(("host", "evil")), "host-twice": get(("host", "web"), ("host", "web")),
        "host-twice-differs": get(("host", "web"), ("host", "evil")),
        "host-inject": get(("host", "web\r\nX: y"), authority=None),
        "connect-path": get(method="CONNECT"), "connect-plain": [(":method", "CONNECT"), (":authority", "web:80")],
    }
    for name, fields in bad.items():
        yield f"pseudo-{name}", fields, None, None, REFUSE
    yield "pseudo-host-equal", get(("host", "web")), None, None, PASS
    yield "pseudo-host-alone", get(("host", "web"), authority=None), None, None, PASS


def field_rows():
    bad = {
        "connection": ("connection", "close"), "connection-te": ("connection", "te"),
        "keep-alive": ("keep-alive", "timeout=5"),
        "proxy-connection": ("proxy-connection", "keep-alive"), "transfer-encoding": ("transfer-encoding", "chunked"),
        "transfer-encoding-identity": ("transfer-encoding", "identity"), "upgrade": ("upgrade", "h2c"),
        "te": ("te", "gzip"),
        "te-list": ("te", "trailers, gzip"), "name-upper": ("X-Upper", "a"),
        "name-te-upper": ("Transfer-Encoding", "chunked"),
        "name-empty": ("", "a"), "name-space": ("a b", "c"), "name-trailing-space": ("transfer-encoding ", "chunked"),
        "name-colon": ("a:b", "c"), "name-inject": ("a: b\r\ntransfer-encoding", "chunked"), "name-lf": ("a\nb", "c"),
        "name-nul": ("a\x00", "b"), "name-tab": ("a\t", "b"), "name-high": (b"\xe4", "a"), "name-del": ("a\x7f", "b"),
        "value-inject": ("a", "b\r\nTransfer-Encoding: chunked"), "value-lf": ("a", "b\nc: d"),
        "value-cr": ("a", "b\rc: d"),
        "value-request": ("a", "b\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: web"), "value-nul": ("a", "b\x00c"),
        "value-bell": ("a", "\x07"),
        "value-del": ("a", "\x7f"), "value-space-before": ("a", " b"), "value-space-after": ("a", "b "),
        "value-tab-before": ("a", "\tb"),
        "cookie-inject": ("cookie", "a=b\r\nx: y"), "length-word": ("content-length", "five"),
        "length-plus": ("content-length", "+5"),
        "length-list": ("content-length", "0, 0"), "length-empty": ("content-length", ""),
        "length-negative": ("content-length", "-1"),
        "length-overflow": ("content-length", "18446744073709551616"), "length-at-end": ("content-length", "5"),
    }
    for name, field in bad.items():
        yield f"field-{name}", get(field), None, None, REFUSE
    yield "field-length-twice", get(("content-length", "0"), ("content-length", "0")), None, None, REFUSE
    yield "field-length-twice-differs", get(("content-length", "5"), ("content-length", "6")), b"hello", None, REFUSE
    yield "field-te-trailers", get(("te", "trailers")), None, None, PASS
    yield "field-cookies", get(("cookie", "a=b"), ("cookie", "c=d")), None, None, PASS


def body_rows():
    post = [(":method", "POST"), (":scheme", "http"), (":authority", "web"), (":path", "/")]
    yield "body-short", post + [("content-length", "43")], b"hello", None, CUT
    yield "body-long", post + [("content-length", "5")], b"helloGET /smuggled HTTP/1.1\r\nHost: web\r\n\r\n", None, \
        CUT
    yield "body-length-zero", post + [("content-length", "0")], b"GET /smuggled HTTP/1.1\r\nHost: web\r\n\r\n", None, \
        EMPTY
    yield "body-short-trailers", post + [("content-length", "43")], b"hello", [("a", "b")], CUT
    yield "body-like-chunks", post, b"0\r\n\r\nGET /x HTTP/1.1\r\nHost: web\r\n\r\n", None, PASS
    yield "body-exact", post + [("content-length", "5")], b"hello", None, PASS
    bad = {"pseudo": (":path", "/"), "status": (":status", "200"), "upper": ("A", "b"), "inject": ("a", "b\r\nc: d"),
           "name-inject": ("a\r\n\r\nGET /smuggled HTTP/1.1\r\nhost", "web"), "nul": ("a", "\x00"),
           "connection": ("connection", "x"),
           "transfer-encoding": ("transfer-encoding", "chunked"), "length": ("content-length", "43")}
    for name, field in bad.items():
        yield f"trailer-{name}", post, b"hello", [field], CUT
    yield "trailer-good", post, b"hello", [("a", "b")], PASS
    yield "trailer-forbidden", post, b"hello", [("content-type", "a/b"), ("authorization", "x"), ("a", "b")], PASS


def rows():
    for group in (pseudo_rows, field_rows, body_rows):
        yield from group()
