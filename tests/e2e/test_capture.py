"""`weft-sidecar capture` in fresh network namespaces: what is captured and what is not, that rules are
whole or absent, that a second run changes nothing, and what becomes of connections that are older.

Each test has a pod and a peer joined by a veth pair; a witness takes the place of the sidecar and
tells where a connection was going (capture_peer.py).
"""

import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import uuid

import pytest

from weftnet.mesh import SIDECAR
from weftnet.proc import Proc, run, wait_for

# Its text, not its path: it runs as users who may not look into this folder (a checkout below /root).
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "capture_peer.py")) as peer_file:
    PEER = peer_file.read()
POD4, POD6, PEER4, PEER6 = "10.201.0.2", "fd01:201::2", "10.201.0.3", "fd01:201::3"
# the unprivileged users of these tests must be able to run it
PYTHON = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable
BOTH = [(POD4, PEER4), (POD6, PEER6)]
PROXY, APP = 1337, 65534
BACKENDS = {
    "nft": ["--backend=nft"],
    "iptables-nft": ["--iptables=nft"],
    "iptables-legacy": ["--iptables=legacy"],
}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


class Namespace:
    def __init__(self, tmp, kind):
        self.name = f"weft-t-{uuid.uuid4().hex[:8]}-{kind}"
        self.dir, self.procs = tmp, []
        run("ip", "netns", "add", self.name)
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        self.run("sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=0")

    def enter(self, *args, uid=None, gid=None):
        user = []
        if uid is not None:
            user = ["setpriv", f"--reuid={uid}", f"--regid={gid if gid is not None else uid}",
                    "--clear-groups", "--"]
        return ["nsenter", f"--net=/run/netns/{self.name}", "--", *user, *args]

    def run(self, *args, check=True, uid=None, gid=None, **more):
        return run(*self.enter(*args, uid=uid, gid=gid), check=check, **more)

    def peer(self, *args, uid=APP, gid=None):
        """One line of a capture_peer.py that ends by itself."""
        return self.run(PYTHON, "-c", PEER, *args, uid=uid, gid=gid).stdout.strip()

    def spawn(self, *args, uid=APP, ready="ready"):
        proc = Proc("-".join(map(str, args)), self.enter(PYTHON, "-c", PEER, *args, uid=uid),
                    os.path.join(self.dir, f"{uuid.uuid4().hex}.log"))
        self.procs.append(proc)
        proc.wait_text(ready)
        return proc

    def pids(self):
        return run("ip", "netns", "pids", self.name).stdout.split()

    def remove(self):
        for proc in self.procs:
            proc.kill()
        wait_for("the namespace to be empty", lambda: not self.pids())
        run("ip", "netns", "del", self.name)

    # -- capture ---------------------------------------------------------------------------------

    def capture(self, *flags, check=True, **more):
        return self.run(SIDECAR, "capture", *flags, check=check, **more)

    def dump(self):
        """Every chain that any backend holds, with its rules in their order; without counters. The
        chains themselves have no order."""
        found = []
        for line in self.run("nft", "list", "ruleset").stdout.splitlines():
            if line.startswith("table"):
                table = line
            if re.match(r"\tchain ", line):
                found.append([table])
            if line.startswith("\t"):
                found[-1].append(re.sub(r"counter packets \d+ bytes \d+ ?", "", line))
        for program in ("iptables-legacy-save", "ip6tables-legacy-save"):
            chains, table = {}, ""
            for line in self.run(program).stdout.splitlines():
                table = line if line.startswith("*") else table
                if line[:1] in ":-":
                    chain = line.lstrip(":").removeprefix("-A ").split()[0]
                    line = re.sub(r"\[\d+:\d+\]", "", line)
                    chains.setdefault((table, chain), [program + " " + table]).append(line)
            found += chains.values()
        return sorted("\n".join(lines) for lines in found)

    def ours(self):
        """The chains of the dump that are ours or lead to ours."""
        return [chain for chain in self.dump() if re.search(r"WEFT_|^table ip6? weft ", chain)]


@pytest.fixture
def pod(tmp_path):
    os.chmod(tmp_path, 0o755)
    pod, peer = Namespace(tmp_path, "pod"), Namespace(tmp_path, "peer")
    pod.other = peer
    try:
        run("ip", "link", "add", "eth0", "netns", pod.name, "type", "veth", "peer", "name", "eth0",
            "netns", peer.name)
        for ns, v4, v6 in ((pod, POD4, POD6), (peer, PEER4, PEER6)):
            run("ip", "-n", ns.name, "-batch", "-", input=f"""link set eth0 up
addr add {v4}/24 dev eth0
addr add {v6}/64 dev eth0 nodad
""")
        yield pod
    finally:
        for ns in (pod, peer):
            ns.remove()


@pytest.fixture(params=BACKENDS, ids=list(BACKENDS))
def flags(request):
    return BACKENDS[request.param]


def with_port(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def at_outbound(address, port):
    return f"15001 {address} {port}"


def at_inbound(address, port):
    return f"15006 {address} {port}"


def errors(done):
    """The error lines of the log."""
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    return [line for line in lines if line["level"] == "error"]


def log_lines(done, msg):
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    return [line for line in lines if line["msg"] == msg]


# -- what is captured ----------------------------------------------------------------------------------


def test_captures_both_ways_and_both_families(pod, flags):
    pod.capture(*flags)
    pod.spawn("witness", 15001, 15006, 15020, 15021, uid=PROXY)
    pod.spawn("witness", 80)
    pod.other.spawn("witness", 80)
    for mine, theirs in BOTH:
        assert pod.peer("call", theirs, 80) == at_outbound(theirs, 80)
        # a pod that calls itself by its address is captured like any other caller
        assert pod.peer("call", mine, 80) == at_outbound(mine, 80)
        assert pod.other.peer("call", mine, 80) == at_inbound(mine, 80)
        # a port that nobody listens on is captured too
        assert pod.other.peer("call", mine, 81) == at_inbound(mine, 81)


def test_sidecar_and_loopback_are_left_alone(pod, flags):
    pod.capture(*flags)
    pod.spawn("witness", 15001, 15006, uid=PROXY)
    pod.spawn("witness", 80)
    pod.other.spawn("witness", 80)
    for mine, theirs in BOTH:
        for uid, gid in ((PROXY, APP), (APP, PROXY)):
            assert pod.peer("call", theirs, 80, uid=uid, gid=gid).startswith("80 ")
            # to the pod's own address, as inbound connections are handed on: no loop
            assert pod.peer("call", mine, 80, uid=uid, gid=gid).startswith("80 ")
    for loopback in ("127.0.0.1", "::1"):
        assert pod.peer("call", loopback, 80).startswith("80 ")


def test_own_ports_from_outside(pod, flags):
    """Metrics and health are reached directly; every other port of the sidecar comes to the inbound
    listener with that port as its destination, where it is refused."""
    pod.capture(*flags)
    pod.spawn("witness", 15000, 15001, 15006, 15020, 15021, 15053, uid=PROXY)
    for mine, _ in BOTH:
        for port in (15020, 15021):
            assert pod.other.peer("call", mine, port).startswith(f"{port} ")
        for port in (15000, 15001, 15006, 15053):
            assert pod.other.peer("call", mine, port) == at_inbound(mine, port)


def test_exclusions(pod, flags):
    pod.capture(*flags, "--exclude-inbound-ports=22,9000-9010", "--exclude-outbound-ports=5432",
                "--exclude-outbound-cidrs=10.201.0.0/24")
    pod.spawn("witness", 15001, 15006, uid=PROXY)
    pod.spawn("witness", 22, 9010)
    pod.other.spawn("witness", 22, 5432, 80)
    for mine, theirs in BOTH:
        for port in (22, 9010):
            assert pod.other.peer("call", mine, port).startswith(f"{port} ")
        assert pod.other.peer("call", mine, 9011) == at_inbound(mine, 9011)
        assert pod.peer("call", theirs, 5432).startswith("5432 ")
    assert pod.peer("call", PEER4, 80).startswith("80 ")
    assert pod.peer("call", PEER6, 80) == at_outbound(PEER6, 80)


def test_inclusions(pod, flags):
    pod.capture(*flags, "--include-outbound-cidrs=10.201.0.0/24")
    pod.spawn("witness", 15001, 15006, uid=PROXY)
    pod.other.spawn("witness", 80)
    assert pod.peer("call", PEER4, 80) == at_outbound(PEER4, 80)
    assert pod.peer("call", PEER6, 80).startswith("80 ")
    assert pod.other.peer("call", POD6, 80) == at_inbound(POD6, 80)


def test_excluded_interface(pod, flags):
    pod.capture(*flags, "--exclude-interfaces=eth+")
    pod.spawn("witness", 15001, 15006, uid=PROXY)
    pod.spawn("witness", 80)
    pod.other.spawn("witness", 80)
    for mine, theirs in BOTH:
        assert pod.peer("call", theirs, 80).startswith("80 ")
        assert pod.other.peer("call", mine, 80).startswith("80 ")


def test_other_user_and_ports(pod, flags):
    pod.capture(*flags, "--proxy-uid=2102", "--proxy-gid=2103", "--inbound-port=4143", "--outbound-port=4140",
                "--own-ports=4191")
    pod.spawn("witness", 4140, 4143, 4191, uid=2102)
    pod.other.spawn("witness", 80)
    for mine, theirs in BOTH:
        assert pod.peer("call", theirs, 80) == f"4140 {theirs} 80"
        assert pod.peer("call", theirs, 80, uid=1337) == f"4140 {theirs} 80"
        assert pod.peer("call", theirs, 80, uid=2102, gid=1).startswith("80 ")
        assert pod.peer("call", theirs, 80, uid=1, gid=2103).startswith("80 ")
        assert pod.other.peer("call", mine, 4191).startswith("4191 ")


def test_udp_is_left_alone_unless_denied(pod, flags):
    pod.spawn("answer", 53)
    pod.spawn("answer", 123)
    pod.other.spawn("answer", 53)
    pod.other.spawn("answer", 123)
    pod.capture(*flags)
    for mine, theirs in BOTH:
        assert pod.peer("ask", theirs, 123) == "answer"
        assert pod.other.peer("ask", mine, 123) == "answer"
    pod.capture(*flags, "--udp=deny")
    for mine, theirs in BOTH:
        assert pod.peer("ask", theirs, 53) == "answer"
        assert pod.other.peer("ask", mine, 53) == "answer"
        # at once, with an error, not by silence
        assert pod.peer("ask", theirs, 123) in ("EPERM", "ECONNREFUSED")
        assert pod.other.peer("ask", mine, 123) == "ECONNREFUSED"
        assert pod.peer("ask", mine, 123) == "answer"
        assert pod.peer("ask", theirs, 123, uid=PROXY) == "answer"
    # and off again: nothing of it stays
    pod.capture(*flags)
    assert not [chain for chain in pod.ours() if "udp" in chain.lower()]
    assert pod.peer("ask", PEER4, 123) == "answer"


# -- whole or absent -----------------------------------------------------------------------------------


def test_twice_is_once(pod, flags):
    pod.capture(*flags, "--udp=deny", "--exclude-inbound-ports=22")
    once = pod.dump()
    pod.capture(*flags, "--udp=deny", "--exclude-inbound-ports=22")
    assert pod.dump() == once
    # also where the backend is left to choose
    pod.capture("--udp=deny", "--exclude-inbound-ports=22")
    assert pod.dump() == once


def test_changed_flags_replace(pod, flags):
    pod.capture(*flags)
    plain = pod.dump()
    pod.capture(*flags, "--udp=deny", "--exclude-outbound-ports=1-5,7")
    assert pod.dump() != plain
    pod.capture(*flags)
    # the tables of the iptables flavours stay when they are empty
    assert pod.ours() == [chain for chain in plain if re.search(r"WEFT_|^table ip6? weft ", chain)]


def test_moving_between_backends_leaves_one(pod):
    pod.spawn("witness", 15001, 15006, uid=PROXY)
    for flags in [*BACKENDS.values(), *reversed(BACKENDS.values())]:
        pod.capture(*flags)
        dump = pod.dump()
        # our nft tables, or our iptables chains in one of the two places where they can be
        places = [r"^table ip weft ", r"\tchain WEFT_OUT", r"^:WEFT_OUT"]
        found = [place for place in places if any(re.search(place, chain, re.M) for chain in dump)]
        assert len(found) == 1, found
        assert pod.peer("call", PEER4, 80) == at_outbound(PEER4, 80)


def test_print_changes_nothing(pod, flags):
    before = pod.dump()
    as_root = pod.capture(*flags, "--print").stdout
    as_nobody = pod.capture(*flags, "--print", uid=APP).stdout
    assert pod.dump() == before
    assert as_root == as_nobody
    for word in ("# IPv4, ", "# IPv6, ", "15006", "15001", "1337"):
        assert word in as_root
    assert pod.capture(*flags, "--print", "--proxy-uid=77").stdout != as_root


FOREIGN = {
    "nft": """table ip theirs {
	chain out { type nat hook output priority -100; tcp dport 7 redirect to :8; }
}
table inet weftlike {
	chain x { }
}
""",
    "iptables": """*nat
:THEIRS - [0:0]
:WEF - [0:0]
-A OUTPUT -p tcp -m tcp --dport 7 -j THEIRS
-A THEIRS -p tcp -j REDIRECT --to-ports 8
COMMIT
*filter
-A INPUT -p tcp -m tcp --dport 9 -j REJECT
COMMIT
""",
}


def add_foreign(pod):
    pod.run("nft", "-f", "-", input=FOREIGN["nft"])
    for program in ("iptables-nft-restore", "ip6tables-nft-restore", "iptables-legacy-restore",
                    "ip6tables-legacy-restore"):
        pod.run(program, "--noflush", input=FOREIGN["iptables"])


def test_clean_leaves_the_rules_of_others(pod, flags):
    # the tables of both flavours exist from here on, so that a dump can be compared
    for each in BACKENDS.values():
        pod.capture(*each, "--udp=deny")
        pod.capture("--clean")
    add_foreign(pod)
    before = pod.dump()
    pod.capture(*flags, "--udp=deny")
    assert pod.dump() != before
    pod.capture("--clean")
    assert pod.dump() == before
    done = pod.capture("--clean")
    assert log_lines(done, "there were no rules to remove")
    assert pod.dump() == before


def test_foreign_rules_do_not_come_first(pod, flags):
    """A redirect of somebody else in the same tables would take connections past the sidecar."""
    if flags == BACKENDS["nft"]:
        pod.run("nft", "-f", "-", input=FOREIGN["nft"])
    else:
        for program in ("iptables", "ip6tables"):
            pod.run(f"{program}-{flags[0].split('=')[1]}-restore", "--noflush", input=FOREIGN["iptables"])
    pod.capture(*flags)
    pod.spawn("witness", 15001, 15006, uid=PROXY)
    assert pod.peer("call", PEER4, 7) == at_outbound(PEER4, 7)


def test_killed_midway_leaves_all_or_none(pod, flags):
    """SIGKILL at any moment, on a fresh namespace and on one with rules; afterwards a run mends all."""
    rng = random.Random(7)
    pod.capture(*flags, "--no-probe", "--udp=deny")
    reference = pod.ours()
    begin = time.monotonic()
    pod.capture(*flags, "--no-probe", "--udp=deny")
    length = time.monotonic() - begin
    pod.capture("--clean")
    seen = set()
    for tried in range(96):
        if tried >= 16 and len(seen) == 2:
            break
        proc = subprocess.Popen(pod.enter(SIDECAR, "capture", *flags, "--no-probe", "--udp=deny"),
                                stderr=subprocess.DEVNULL)
        try:
            proc.wait(rng.uniform(0, 1.2 * length))
        except subprocess.TimeoutExpired:
            proc.send_signal(signal.SIGKILL)
        proc.wait()
        # what writes the rules brings them to an end
        wait_for("the namespace to be quiet", lambda: not pod.pids())
        state = pod.ours()
        assert state in ([], reference), "half of the rules:\n" + "\n\n".join(state)
        seen.add(bool(state))
        pod.capture("--clean")
        assert pod.ours() == []
    assert seen == {True, False}, "the moments of the kills were all alike"


def test_killed_during_the_probe(pod, flags):
    pod.capture(*flags)
    reference = pod.ours()
    pod.capture("--clean")
    for i in range(6):
        proc = subprocess.Popen(pod.enter(SIDECAR, "capture", *flags), stderr=subprocess.DEVNULL)
        wait_for("the probe or the end", lambda: proc.poll() is not None or
                 "weft-probe0" in pod.run("ip", "-br", "link").stdout, interval=0.002)
        proc.send_signal(signal.SIGKILL)
        proc.wait()
        wait_for("the namespace to be quiet", lambda: not pod.pids())
        assert pod.ours() == reference
        pod.capture(*([*flags] if i % 2 else ["--clean"]))
        assert "weft-probe" not in pod.run("ip", "-br", "link").stdout


def test_two_at_once(pod, flags):
    pod.capture(*flags)
    reference = pod.dump()
    procs = [subprocess.Popen(pod.enter(SIDECAR, "capture", *flags), stderr=subprocess.PIPE)
             for _ in range(4)]
    for proc in procs:
        _, err = proc.communicate(timeout=60)
        assert proc.returncode == 0, err
    assert pod.dump() == reference


def test_second_family_fails(pod, tmp_path):
    """A family that is there but cannot be programmed takes the other one back with it."""
    marker = tmp_path / "fail"
    for program in ("ip6tables-nft-restore", "ip6tables-legacy-restore"):
        real = f"/usr/sbin/{program}"
        fake = tmp_path / program
        fake.write_text(f"""#!/bin/sh
case "$*" in *--version*|*--test*) exec {real} "$@";; esac
text=$(cat)
case "$text" in *"-I OUTPUT"*)
    if rm {marker} 2>/dev/null; then echo "RULE_APPEND failed (Operation not supported)" >&2; exit 4; fi;;
esac
printf '%s\\n' "$text" | exec {real} "$@"
""")
        fake.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for flavour in ("nft", "legacy"):
        marker.touch()
        done = pod.capture(f"--iptables={flavour}", check=False, env=env)
        assert done.returncode == 1
        assert "Operation not supported" in errors(done)[0]["error"]
        assert pod.ours() == []
        # what was whole before is whole again
        pod.capture(f"--iptables={flavour}", "--exclude-inbound-ports=22")
        before = pod.dump()
        marker.touch()
        done = pod.capture(f"--iptables={flavour}", check=False, env=env)
        assert done.returncode == 1
        assert pod.dump() == before
        pod.capture("--clean")


def test_ipv4_only(pod, flags):
    pod.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    done = pod.capture(*flags)
    assert log_lines(done, "IPv6 is skipped")
    assert log_lines(done, "rules in force")[0]["families"] == "IPv4"
    assert not [chain for chain in pod.ours() if "ip6" in chain]
    pod.spawn("witness", 15001, 15006, uid=PROXY)
    assert pod.peer("call", PEER4, 80) == at_outbound(PEER4, 80)
    assert pod.other.peer("call", POD4, 80) == at_inbound(POD4, 80)


@pytest.mark.parametrize("setting", ["net.ipv4.conf.all.rp_filter=1", "net.ipv6.conf.default.disable_ipv6=1",
                                     "net.ipv4.conf.all.forwarding=1", "net.ipv6.conf.all.forwarding=1",
                                     "net.netfilter.nf_conntrack_tcp_loose=0"])
def test_settings_that_nodes_have(pod, setting):
    pod.run("sysctl", "-qw", setting)
    assert log_lines(pod.capture(), "rules in force")[0]["families"] == "IPv4 and IPv6"


def test_loopback_only_namespace(tmp_path, flags):
    """No route, no interface but lo: capture comes before the network, and is proven all the same."""
    os.chmod(tmp_path, 0o755)
    ns = Namespace(tmp_path, "lo")
    try:
        done = ns.capture(*flags)
        assert log_lines(done, "rules in force")[0]["proven"] is True
        assert "weft-probe" not in ns.run("ip", "-br", "link").stdout
    finally:
        ns.remove()


# -- the proof -----------------------------------------------------------------------------------------


def drop_in(program):
    return [program, "-I", "INPUT", "-p", "tcp", "--dport", "15006", "-j", "DROP"]


def untracked_out(program):
    return [program, "-t", "raw", "-I", "OUTPUT", "-p", "tcp", "-j", "NOTRACK"]


@pytest.mark.parametrize("backend, direction, rule", [
    ("nft", "inbound IPv4", drop_in("iptables-nft")),
    ("nft", "inbound IPv6", drop_in("ip6tables-nft")),
    ("nft", "outbound IPv4", untracked_out("iptables-nft")),
    ("nft", "outbound IPv6", untracked_out("ip6tables-nft")),
    ("nft", "inbound IPv4", ["iptables-nft", "-t", "raw", "-I", "PREROUTING", "-p", "tcp",
                             "-i", "weft-probe0", "-j", "NOTRACK"]),
    ("iptables-nft", "inbound IPv6", drop_in("ip6tables-nft")),
    ("iptables-legacy", "outbound IPv6", untracked_out("ip6tables-legacy")),
])
def test_rules_that_do_not_work_are_taken_back(pod, backend, direction, rule):
    flags = BACKENDS[backend]
    pod.run(*rule)
    done = pod.capture(*flags, check=False)
    assert done.returncode == 1
    (error,) = errors(done)
    assert error["msg"] == "rules do not work and are taken back"
    assert direction in error["error"]
    assert "taken back" in error["remedy"]
    assert pod.ours() == []
    assert "weft-probe" not in pod.run("ip", "-br", "link").stdout
    # without a proof they stay, and the log says so
    done = pod.capture(*flags, "--no-probe")
    assert log_lines(done, "rules in force")[0]["proven"] is False
    before = pod.dump()
    # a later run that fails leaves what was there before
    assert pod.capture(*flags, "--exclude-inbound-ports=1", check=False).returncode == 1
    assert pod.dump() == before


def test_failures_name_what_and_remedy(pod):
    done = pod.run("setpriv", "--bounding-set=-net_admin", SIDECAR, "capture", check=False)
    assert done.returncode == 1
    assert "NET_ADMIN" in errors(done)[0]["error"] and "securityContext" in errors(done)[0]["remedy"]
    pod.run("ip", "link", "set", "lo", "down")
    done = pod.capture(check=False)
    assert "lo is down" in errors(done)[0]["error"]
    pod.run("ip", "link", "set", "lo", "up")
    for flags, word in ((["--exclude-inbound-ports=15000-15010"], "15006"),
                        (["--proxy-uid=0"], "proxy-uid"),
                        (["--exclude-outbound-cidrs=10.0.0.1/8"], "10.0.0.1/8"),
                        (["--print", "--clean"], "--print"),
                        (["--backend=nft", "--iptables=legacy"], "--iptables"),
                        (["extra"], "extra")):
        done = pod.capture(*flags, check=False)
        assert done.returncode == 2 and word in done.stderr, done.stderr
    assert pod.ours() == []


def test_tool_that_fails(pod, tmp_path):
    """The words of the tool reach the operator; auto goes on to the next one."""
    fake = tmp_path / "nft"
    fake.write_text("#!/bin/sh\necho 'Error: Could not process rule: Protocol not supported' >&2\nexit 1\n")
    fake.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = pod.capture("--backend=nft", check=False, env=env)
    assert done.returncode == 1
    assert "Protocol not supported" in errors(done)[0]["error"]
    assert "nf_tables" in errors(done)[0]["remedy"]
    done = pod.capture(env=env)
    assert log_lines(done, "rules in force")[0]["backend"] == "iptables-nft"


# -- what is older -------------------------------------------------------------------------------------


def test_older_connections_are_closed_and_named(pod, flags):
    pod.spawn("witness", 80)
    server = pod.spawn("sink", 7000)
    far = pod.other.spawn("sink", 7000)
    inside = pod.spawn("hold", "127.0.0.1", 80, ready="connected")
    sidecars = pod.spawn("hold", PEER4, 7000, uid=PROXY, ready="connected")
    held = {}
    for mine, theirs in BOTH:
        held[pod.spawn("hold", theirs, 7000, ready="connected")] = with_port(theirs, 7000)
        held[pod.other.spawn("hold", mine, 7000, ready="connected")] = with_port(mine, 7000)
    wait_for("both servers to have accepted", lambda: server.text().count("accepted") == 2 ==
             far.text().count("accepted") - 1)
    done = pod.capture(*flags)
    named = log_lines(done, "older connection closed")
    assert len(named) == 4, done.stderr
    for address in held.values():
        assert any(address in (line["local"], line["peer"]) for line in named)
    for line in named:
        assert re.fullmatch(r"python3[\d.]* \(\d+\)", line["process"]), line
    assert {line["uid"] for line in named} == {APP}
    # both ends learn of it
    for proc in held:
        proc.wait_text("ended")
        assert "ended closed" not in proc.text()
    wait_for("the server's ends", lambda: server.text().count("ended ECONNABORTED") == 2)
    wait_for("the other server's ends", lambda: far.text().count("ended ECONNRESET") == 2)
    # loopback and the sidecar's own connections go on
    for proc in (inside, sidecars):
        assert proc.alive() and "ended" not in proc.text()


def test_older_connections_that_are_kept(pod, flags):
    pod.other.spawn("sink", 7000)
    held = pod.spawn("hold", PEER4, 7000, ready="connected")
    done = pod.capture(*flags, "--keep-connections")
    (line,) = log_lines(done, "older connection kept outside the mesh")
    assert line["peer"] == f"{PEER4}:7000"
    assert held.alive() and "ended" not in held.text()


def test_older_connections_that_are_excluded(pod, flags):
    pod.spawn("sink", 22)
    pod.other.spawn("sink", 5432)
    held = [pod.spawn("hold", PEER4, 5432, ready="connected"),
            pod.other.spawn("hold", POD4, 22, ready="connected")]
    done = pod.capture(*flags, "--exclude-outbound-ports=5432", "--exclude-inbound-ports=22")
    assert not log_lines(done, "older connection closed")
    assert all(proc.alive() and "ended" not in proc.text() for proc in held)


def test_second_run_spares_captured_connections(pod, flags):
    """A sidecar at work: its connections, and those that were captured for it, are not older than the
    rules; the probe looks at its listeners instead of taking their place."""
    pod.capture(*flags)
    pod.spawn("witness", 15001, 15006, uid=PROXY)
    pod.spawn("sink", 80)
    pod.other.spawn("sink", 80)
    held = []
    for mine, theirs in BOTH:
        held.append(pod.spawn("hold", theirs, 80, ready="connected"))
        held.append(pod.other.spawn("hold", mine, 80, ready="connected"))
        # what a sidecar does for them: the call out, and the call to the application
        held.append(pod.spawn("hold", theirs, 80, uid=PROXY, ready="connected"))
        held.append(pod.spawn("hold", mine, 80, uid=PROXY, ready="connected"))
    done = pod.capture(*flags)
    assert log_lines(done, "rules in force")[0]["proven"] is True
    assert not log_lines(done, "older connection closed"), done.stderr
    assert all(proc.alive() and "ended" not in proc.text() for proc in held)


# -- packets that belong to no connection --------------------------------------------------------------


def stray_segment(source, target, sport, dport, seq):
    """A segment with data far outside every window."""
    data = b"x" * 10
    head = struct.pack("!HHIIBBHHH", sport, dport, seq, seq, 5 << 4, 0x18, 1000, 0, 0) + data
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!BBH", 0, 6, len(head))
    total = sum(struct.unpack(f"!{len(pseudo + head) // 2}H", pseudo + head))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return head[:16] + struct.pack("!H", ~total & 0xffff) + head[18:]


INJECT = """
import socket, sys
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
for segment in sys.argv[3:]:
    raw.sendto(bytes.fromhex(segment), (sys.argv[1], 0))
# a whole connection after them: what they caused came before its answer
fence = socket.create_connection((sys.argv[1], 80), timeout=5)
fence.recv(100)
resets = 0
while True:
    packet = raw.recv(2000)
    tcp = packet[(packet[0] & 15) * 4:]
    port, flags = int.from_bytes(tcp[2:4], "big"), tcp[13]
    resets += port == int(sys.argv[2]) and flags & 4 != 0
    if port == fence.getsockname()[1]:
        break
print(resets)
"""


def test_stray_packets_are_not_answered(pod, flags):
    """A segment that conntrack cannot place is not translated; it would meet no socket, and the answer
    would be a reset in the pod's name, which ends the connection that it imitates."""
    pod.capture(*flags)
    pod.spawn("witness", 15001, 15006, uid=PROXY)
    held = pod.other.spawn("hold", POD4, 80, ready="connected")
    port = int(held.text().split()[2])

    def resets():
        # wherever the connection's numbers are, some of these are far beyond its windows
        strays = [stray_segment(PEER4, POD4, port, 80, k << 29 | 0x7777).hex() for k in range(8)]
        return int(pod.other.run(PYTHON, "-c", INJECT, POD4, str(port), *strays).stdout)

    assert resets() == 0
    # and it is the rule that does it
    if flags == BACKENDS["nft"]:
        pod.run("nft", "flush", "chain", "ip", "weft", "invalid_in")
    else:
        pod.run(f"iptables-{flags[0].split('=')[1]}", "-t", "mangle", "-F", "WEFT_INVALID_IN")
    assert resets() > 0
