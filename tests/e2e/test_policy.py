"""Authorization between real pods, over HTTP and raw TCP and both families: every field and its negation,
several policies at once, a change while connections are open, and files that are no good."""

import os

import pytest

from conftest import make_mesh
from weftnet import WeftError, wait_for
from weftnet.inside import App, attempt, connect, echo, http1, read_all, read_response

GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"
BANNER = b"220 ready\r\n"
HTTP, TCP = 8080, 9090


class Shop:
    """alice in namespace a and bob in b call web in namespace shop, which has an HTTP and a TCP port."""

    def __init__(self, mesh):
        self.mesh = mesh
        self.alice, self.bob = mesh.pod("alice", ns="a"), mesh.pod("bob", ns="b")
        self.web = mesh.pod("web", ns="shop", ports=[("http", HTTP), ("tcp", TCP)])
        mesh.service("web", [{"name": "http", "port": HTTP}, {"name": "tcp", "port": TCP}], ns="shop")
        self.callers = {"alice": self.alice, "bob": self.bob}
        self.apps = [App(self.web, HTTP, http1()), App(self.web, TCP, echo(BANNER))]
        self.names = []
        mesh.start("--min-drain", "0s")

    def in_force(self):
        return self.web.sidecar.text().count("configuration in force")

    def compile(self, *flags):
        """A new state for web, and the wait until it is in force."""
        before = self.in_force()
        self.web.compile(*flags)
        wait_for("the new state", lambda: self.in_force() > before)

    def apply(self, *policies):
        """These policies and no others are in force when this returns."""
        for ns, name in self.names:
            self.mesh.delete("AuthorizationPolicy", name, ns)
        self.names = [(p["metadata"]["namespace"], p["metadata"]["name"]) for p in policies]
        self.mesh.apply(*policies)
        self.compile()

    def http(self, name, family):
        with connect(self.callers[name], self.web.ip(family), HTTP) as s:
            s.sendall(GET)
            return read_response(s)

    def may(self, name, port, family):
        """Whether the call comes through; a refusal must look as a refusal does."""
        seen = len(self.web.log())
        if port == HTTP:
            status, head, _ = self.http(name, family)
            assert status == 200 or (status == 403 and b"x-weft-reason: RBAC" in head), head
            allowed = status == 200
        else:
            conns = len(self.apps[1].conns)
            data, how = self.tcp(name, family)
            allowed = data == BANNER
            assert allowed or (data == b"" and how in ("reset", "eof")), (data, how)
            assert len(self.apps[1].conns) == conns + (1 if allowed else 0), "the application heard of it"
        if not allowed:
            self.event = wait_for("the event", lambda: [e for e in self.web.log()[seen:]
                                                        if e.get("reason") == "RBAC"])[-1]
        return allowed

    def tcp(self, name, family):
        try:
            with connect(self.callers[name], self.web.ip(family), TCP) as s:
                data = s.recv(100)
                return (data, "open") if data else (data, "eof")
        except OSError:
            return b"", "reset"


@pytest.fixture(scope="module")
def shop():
    with make_mesh() as m:
        s = Shop(m)
        yield s
        for app in s.apps:
            app.close()


def policy(rules, action="ALLOW", name="p", ns="shop", **spec):
    return {"apiVersion": "mesh.weft.dev/v1alpha1", "kind": "AuthorizationPolicy",
            "metadata": {"name": name, "namespace": ns}, "spec": {"action": action, "rules": rules, **spec}}


def source(**fields):
    return {"from": [{"source": fields}]}


def ports(**fields):
    return {"to": [{"operation": fields}]}


ALICE = "cluster.local/ns/a/sa/alice"
IP4, IP6 = "10.77.0.2/32", "fd77::2/128"  # of alice, the first pod
A, B = {("alice", HTTP), ("alice", TCP)}, {("bob", HTTP), ("bob", TCP)}
ALL, NOBODY = A | B, set()
ON_HTTP, ON_TCP = {("alice", HTTP), ("bob", HTTP)}, {("alice", TCP), ("bob", TCP)}

# name: (policies, who may call what; a pair where IPv4 and IPv6 differ)
CASES = {
    "none": ([], ALL),
    "principal": ([policy([source(principals=[ALICE])])], A),
    "principal-prefix": ([policy([source(principals=["cluster.local/ns/a/*"])])], A),
    "principal-suffix": ([policy([source(principals=["*/sa/bob"])])], B),
    "principal-any": ([policy([source(principals=["*"])])], ALL),
    "principal-other": ([policy([source(principals=["cluster.local/ns/b/sa/alice"])])], NOBODY),
    "not-principal": ([policy([source(notPrincipals=[ALICE])])], B),
    "deny-principal": ([policy([source(principals=[ALICE])], "DENY")], B),
    "deny-not-principal": ([policy([source(notPrincipals=[ALICE])], "DENY")], A),
    "namespace": ([policy([source(namespaces=["a"])])], A),
    "not-namespace": ([policy([source(notNamespaces=["a"])])], B),
    "deny-namespace": ([policy([source(namespaces=["a", "c"])], "DENY")], B),
    "deny-not-namespace": ([policy([source(notNamespaces=["a"])], "DENY")], A),
    "account": ([policy([source(serviceAccounts=["a/alice"])])], A),
    "account-of-own-namespace": ([policy([source(serviceAccounts=["alice"])])], NOBODY),
    "not-account": ([policy([source(notServiceAccounts=["a/alice"])])], B),
    "deny-account": ([policy([source(serviceAccounts=["a/alice"])], "DENY")], B),
    "deny-not-account": ([policy([source(notServiceAccounts=["a/alice"])], "DENY")], A),
    "ip": ([policy([source(ipBlocks=[IP4, IP6])])], A),
    "ip4-only": ([policy([source(ipBlocks=[IP4])])], (A, NOBODY)),
    "ip6-only": ([policy([source(ipBlocks=[IP6])])], (NOBODY, A)),
    "ip-ranges": ([policy([source(ipBlocks=["10.77.0.0/16", "fd77::/64"])])], ALL),
    "not-ip": ([policy([source(notIpBlocks=[IP4, IP6])])], B),
    "deny-ip": ([policy([source(ipBlocks=[IP4, IP6])], "DENY")], B),
    "deny-ip4": ([policy([source(ipBlocks=[IP4])], "DENY")], (B, ALL)),
    "deny-not-ip": ([policy([source(notIpBlocks=[IP4, IP6])], "DENY")], A),
    "port": ([policy([ports(ports=[str(HTTP)])])], ON_HTTP),
    "not-port": ([policy([ports(notPorts=[str(HTTP)])])], ON_TCP),
    "deny-port": ([policy([ports(ports=[str(TCP)])], "DENY")], ON_HTTP),
    "deny-not-port": ([policy([ports(notPorts=[str(TCP)])], "DENY")], ON_TCP),
    "source-and-port": ([policy([{**source(principals=[ALICE]), **ports(ports=[str(TCP)])}])], {("alice", TCP)}),
    "two-fields": ([policy([source(namespaces=["a"], ipBlocks=["10.77.0.3/32", "fd77::3/128"])])], NOBODY),
    "two-sources": ([policy([{"from": [{"source": {"namespaces": ["a"]}}, {"source": {"namespaces": ["b"]}}]}])], ALL),
    "two-rules": ([policy([{**source(namespaces=["a"]), **ports(ports=[str(HTTP)])},
                           {**source(namespaces=["b"]), **ports(ports=[str(TCP)])}])], {("alice", HTTP), ("bob", TCP)}),
    "empty-allow": ([policy([])], NOBODY),
    "allow-all": ([policy([{}])], ALL),
    "deny-all": ([policy([{}], "DENY")], NOBODY),
    "deny-wins": ([policy([{}], name="yes"), policy([source(namespaces=["a"])], "DENY", name="no")], B),
    "either-allows": ([policy([source(namespaces=["a"])], name="one"),
                       policy([source(namespaces=["b"])], name="two")], ALL),
    "either-denies": ([policy([source(namespaces=["a"])], "DENY", name="one"),
                       policy([source(namespaces=["b"])], "DENY", name="two")], NOBODY),
    "other-workload": ([policy([{}], "DENY", selector={"matchLabels": {"app": "db"}})], ALL),
    "this-workload": ([policy([{}], "DENY", selector={"matchLabels": {"app": "web"}})], NOBODY),
    "other-namespace": ([policy([{}], "DENY", ns="a")], ALL),
    "mesh-wide": ([policy([source(namespaces=["a"])], "DENY", ns="weft-system")], B),
}


@pytest.mark.parametrize("case", CASES)
def test_case(shop, case):
    policies, expected = CASES[case]
    shop.apply(*policies)
    for family in (4, 6):
        want = expected[family // 2 - 2] if isinstance(expected, tuple) else expected
        got = {(name, port) for name, port in ALL if shop.may(name, port, family)}
        assert got == want, f"IPv{family}"


def test_refusals_name_the_rule(shop, family):
    shop.apply(policy([source(namespaces=["c"]), source(principals=[ALICE])], "DENY", name="no-alice"))
    for port in (HTTP, TCP):
        assert not shop.may("alice", port, family)
        assert shop.event["policy"] == "shop/no-alice rule 1" and shop.event["source_identity"] == shop.alice.spiffe_id
    shop.apply(policy([source(namespaces=["c"])], name="only-c"))
    for port in (HTTP, TCP):
        assert not shop.may("bob", port, family)
        assert "no ALLOW rule matches" in shop.event["policy"]
    assert shop.web.metric("weft_requests_total", direction="inbound", code="403", reason="RBAC") >= 2
    assert shop.web.metric("weft_connections_refused_total", direction="inbound", reason="RBAC") >= 2


def test_change_meets_open_connections(shop, family):
    """Who is denied now is cut off, whoever is not goes on over the same connection."""
    shop.apply()
    ip = shop.web.ip(family)
    a, b = connect(shop.alice, ip, TCP), connect(shop.bob, ip, TCP)
    kept = {n: connect(p, ip, HTTP) for n, p in shop.callers.items()}
    for s in (a, b):
        assert s.recv(100) == BANNER
    for s in kept.values():
        s.sendall(GET)
        assert read_response(s)[0] == 200
    shop.apply(policy([source(namespaces=["a"])], "DENY", name="later"))
    assert read_all(a) == (b"", "reset")
    event = wait_for("its event", lambda: [e for e in shop.web.log() if e.get("reason") == "policy_changed"])[-1]
    assert event["source_identity"] == shop.alice.spiffe_id and "shop/later rule 0" in str(event)
    b.sendall(b"still here")
    assert b.recv(100) == b"still here"
    for name, status in (("alice", 403), ("bob", 200)):
        kept[name].sendall(GET)
        assert read_response(kept[name])[0] == status, name
    shop.apply()
    kept["alice"].sendall(GET)
    assert read_response(kept["alice"])[0] == 200
    for s in (a, b, *kept.values()):
        s.close()


BROKEN = policy([{"from": [{"source": {"principals": ["spiffe://cluster.local/ns/a/sa/alice"]}}]}], name="typo")


def test_broken_policy_is_not_compiled(shop):
    shop.apply()
    before = open(shop.web.state, "rb").read()
    shop.mesh.apply(BROKEN)
    try:
        with pytest.raises(WeftError) as e:
            shop.web.compile()
    finally:
        shop.mesh.delete("AuthorizationPolicy", "typo", "shop")
    text = str(e.value)
    assert "AuthorizationPolicy" in text and "typo" in text and "principals" in text and "without spiffe://" in text
    assert open(shop.web.state, "rb").read() == before and not os.path.exists(shop.web.state + ".new")
    for family in (4, 6):
        assert shop.may("alice", HTTP, family)


def test_broken_policy_fails_closed(shop):
    """--fail-closed: what cannot be read denies what it selects, and says so."""
    shop.mesh.apply(BROKEN)
    try:
        shop.compile("--fail-closed")
        for family in (4, 6):
            for name, port in sorted(ALL):
                assert not shop.may(name, port, family)
                assert shop.event["policy"] == "shop/typo"
        other = {**BROKEN, "spec": {**BROKEN["spec"], "selector": {"matchLabels": {"app": "db"}}}}
        shop.mesh.apply(other)
        shop.compile("--fail-closed")
        for family in (4, 6):
            assert all(shop.may(name, port, family) for name, port in ALL)
    finally:
        shop.mesh.delete("AuthorizationPolicy", "typo", "shop")
    shop.apply()


def test_denied_raw_bytes_reach_nobody(shop, family):
    shop.apply(policy([source(namespaces=["a"])], "DENY"))
    shop.apps[1].forget()
    data, how = attempt(shop.alice, shop.web.ip(family), TCP, b"\x00drop table" * 100)
    assert data == b"" and how in ("reset", "eof")
    assert shop.apps[1].bytes() == b""
    shop.apply()
