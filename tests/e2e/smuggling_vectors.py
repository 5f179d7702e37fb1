"""Raw HTTP/1 requests that two readers might understand differently, and what must become of each.

A row is (name, bytes, verdict):
  REFUSE   answered with 4xx or 5xx and closed; not a byte of it reaches the application
  CUT      the fault is in the body: the head may have gone on, but the request never becomes whole
  [lines]  passed on as exactly these requests, with framing of our own
Where SMUGGLED is part of the bytes it lies where a laxer reader would see a request of its own."""

REFUSE, CUT = "refuse", "cut"
# No server takes these for the first line of a request that it goes on after: on a port of which nothing was
# declared they are raw bytes.
NO_REQUEST = {"line-no-version", "line-method-nul", "line-method-colon", "line-unicode-space"}
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: web\r\n\r\n"
GET, POST = b"GET / HTTP/1.1\r\nHost: web\r\n", b"POST / HTTP/1.1\r\nHost: web\r\n"
ONE_GET, ONE_POST = ["GET / HTTP/1.1"], ["POST / HTTP/1.1"]
# Bytes that some readers take for white space, or drop (defparam/smuggler's set, less those that end a line).
CONTROLS = [0x00, 0x01, 0x04, 0x08, 0x0b, 0x0c, 0x1f, 0x7f]
HIGH = [0x80, 0xa0, 0xff]


def post(fields, body=b"0\r\n\r\n" + SMUGGLED):
    return POST + fields + b"\r\n" + body


def chunked(body):
    return post(b"Transfer-Encoding: chunked\r\n", body)


def hexes(bytes_):
    return [(f"{b:02x}", bytes([b])) for b in bytes_]


def length_rows():
    odd = {
        "plus": b"+5", "minus": b"-5", "hex": b"0x5", "underscore": b"0_5", "empty": b"", "blank": b" ",
        "two-words": b"5 5",
        "point": b"5.0", "exponent": b"5e0", "list-equal": b"5, 5", "list-differs": b"5, 6", "comma-after": b"5,",
        "comma-before": b",5", "semicolon": b"5;", "quoted": b'"5"', "suffix": b"5\xc2\xb2", "words": b"five",
        "nan": b"NaN",
        "arabic": b"\xd9\xa5", "overflow": b"18446744073709551616", "wraps": b"18446744073709551621",
        "far-beyond": b"9" * 40, "minus-zero": b"-0", "trailing-nul": b"5\x00",
    }
    for name, value in odd.items():
        yield f"cl-{name}", post(b"Content-Length: " + value + b"\r\n", b"hello" + SMUGGLED), REFUSE
    for name, b in hexes(CONTROLS + HIGH):
        yield f"cl-ctl-{name}", post(b"Content-Length: " + b + b"5\r\n", b"hello" + SMUGGLED), REFUSE
    cl5 = b"Content-Length: 5\r\n"
    yield "cl-twice-equal", post(cl5 + cl5, b"hello" + SMUGGLED), REFUSE
    yield "cl-twice-differs", post(cl5 + b"Content-Length: 0\r\n", SMUGGLED), REFUSE
    yield "cl-twice-spelt", post(cl5 + b"CONTENT-LENGTH: 43\r\n", b"hello" + SMUGGLED), REFUSE
    yield "cl-space-before-colon", post(b"Content-Length : 5\r\n", b"hello" + SMUGGLED), REFUSE
    yield "cl-tab-before-colon", post(b"Content-Length\t: 5\r\n", b"hello" + SMUGGLED), REFUSE
    yield "cl-folded", post(b"Content-Length:\r\n 5\r\n", b"hello" + SMUGGLED), REFUSE
    yield "cl-behind-fold", post(b"X: y\r\n Content-Length: 5\r\n", b"hello" + SMUGGLED), REFUSE
    yield "cl-zeros", post(b"Content-Length: 0005\r\n", b"hello"), ONE_POST
    yield "cl-get-with-body", GET + cl5 + b"\r\nhello" + SMUGGLED, ["GET / HTTP/1.1", "GET /smuggled HTTP/1.1"]
    yield "cl-named-in-connection", post(b"Connection: content-length\r\n" + cl5, b"hello"), ONE_POST


def coding_rows():
    te, cl = b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n"
    yield "cl-te", post(cl + te), REFUSE
    yield "te-cl", post(te + cl), REFUSE
    yield "cl-te-zero", post(b"Content-Length: 0\r\n" + te), REFUSE
    yield "cl-te-spelt", post(b"content-length: 5\r\nTRANSFER-ENCODING: CHUNKED\r\n"), REFUSE
    yield "cl-te-identity", post(b"Content-Length: 43\r\nTransfer-Encoding: identity\r\n", SMUGGLED), REFUSE
    yield "cl-te-get", GET + cl + te + b"\r\n0\r\n\r\n" + SMUGGLED, REFUSE
    odd = {
        "comma-before": b",chunked", "comma-after": b"chunked,", "identity-after": b"chunked, identity",
        "identity-before": b"identity, chunked", "prefix": b"xchunked", "suffix": b"chunkedx",
        "twice": b"chunked, chunked",
        "two-words": b"chunked chunked", "parameter": b"chunked;q=1", "quoted": b'"chunked"', "ticks": b"'chunked'",
        "gzip-chunked": b"gzip, chunked", "gzip": b"gzip", "identity": b"identity", "empty": b"", "dash": b"chunked-",
        "nul-inside": b"chu\x00nked", "cut": b"chunke", "folded": b"\r\n chunked", "folded-tab": b"\r\n\tchunked",
        "behind-fold": b"x\r\n chunked", "brackets": b"[chunked]", "semicolon": b";chunked",
        "utf8": b"chun\xc4\xb7ed",
    }
    for name, value in odd.items():
        yield f"te-{name}", post(b"Transfer-Encoding: " + value + b"\r\n"), REFUSE
    for name, b in hexes(CONTROLS + HIGH):
        yield f"te-ctl-before-{name}", post(b"Transfer-Encoding: " + b + b"chunked\r\n"), REFUSE
        yield f"te-ctl-after-{name}", post(b"Transfer-Encoding: chunked" + b + b"\r\n"), REFUSE
        yield f"te-name-after-{name}", post(b"Transfer-Encoding" + b + b": chunked\r\n"), REFUSE
        yield f"te-name-before-{name}", post(b + b"Transfer-Encoding: chunked\r\n"), REFUSE
    yield "te-two-lines", post(te + te), REFUSE
    yield "te-two-lines-identity", post(b"Transfer-Encoding: identity\r\n" + te), REFUSE
    yield "te-two-lines-after", post(te + b"Transfer-Encoding: identity\r\n"), REFUSE
    yield "te-in-1.0", b"POST / HTTP/1.0\r\nHost: web\r\n" + te + b"\r\n0\r\n\r\n" + SMUGGLED, REFUSE
    yield "te-in-1.0-kept", (b"POST / HTTP/1.0\r\nHost: web\r\nConnection: keep-alive\r\n" + te + b"\r\n0\r\n\r\n" +
                             SMUGGLED), REFUSE
    yield "te-space-before-colon", post(b"Transfer-Encoding : chunked\r\n"), REFUSE
    yield "te-tab-before-colon", post(b"Transfer-Encoding\t: chunked\r\n"), REFUSE
    yield "te-space-in-name", post(b"Transfer Encoding: chunked\r\n"), REFUSE
    yield "te-first-line-indented", b"POST / HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: web\r\n\r\n0\r\n\r\n", \
        REFUSE
    yield "te-behind-bare-lf", post(b"X: y\nTransfer-Encoding: chunked\r\n"), REFUSE
    yield "te-behind-bare-cr", post(b"X: y\rTransfer-Encoding: chunked\r\n"), REFUSE
    yield "te-case", post(b"tRANSFER-eNCODING: cHuNkEd\r\n", b"5\r\nhello\r\n0\r\n\r\n"), ONE_POST
    yield "te-blanks", post(b"Transfer-Encoding:   chunked  \r\n", b"5\r\nhello\r\n0\r\n\r\n"), ONE_POST
    yield "te-named-in-connection", post(b"Connection: transfer-encoding\r\n" + te, b"5\r\nhello\r\n0\r\n\r\n"), \
        ONE_POST


def chunk_rows():
    end = b"0\r\n\r\n" + SMUGGLED
    bad = {
        "size-bare-lf": b"5\nhello\r\n" + end, "size-bare-cr": b"5\rXhello\r\n" + end,
        "data-bare-lf": b"5\r\nhello\n" + end,
        "data-cr-x": b"5\r\nhello\rX" + end, "data-no-crlf": b"5\r\nhello" + end, "spill": b"5\r\nhelloXX\r\n" + end,
        "size-0x": b"0x5\r\nhello\r\n" + end, "size-plus": b"+5\r\nhello\r\n" + end,
        "size-minus": b"-5\r\nhello\r\n" + end,
        "size-space-before": b" 5\r\nhello\r\n" + end, "size-empty": b"\r\nhello\r\n" + end,
        "size-word": b"five\r\n" + end,
        "size-underscore": b"0_5\r\nhello\r\n" + end, "size-comma": b"5,\r\nhello\r\n" + end,
        "size-point": b"5.\r\n" + end,
        "size-overflow": b"10000000000000005\r\nhello\r\n" + end,
        "size-far-beyond": b"f" * 40 + b"\r\nhello\r\n" + end,
        "size-nul": b"5\x00\r\nhello\r\n" + end, "size-vtab": b"5\x0b\r\nhello\r\n" + end,
        "ext-bare-cr": b"5;a\rb\r\nhello\r\n" + end, "ext-bare-lf": b"5;a\nhello\r\n" + end,
        "ext-nul": b"5;a\x00\r\nhello\r\n" + end,
        "ext-huge": b"5;" + b"a" * 70000 + b"\r\nhello\r\n" + end,
        "last-bare-lf": b"5\r\nhello\r\n0\n\r\n" + SMUGGLED,
        "last-second-bare-lf": b"5\r\nhello\r\n0\r\n\n" + SMUGGLED,
        "last-cr-x": b"5\r\nhello\r\n0\r\n\rX" + SMUGGLED, "last-missing-crlf": b"5\r\nhello\r\n0\r\n" + SMUGGLED,
        "last-minus-zero": b"5\r\nhello\r\n-0\r\n\r\n" + SMUGGLED,
        "trailer-te": b"0\r\nTransfer-Encoding: chunked\r\n\r\n" + SMUGGLED,
        "trailer-cl": b"0\r\nContent-Length: 43\r\n\r\n" + SMUGGLED,
        "trailer-no-colon": b"0\r\nX\r\n\r\n" + SMUGGLED,
        "trailer-space-before-colon": b"0\r\nX : y\r\n\r\n" + SMUGGLED,
        "trailer-fold": b"0\r\nX: y\r\n z\r\n\r\n" + SMUGGLED, "trailer-bare-lf": b"0\r\nX: y\n\r\n" + SMUGGLED,
        "trailer-bare-cr": b"0\r\nX: y\rz\r\n\r\n" + SMUGGLED, "trailer-nul": b"0\r\nX: \x00\r\n\r\n" + SMUGGLED,
        "trailer-name": b"0\r\nX(y): z\r\n\r\n" + SMUGGLED,
        "trailers-huge": b"0\r\n" + b"X: " + b"y" * 70000 + b"\r\n\r\n",
    }
    for name, body in bad.items():
        yield f"chunk-{name}", chunked(body), CUT
    yield "chunk-ext", chunked(b'5;a=b;c="d"\r\nhello\r\n0;e\r\n\r\n'), ONE_POST
    yield "chunk-zeros", chunked(b"0005\r\nhello\r\n000\r\n\r\n"), ONE_POST
    yield "chunk-hex-case", chunked(b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"), ONE_POST
    yield "chunk-trailers", chunked(b"0\r\nHost: evil\r\nAuthorization: x\r\nContent-Type: a/b\r\nX: y\r\n\r\n"), \
        ONE_POST
    yield "chunk-then-next", chunked(b"5\r\nhello\r\n0\r\n\r\n" + SMUGGLED), \
        ["POST / HTTP/1.1", "GET /smuggled HTTP/1.1"]


def field_rows():
    bad = {
        "fold": b"A: b\r\n c\r\n", "fold-tab": b"A: b\r\n\tc\r\n", "fold-blank-line": b"A: b\r\n \r\n",
        "space-before-colon": b"A : b\r\n",
        "tab-before-colon": b"A\t: b\r\n", "no-colon": b"garbage\r\n", "empty-name": b": b\r\n",
        "name-space": b"A B: c\r\n",
        "bare-lf": b"A: b\nC: d\r\n", "bare-cr": b"A: b\rC: d\r\n", "cr-cr-lf": b"A: b\r\r\n",
        "lf-cr": b"A: b\n\rC: d\r\n",
        "value-nul": b"A: \x00\r\n", "value-nul-inside": b"A: b\x00c\r\n", "name-nul": b"A\x00: b\r\n",
        "value-del": b"A: \x7f\r\n",
        "value-bell": b"A: \x07\r\n", "value-vtab": b"A: b\x0bc\r\n", "value-escape": b"A: \x1b[0m\r\n",
        "name-parens": b"(A): b\r\n", "name-at": b"A@: b\r\n", "name-brackets": b"A[0]: b\r\n",
        "name-quote": b'"A": b\r\n',
        "name-slash": b"A/B: c\r\n", "name-utf8": b"\xc3\x84: b\r\n", "name-equals": b"A=: b\r\n",
        "name-brace": b"{A}: b\r\n",
        "name-del": b"A\x7f: b\r\n", "name-comma": b"A,B: c\r\n", "name-backslash": b"A\\B: c\r\n",
        "host-twice": b"Host: web\r\n", "host-twice-differs": b"Host: evil\r\n", "host-twice-spelt": b"HOST: web\r\n",
        "connection-malformed": b"Connection: a b\r\n", "expect-unknown": b"Expect: 200-ok\r\n",
    }
    for name, fields in bad.items():
        yield f"field-{name}", GET + fields + b"\r\n" + SMUGGLED, REFUSE
    yield "field-all-bare-lf", (GET + b"A: b\r\n\r\n").replace(b"\r\n", b"\n") + SMUGGLED, REFUSE
    yield "field-end-bare-lf", GET + b"A: b\r\n\n" + SMUGGLED, REFUSE
    yield "field-end-cr-x", GET + b"A: b\r\n\rX" + SMUGGLED, REFUSE
    yield "field-first-indented", b"GET / HTTP/1.1\r\n A: b\r\nHost: web\r\n\r\n", REFUSE
    yield "field-underscore", GET + b"Content_Length: 5\r\n\r\n", ONE_GET
    yield "field-h2c-upgrade", \
        (GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"
                                b"\r\n"), ONE_GET


def host_rows():
    hosts = {
        "none": None, "empty": b"", "list": b"web, evil", "comma": b"web,evil", "space": b"web evil",
        "slash": b"web/evil", "userinfo": b"user@web", "port-word": b"web:http", "port-big": b"web:99999",
        "port-empty-twice": b"web::", "port-twice": b"web:80:80", "nul": b"web\x00", "brackets": b"[web]",
        "open-bracket": b"[::1", "hash": b"web#x", "query": b"web?x", "backslash": b"web\\evil", "percent": b"web%zz",
        "quote": b'"web"', "tab": b"web\tevil",
    }
    for name, host in hosts.items():
        fields = b"" if host is None else b"Host: " + host + b"\r\n"
        yield f"host-{name}", b"GET / HTTP/1.1\r\n" + fields + b"\r\n" + SMUGGLED, REFUSE
    yield "host-named-in-connection", GET + b"Connection: host\r\n\r\n", ONE_GET
    yield "absolute-differs", b"GET http://evil/ HTTP/1.1\r\nHost: web\r\n\r\n" + SMUGGLED, REFUSE
    yield "absolute-port-differs", b"GET http://web:81/ HTTP/1.1\r\nHost: web\r\n\r\n" + SMUGGLED, REFUSE
    yield "absolute-userinfo", b"GET http://user@web/ HTTP/1.1\r\nHost: web\r\n\r\n" + SMUGGLED, REFUSE
    yield "absolute-empty", b"GET http:///x HTTP/1.1\r\nHost: web\r\n\r\n" + SMUGGLED, REFUSE
    yield "absolute-no-host", b"GET http://web/ HTTP/1.1\r\n\r\n" + SMUGGLED, REFUSE
    yield "absolute-ftp", b"GET ftp://web/ HTTP/1.1\r\nHost: web\r\n\r\n" + SMUGGLED, REFUSE
    yield "absolute-same", b"GET http://web/ HTTP/1.1\r\nHost: web\r\n\r\n", ONE_GET


def line_rows():
    for name, line in {
            "two-spaces": b"GET  / HTTP/1.1", "two-spaces-after": b"GET /  HTTP/1.1", "tab": b"GET\t/\tHTTP/1.1",
            "trailing-space": b"GET / HTTP/1.1 ", "lower-method": b"get / HTTP/1.1",
            "lower-version": b"GET / http/1.1",
            "no-version": b"GET /", "version-0.9": b"GET / HTTP/0.9", "version-1.2": b"GET / HTTP/1.2",
            "version-2.0": b"GET / HTTP/2.0", "version-1.10": b"GET / HTTP/1.10", "version-x": b"GET / HTTP/1.1x",
            "version-comma": b"GET / HTTP/1,1", "space-in-target": b"GET /a b HTTP/1.1",
            "fragment": b"GET /#a HTTP/1.1",
            "target-nul": b"GET /\x00 HTTP/1.1", "target-high": b"GET /\xe9 HTTP/1.1",
            "target-del": b"GET /\x7f HTTP/1.1",
            "target-cr": b"GET /\rX HTTP/1.1", "no-slash": b"GET a HTTP/1.1", "star": b"GET * HTTP/1.1",
            "method-nul": b"GE\x00T / HTTP/1.1", "method-colon": b"GET: / HTTP/1.1", "empty-target": b"GET HTTP/1.1",
            "connect": b"CONNECT web:80 HTTP/1.1", "connect-path": b"CONNECT / HTTP/1.1", "pri": b"PRI * HTTP/1.1",
            "embedded": b"GET / HTTP/1.1\rX: y", "unicode-space": b"GET\xc2\xa0/ HTTP/1.1"}.items():
        yield f"line-{name}", line + b"\r\nHost: web\r\n\r\n" + SMUGGLED, REFUSE
    yield "line-bare-lf", b"GET / HTTP/1.1\nHost: web\r\n\r\n" + SMUGGLED, REFUSE
    yield "line-leading-space", b" GET / HTTP/1.1\r\nHost: web\r\n\r\n" + SMUGGLED, REFUSE
    yield "line-leading-lf", b"\nGET / HTTP/1.1\r\nHost: web\r\n\r\n" + SMUGGLED, REFUSE
    yield "line-many-blanks", b"\r\n" * 8 + b"GET / HTTP/1.1\r\nHost: web\r\n\r\n" + SMUGGLED, REFUSE
    yield "line-one-blank", b"\r\n" + GET + b"\r\n", ONE_GET
    yield "line-options-star", b"OPTIONS * HTTP/1.1\r\nHost: web\r\n\r\n", ["OPTIONS * HTTP/1.1"]


def rows():
    for group in (length_rows, coding_rows, chunk_rows, field_rows, host_rows, line_rows):
        yield from group()
