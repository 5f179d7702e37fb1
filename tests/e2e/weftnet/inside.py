"""Sockets of this process inside a pod: made by a thread that enters the pod's network namespace and takes
on a user for that moment, because the redirect rules look at who opened a socket."""

import ctypes
import os
import socket
import threading

from .mesh import APP_UID
from .proc import wait_for

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def inside(pod, fn, uid=APP_UID):
    """fn() in a thread of its own inside the pod's namespace, its sockets owned by uid; its value, or
    its exception."""
    result = {}

    def body():
        fd = os.open(f"/run/netns/{pod.netns}", os.O_RDONLY)
        try:
            if LIBC.setns(fd, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            LIBC.setfsuid(uid)
            result["value"] = fn()
        except BaseException as e:  # noqa: B902 - carried over to the caller
            result["error"] = e
        finally:
            os.close(fd)

    t = threading.Thread(target=body)
    t.start()
    t.join()
    if "error" in result:
        raise result["error"]
    return result["value"]


def connect(pod, ip, port, uid=APP_UID, timeout=10):
    """A TCP connection from the pod; as PROXY_UID it passes capture by, as a hostile process would."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET

    def dial():
        s = socket.socket(family, socket.SOCK_STREAM)
        s.settimeout(timeout)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            s.connect((ip, port))
        except BaseException:
            s.close()
            raise
        return s

    return inside(pod, dial, uid)


def listen(pod, port, host="::"):
    """A listening socket in the pod; of both families on '::'."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET

    def bind():
        s = socket.socket(family, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if host == "::":
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.bind((host, port))
        s.listen(512)
        return s

    return inside(pod, bind)


def read_all(sock, limit=1 << 20):
    """(bytes, how) until the peer ends the connection: how is "eof", "reset" or "timeout"."""
    out = bytearray()
    try:
        while len(out) < limit:
            piece = sock.recv(65536)
            if not piece:
                return bytes(out), "eof"
            out += piece
    except TimeoutError:
        return bytes(out), "timeout"
    except OSError:
        return bytes(out), "reset"
    return bytes(out), "limit"


def read_until(sock, needle, limit=1 << 20):
    """Bytes up to and with needle, or what came before the end of the connection."""
    out = bytearray()
    while needle not in out and len(out) < limit:
        try:
            piece = sock.recv(65536)
        except OSError:
            break
        if not piece:
            break
        out += piece
    return bytes(out)


def read_response(sock):
    """(status, head, body) of one HTTP/1 response with content-length; (0, what came, b"") of none."""
    data = read_until(sock, b"\r\n\r\n")
    head, sep, body = data.partition(b"\r\n\r\n")
    if not sep or not head.startswith(b"HTTP/1."):
        return 0, data, b""
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        piece = sock.recv(65536)
        if not piece:
            break
        body += piece
    return int(head.split(b" ", 2)[1]), head, body


class Reader:
    """Answers on a socket, however they are framed."""

    def __init__(self, sock):
        self.sock, self.data = sock, b""
        self.closing = False  # the last answer said that the connection ends

    def more(self):
        try:
            piece = self.sock.recv(65536)
        except OSError:
            piece = b""
        self.data += piece
        return bool(piece)

    def upto(self, done):
        """Reads until done() says how many bytes are wanted; None where the connection ends before."""
        while done() is None:
            if not self.more():
                return None
        n = done()
        out, self.data = self.data[:n], self.data[n:]
        return out

    def after(self, mark):
        return self.data.index(mark) + len(mark) if mark in self.data else None

    def answer(self):
        """(status, body, whole) of the next final answer; status 0 where there is no head."""
        status = 0
        while status < 200:
            head = self.upto(lambda: self.after(b"\r\n\r\n"))
            if head is None:
                return 0, self.data, False
            status = int(head.split(b" ")[1])
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
        self.closing = fields.get(b"connection") == b"close"
        if status in (204, 304):
            return status, b"", True
        if b"content-length" in fields:
            size = int(fields[b"content-length"])
            body = self.upto(lambda: size if len(self.data) >= size else None)
        else:
            body = self.upto(lambda: self.after(b"\r\n0\r\n\r\n"))
        return status, self.data if body is None else body, body is not None


def attempt(pod, ip, port, payload=b"", uid=APP_UID, timeout=10):
    """(bytes, how) of one connection: "refused" where it was not even made, else as read_all says."""
    try:
        s = connect(pod, ip, port, uid, timeout)
    except ConnectionRefusedError:
        return b"", "refused"
    except ConnectionResetError:
        return b"", "reset"
    with s:
        try:
            s.sendall(payload)
        except OSError:  # this took the error, so that reading would report an orderly end
            return read_all(s)[0], "reset"
        return read_all(s)


class App:
    """An application of threads in this process that records every byte it gets, by connection. serve is
    called with each Conn and may answer; when it returns the connection is closed."""

    def __init__(self, pod, port, serve, host="::"):
        self.pod, self.port, self.serve = pod, port, serve
        self.conns, self.lock, self.closed = [], threading.Lock(), False
        self.sock = listen(pod, port, host)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                sock, peer = self.sock.accept()
            except OSError:
                return
            sock.settimeout(30)
            conn = Conn(sock, peer)
            with self.lock:
                self.conns.append(conn)
            threading.Thread(target=self._run, args=(conn,), daemon=True).start()

    def _run(self, conn):
        try:
            self.serve(conn)
        except OSError:
            pass
        finally:
            conn.ended = True
            conn.sock.close()

    def bytes(self):
        with self.lock:
            return b"".join(bytes(c.data) for c in self.conns)

    def streams(self):
        """The bytes of each connection."""
        with self.lock:
            return [bytes(c.data) for c in self.conns]

    def wait_bytes(self, needle):
        wait_for(f"{needle!r} at the application", lambda: needle in self.bytes())

    def forget(self):
        """Drops what was recorded; connections go on and are recorded on."""
        with self.lock:
            for c in self.conns:
                c.data.clear()
            self.conns = [c for c in self.conns if not c.ended]

    def close(self):
        self.closed = True
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        self.thread.join(10)
        with self.lock:
            for c in self.conns:
                try:
                    c.sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Conn:
    """A connection at an application; reads through recv are recorded in data."""

    def __init__(self, sock, peer):
        self.sock, self.peer, self.data, self.ended = sock, peer, bytearray(), False
        self.buffer = b""

    def recv(self):
        piece = self.sock.recv(65536)
        self.data += piece
        return piece

    def send(self, data):
        self.sock.sendall(data)

    def until(self, needle):
        """Bytes up to and with needle; None at the end of the connection."""
        while needle not in self.buffer:
            piece = self.recv()
            if not piece:
                return None
            self.buffer += piece
        at = self.buffer.index(needle) + len(needle)
        out, self.buffer = self.buffer[:at], self.buffer[at:]
        return out

    def exactly(self, n):
        while len(self.buffer) < n:
            piece = self.recv()
            if not piece:
                return None
            self.buffer += piece
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    def request(self):
        """(request line, {name: [values]}, body, trailers text) of the next HTTP/1 request; None at the end."""
        head = self.until(b"\r\n\r\n")
        if head is None:
            return None
        lines = head[:-4].split(b"\r\n")
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            fields.setdefault(name.lower().decode("latin-1"), []).append(value.strip().decode("latin-1"))
        body, trailers = self._body(fields)
        return lines[0].decode("latin-1"), fields, body, trailers

    def _body(self, fields):
        if "content-length" in fields:
            return self.exactly(int(fields["content-length"][0])), b""
        if "transfer-encoding" not in fields:
            return b"", b""
        body = b""
        while True:
            line = self.until(b"\r\n")
            if line is None:
                return body, b""
            size = int(line.split(b";")[0], 16)
            if size == 0:
                break
            body += self.exactly(size)
            self.exactly(2)
        trailers = b""
        while not trailers.endswith(b"\r\n\r\n") and trailers != b"\r\n":
            line = self.until(b"\r\n")
            if line is None:
                break
            trailers += line
        return body, trailers


def http1(respond=None):
    """A serve function: HTTP/1.1 with kept connections; respond(request) gives raw bytes of a response."""
    def serve(conn):
        while True:
            request = conn.request()
            if request is None:
                return
            conn.send(respond(request) if respond else b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
    return serve


def echo(banner=b""):
    """A serve function: raw bytes come back as they are; the server speaks first where it has a banner."""
    def serve(conn):
        if banner:
            conn.send(banner)
        while True:
            piece = conn.recv()
            if not piece:
                return
            conn.send(piece)
    return serve
