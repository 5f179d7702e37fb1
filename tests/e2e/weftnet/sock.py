"""Raw clients and scripted servers in pods, for what no real program does: sockets of this process (inside.py), and
servers on them in threads."""

import contextlib
import socket
import struct
import threading

from . import inside
from .proc import WAIT_S, wait_for


def connect(pod, ip, port, timeout=WAIT_S):
    """A connection from the pod; every call on it fails after timeout seconds."""
    return inside.connect(pod, ip, port, timeout=timeout)


def read_all(s):
    """What comes until the end of stream; (bytes, clean): clean is False after a reset."""
    got = bytearray()
    while True:
        try:
            part = s.recv(1 << 16)
        except ConnectionResetError:
            return bytes(got), False
        if not part:
            return bytes(got), True
        got += part


def read_until(s, mark):
    """Reads byte by byte up to the mark, or to the end of stream."""
    got = bytearray()
    while not got.endswith(mark):
        part = s.recv(1)
        if not part:
            break
        got += part
    return bytes(got)


def read_exactly(s, size):
    got = bytearray()
    while len(got) < size:
        part = s.recv(size - len(got))
        if not part:
            raise EOFError(f"{len(got)} of {size} bytes came: {bytes(got[:200])!r}")
        got += part
    return bytes(got)


def reset(s, f=None):
    """Closes with RST; f: the file made from the socket, which would keep it open."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    close(s, f)


def close(s, f=None):
    if f is not None:
        f.close()
    s.close()


class Server:
    """Listens in the pod on both families; each connection is given to script(socket) in a thread of its own and
    closed after it. seen: what scripts want to tell the test; failed: what they raised."""

    def __init__(self, pod, port, script, timeout=WAIT_S):
        self.script, self.timeout, self.port = script, timeout, port
        self.seen, self.failed, self.accepted, self.closing = [], [], 0, False
        self._threads, self._open = [], []
        self._listener = inside.listen(pod, port)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self):
        while True:
            try:
                s, _ = self._listener.accept()
            except OSError:
                return
            s.settimeout(self.timeout)
            t = threading.Thread(target=self._run, args=(s,), daemon=True)
            self._open.append(s)
            t.start()
            self._threads.append(t)
            self.accepted += 1

    def _run(self, s):
        try:
            self.script(s)
        except Exception as e:  # noqa: BLE001 the test judges it
            if not self.closing:
                self.failed.append(repr(e))
        finally:
            s.close()

    def settle(self, connections=1):
        """Until so many connections have come and every script has returned."""
        wait_for(f"{connections} scripts to return, {self.accepted} began",
                 lambda: self.accepted >= connections and not any(t.is_alive() for t in self._threads))

    def close(self):
        """Ends every connection and waits until the peers have ended theirs, so that none is used again."""
        self.closing = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        for s in self._open:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_WR)
        self.settle(0)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
