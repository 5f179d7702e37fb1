"""1 GiB up and 1 GiB down arrive intact over HTTP/1, HTTP/2 and raw TCP while the memory of both sidecars stays flat:
a peak under idle plus 8 MiB. Under sanitizers, where ciphers are slow, the bound is 64 MiB and the size is 1/16."""

import mmap
import os
import re
import time

import pytest

from conftest import make_mesh, url
from weftnet import SANITIZED, apps, sock

SIZE = (64 << 20) if SANITIZED else (1 << 30)
FLAT_KIB = (64 << 10) if SANITIZED else (8 << 10)
BLOCK = 1 << 20

HTTP = """
  client_max_body_size 0; client_body_buffer_size 1m; http2_body_preread_size 1m; http2_chunk_size 128k;
  output_buffers 2 256k; sendfile on;
  server {
    listen 8080; listen [::]:8080; listen 8081 http2; listen [::]:8081 http2; root {dir}/files;
    location /up/ { dav_methods PUT; }
  }
"""


def make_file(path):
    """Random blocks that each tell their place: what is lost, doubled or swapped shows."""
    base = os.urandom(BLOCK - 8)
    with open(path, "wb") as f:
        for i in range(SIZE // BLOCK):
            f.write(i.to_bytes(8, "big") + base)


class RawServer:
    """Answers "down TAG" with the file and the end of stream, "up TAG" and the file with "same TAG"."""

    def __init__(self, pod, path):
        self.file = open(path, "rb")
        self.content = memoryview(mmap.mmap(self.file.fileno(), 0, prot=mmap.PROT_READ))
        self.server = sock.Server(pod, 9000, self.serve, timeout=300)

    def serve(self, s):
        what, tag = sock.read_until(s, b"\n").decode().split()
        if what == "down":
            with open(self.file.name, "rb") as f:
                s.sendfile(f)
        else:
            same = self.compare(s)
            s.sendall(f"{'same' if same else 'different'} {tag}\n".encode())
        self.server.seen.append((what, tag))

    def compare(self, s):
        part, at = bytearray(BLOCK), 0
        while at < SIZE:
            n = s.recv_into(part, min(BLOCK, SIZE - at))
            if n == 0 or memoryview(part)[:n] != self.content[at:at + n]:
                return False
            at += n
        return True


class Bulk:
    """Mesh, servers and the file."""

    def __init__(self, m):
        self.client, self.web = m.pod("client"), m.pod("web", ports=[("http", 8080), ("http2", 8081), ("raw", 9000)])
        self.service = m.service("web", [{"name": "http", "port": 80, "targetPort": 8080},
                                         {"name": "http2", "port": 81, "targetPort": 8081},
                                         {"name": "raw", "port": 90, "targetPort": 9000}])
        self.nginx = apps.Nginx(self.web, HTTP, [8080, 8081])
        self.files = os.path.join(self.web.dir, "files")
        os.makedirs(os.path.join(self.files, "up"))
        os.chmod(os.path.join(self.files, "up"), 0o777)
        self.big = os.path.join(self.files, "big")
        make_file(self.big)
        self.raw = RawServer(self.web, self.big)
        m.start()

    def flat(self, work):
        """Runs work; the sidecars' peaks above idle in KiB."""
        pids = [p.sidecar.pid for p in (self.client, self.web)]
        idle = [memory(pid, "VmRSS") for pid in pids]
        for pid in pids:
            with open(f"/proc/{pid}/clear_refs", "w") as f:
                f.write("5")  # VmHWM begins anew
        began = time.monotonic()
        work()
        rate = SIZE / 1e6 / (time.monotonic() - began)
        above = [memory(pid, "VmHWM") - i for pid, i in zip(pids, idle)]
        print(f"{rate:.0f} MB/s, idle {idle} KiB, peaks {above} KiB above")
        assert max(above) <= FLAT_KIB, f"{above} KiB above {idle}"


def memory(pid, field):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(field + r":\s+(\d+) kB", f.read()).group(1))


@pytest.fixture(scope="module")
def bulk():
    with make_mesh() as m:
        b = Bulk(m)
        yield b
        b.raw.server.close()


def shell(pod, script, *args):
    return pod.exec("bash", "-c", "set -euo pipefail\n" + script, "bash", *args, timeout=300)


# What carries the bytes knows no family, so that of each version and direction one family is enough; TCP has both.
ONE_FAMILY = pytest.mark.parametrize("family", [4], ids=["ipv4"])
VERSIONS = {"http1": ("--http1.1", 80, "HTTP/1.1"), "http2": ("--http2-prior-knowledge", 81, "HTTP/2.0")}


@ONE_FAMILY
@pytest.mark.parametrize("version", VERSIONS)
def test_http_down(bulk, family, version):
    flag, port, proto = VERSIONS[version]
    tag = f"down-{version}-{family}"
    bulk.flat(lambda: shell(bulk.client, 'curl -sS -H "x-tag: $1" "$2" "$3" | cmp - "$4"', tag, flag,
                            url(bulk.service.ip(family), port, "/big"), bulk.big))
    apps.agree([(tag, 200, SIZE, proto)],
               lambda: [(e["tag"], e["status"], e["sent"], e["proto"]) for e in bulk.nginx.records(tag)])


@ONE_FAMILY
@pytest.mark.parametrize("version", VERSIONS)
def test_http_up(bulk, family, version):
    flag, port, proto = VERSIONS[version]
    tag = f"up-{version}-{family}"
    bulk.flat(lambda: shell(bulk.client, 'curl -sS -f -H "x-tag: $1" -H "Expect:" "$2" -T "$4" "$3"', tag, flag,
                            url(bulk.service.ip(family), port, f"/up/{tag}"), bulk.big))
    shell(bulk.client, 'cmp "$1" "$2"', os.path.join(bulk.files, "up", tag), bulk.big)
    os.unlink(os.path.join(bulk.files, "up", tag))
    apps.agree([(tag, 201, proto)], lambda: [(e["tag"], e["status"], e["proto"]) for e in bulk.nginx.records(tag)])


def test_tcp_down(bulk, family):
    tag = f"tcp-{family}"
    bulk.flat(lambda: shell(bulk.client, 'exec 3<>"/dev/tcp/$1/90"; echo "down $2" >&3; cmp - "$3" <&3',
                            bulk.service.ip(family), tag, bulk.big))
    bulk.raw.server.settle()
    assert bulk.raw.server.seen.pop() == ("down", tag) and not bulk.raw.server.failed


def test_tcp_up(bulk, family):
    tag = f"tcp-{family}"
    answer = []
    bulk.flat(lambda: answer.append(shell(
        bulk.client, 'exec 3<>"/dev/tcp/$1/90"; { echo "up $2"; cat "$3"; } >&3; head -1 <&3',
        bulk.service.ip(family), tag, bulk.big).stdout))
    bulk.raw.server.settle()
    assert answer == [f"same {tag}\n"]
    assert bulk.raw.server.seen.pop() == ("up", tag) and not bulk.raw.server.failed
