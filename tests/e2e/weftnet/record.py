"""Records one interface into a pcap file and follows every TCP stream on it, whole: is all its payload TLS 1.3?
Started by pcap.Recorder as a process of its own; of each stream the file keeps the first MiB, the verdict
beside it (PATH.json) covers every byte."""

import json
import os
import select
import signal
import socket
import struct
import sys
import time

from tls import Follower  # beside this file

ETH_P_ALL, SOL_PACKET, PACKET_STATISTICS, SO_RCVBUFFORCE = 3, 263, 6, 33
KEEP = 1 << 20
QUEUE = 256 << 20
SYN, FIN_RST = 2, 5


def parse(p, size):
    """(source ip, source port, destination ip, destination port, seq, flags, payload start, end) of a TCP packet."""
    kind = p[12] << 8 | p[13]
    if kind == 0x0800 and size >= 54 and p[23] == 6:
        head = 14 + (p[14] & 15) * 4
        end = 14 + (p[16] << 8 | p[17])
        src, dst = bytes(p[26:30]), bytes(p[30:34])
    elif kind == 0x86dd and size >= 74 and p[20] == 6:
        head, end = 54, 54 + (p[18] << 8 | p[19])
        src, dst = bytes(p[22:38]), bytes(p[38:54])
    else:
        return None
    sport, dport, seq = struct.unpack_from(">HHI", p, head)
    return src, sport, dst, dport, seq, p[head + 13], head + (p[head + 12] >> 4) * 4, min(end, size)


class Tape:
    """The file and the streams of one interface."""

    def __init__(self, path):
        self.path, self.streams, self.done, self.bytes = path, {}, [], 0
        self.file = open(path, "wb")
        self.file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 1 << 18, 1))

    def stream(self, key, seq, flags):
        found = self.streams.get(key)
        if flags & SYN:
            if found is None or found.fed or found.expect != (seq + 1) & 0xffffffff:
                if found is not None:
                    self.done.append((key, found))
                found = self.streams[key] = Follower((seq + 1) & 0xffffffff)
        elif found is None:
            found = self.streams[key] = Follower(seq, whole=False)
        return found

    def packet(self, p, size):
        parsed = parse(p, size)
        if parsed is None:
            return
        src, sport, dst, dport, seq, flags, start, end = parsed
        stream = self.stream((src, sport, dst, dport), seq, flags)
        if stream.kept < KEEP or flags & (SYN | FIN_RST):
            stream.kept += end - start
            now = time.time()
            self.file.write(struct.pack("<IIII", int(now), int(now % 1 * 1e6), size, size))
            self.file.write(p[:size])
        if end > start:
            self.bytes += end - start
            stream.segment(seq, p[start:end])

    def close(self, drops):
        self.file.close()
        everything = self.done + list(self.streams.items())
        plain = [[src.hex(), sport, dst.hex(), dport, f.plain.hex()]
                 for (src, sport, dst, dport), f in everything if f.plain is not None]
        verdict = {"streams": len(everything), "bytes": self.bytes, "drops": drops, "plain": plain,
                   "gaps": sum(bool(f.late or f.lost) for _, f in everything)}
        with open(self.path + ".json", "w") as f:
            json.dump(verdict, f)


def main(interface, path):
    asked = []
    wake_r, wake_w = os.pipe()
    os.set_blocking(wake_w, False)
    signal.set_wakeup_fd(wake_w)
    for s in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(s, lambda signo, _: asked.append(signo))
    tape = Tape(path)
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, QUEUE)
    sock.bind((interface, ETH_P_ALL))
    sock.setblocking(False)
    print("recording", flush=True)
    space = bytearray(1 << 18)
    view = memoryview(space)
    while True:
        now = list(asked)
        try:
            while True:
                tape.packet(view, sock.recv_into(space))
        except BlockingIOError:
            tape.file.flush()
        for signo in now:
            asked.remove(signo)
            print("caught up", flush=True)
            if signo == signal.SIGTERM:
                drops = struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
                tape.close(drops)
                return
        ready = select.select([sock, wake_r], [], [])[0]
        if wake_r in ready:
            os.read(wake_r, 512)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
