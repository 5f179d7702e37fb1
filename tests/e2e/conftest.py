"""Fixtures of the end-to-end tests: meshes that record every pod's veth, and the judgement over the
recordings when the run ends."""

import os
import signal
import socket
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from weftnet import Mesh, pcap  # noqa: E402

VIOLATIONS, FAULTS = [], []
END_S = 30
RECORDED = {"pods": 0, "streams": 0, "bytes": 0, "gaps": 0}


def pytest_collection_modifyitems(config, items):
    if os.geteuid() != 0:
        pytest.exit("the end-to-end tests make network namespaces: run them as root", returncode=3)


def log_of(proc):
    return proc.text() if os.path.isfile(proc.log) else ""


class RecordedMesh(Mesh):
    """A mesh whose recordings are judged before they go."""

    def close(self):
        try:
            if not self.closed:
                self.end_programs()
                for p in self.pods.values():
                    if p.recorder is not None:
                        p.recorder.stop()
                self.judge()
        finally:
            super().close()

    def end_programs(self):
        """Whatever was done to them, sidecars and control plane end in order when they are told to (twice: at once),
        and no sanitizer has anything to say."""
        programs = [p.sidecar for p in self.pods.values() if p.sidecar is not None]
        if self.control is not None and self.control.proc is not None:
            programs.append(self.control.proc)
        running = [p for p in programs if p.alive()]
        for signo in (signal.SIGTERM, signal.SIGINT):
            for p in running:
                p.signal(signo)
        for p in running:
            try:
                status = p.wait(END_S)
            except subprocess.TimeoutExpired:
                status = f"none within {END_S} s"
            if status != 0:
                FAULTS.append(f"{p.name} in {self.dir}: exit status {status} when told to end: {log_of(p)[-2000:]}")
        for p in programs:
            text = log_of(p)
            if "Sanitizer" in text or "runtime error:" in text or p.popen.returncode in (-signal.SIGSEGV, -signal.SIGABRT):
                FAULTS.append(f"{p.name}: {text[-4000:]}")

    def judge(self):
        meshed = set()
        for p in self.pods.values():
            if p.meshed and p.sidecar is not None:
                meshed |= {socket.inet_pton(socket.AF_INET, p.ip4), socket.inet_pton(socket.AF_INET6, p.ip6)}
        for p in self.pods.values():
            if p.recorder is None:
                continue
            verdict = p.recorder.verdict()
            RECORDED["pods"] += 1
            for what in ("streams", "bytes", "gaps"):
                RECORDED[what] += verdict[what]
            for src, sport, dst, dport, head in pcap.judge(p.recorder, meshed):
                fam = socket.AF_INET if len(src) == 4 else socket.AF_INET6
                VIOLATIONS.append(f"{p.name}: {socket.inet_ntop(fam, src)}:{sport} -> "
                                  f"{socket.inet_ntop(fam, dst)}:{dport}: {head!r}")


def make_mesh(**kw):
    return RecordedMesh(**kw)


@pytest.fixture(scope="module")
def mesh():
    with make_mesh() as m:
        yield m


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def family(request):
    return request.param


def pytest_sessionfinish(session, exitstatus):
    if VIOLATIONS or FAULTS:
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter):
    if FAULTS:
        terminalreporter.section("programs that did not end as they should", sep="=", red=True)
        for fault in FAULTS:
            terminalreporter.write_line(fault)
    if VIOLATIONS:
        terminalreporter.section("plaintext between meshed pods", sep="=", red=True)
        for v in VIOLATIONS:
            terminalreporter.write_line(v)
    else:
        terminalreporter.write_line(
            "recordings of {pods} pods, {streams} streams, {bytes} bytes: every TCP payload between meshed pods "
            "was TLS 1.3 ({gaps} streams lack segments and are judged up to there)".format(**RECORDED))


def url(ip, port, path="/"):
    host = f"[{ip}]" if ":" in ip else ip
    return f"http://{host}:{port}{path}"
