"""The two ends of test_capture.py: a listener that says where a connection was going, and a client.

Run inside network namespaces by that test, as whatever user it wants:
  capture_peer.py witness PORT...     listens on all addresses of both families; tells each caller the
                                      port it came to and its original destination
  capture_peer.py call ADDRESS PORT   prints what a witness says, or the name of the error
  capture_peer.py hold ADDRESS PORT   connects, says so, and prints how the connection ends
  capture_peer.py sink PORT           accepts, and prints how each connection ends
  capture_peer.py ask ADDRESS PORT    sends a datagram and prints the answer, or the name of the error
  capture_peer.py answer PORT         answers every datagram
"""

import errno
import select
import socket
import struct
import sys
import threading

SO_ORIGINAL_DST = 80


def say(*words):
    print(*words, flush=True)


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def original(conn):
    if conn.family == socket.AF_INET:
        raw = conn.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
        return socket.inet_ntop(socket.AF_INET, raw[4:8]), struct.unpack("!H", raw[2:4])[0]
    raw = conn.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
    return socket.inet_ntop(socket.AF_INET6, raw[8:24]), struct.unpack("!H", raw[2:4])[0]


def listeners(ports, kind=socket.SOCK_STREAM):
    for port in ports:
        for family, any_address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            s = socket.socket(family, kind)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.bind((any_address, port))
            if kind == socket.SOCK_STREAM:
                s.listen(64)
            yield s


def ending(conn):
    """Reads to the end and names it."""
    try:
        while True:
            if not conn.recv(4096):
                return "closed"
    except OSError as e:
        return errno.errorcode[e.errno]


def witness_one(conn, port):
    try:
        address, going_to = original(conn)
    except OSError as e:
        address, going_to = errno.errorcode[e.errno], 0
    try:
        conn.sendall(f"{port} {address} {going_to}\n".encode())
    except OSError:
        pass
    ending(conn)
    conn.close()


def witness(*ports):
    socks = list(listeners([int(p) for p in ports]))
    say("ready")
    while True:
        for s in select.select(socks, [], [])[0]:
            conn, _ = s.accept()
            threading.Thread(target=witness_one, args=(conn, s.getsockname()[1]), daemon=True).start()


def call(address, port):
    try:
        with socket.create_connection((address, int(port)), timeout=3) as s:
            say(s.makefile().readline().strip())
    except TimeoutError:
        say("ETIMEDOUT")
    except OSError as e:
        say(errno.errorcode[e.errno])


def hold(address, port):
    s = socket.create_connection((address, int(port)), timeout=5)
    s.settimeout(None)
    say("connected", *s.getsockname()[:2])
    say("ended", ending(s))


def sink(port):
    socks = list(listeners([int(port)]))
    say("ready")
    while True:
        for s in select.select(socks, [], [])[0]:
            conn, _ = s.accept()
            say("accepted")
            threading.Thread(target=lambda c: say("ended", ending(c)), args=(conn,), daemon=True).start()


def ask(address, port):
    s = socket.socket(family_of(address), socket.SOCK_DGRAM)
    s.settimeout(2)
    try:
        s.connect((address, int(port)))
        s.send(b"?")
        say(s.recv(100).decode())
    except TimeoutError:
        say("ETIMEDOUT")
    except OSError as e:
        say(errno.errorcode[e.errno])


def answer(port):
    socks = list(listeners([int(port)], socket.SOCK_DGRAM))
    say("ready")
    while True:
        for s in select.select(socks, [], [])[0]:
            _, who = s.recvfrom(100)
            s.sendto(b"answer", who)


if __name__ == "__main__":
    {f.__name__: f for f in (witness, call, hold, sink, ask, answer)}[sys.argv[1]](*sys.argv[2:])
