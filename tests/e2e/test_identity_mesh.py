"""Broken identities between two real sidecars, through capture: a sidecar that was given a flawed leaf is
refused by every other one, as a client and as a server, with the flaw's own reason."""

import pytest

from conftest import make_mesh, url
from test_identity import FLAWS, TEXT, identity_for
from weftnet import wait_for
from weftnet.inside import App, attempt, http1
from weftnet.mtls import make_leaf, make_root

# A server's TLS does not even present a leaf that is not for it.
UNPRESENTABLE = {"no-digital-signature", "wrong-eku"}
# A sidecar does not come up with these: the state is refused at home.
AT_HOME = {"expired": "the leaf expired", "p384": "a P-256 key is needed"}


class Pair:
    """Two meshed pods with an application each; the second one's identity is spoilt by tests."""

    def __init__(self, mesh):
        self.mesh = mesh
        self.good, self.flawed = mesh.pod("good"), mesh.pod("flawed")
        self.apps = {p.name: App(p, 8080, http1()) for p in (self.good, self.flawed)}
        mesh.start()

    def give_leaf(self, name, *flags, **kw):
        """The flawed pod's sidecar takes up another leaf. The good one gets a fresh one too, so that neither
        goes on with connections of before."""
        kw.setdefault("spiffe_id", self.flawed.spiffe_id)
        kw.setdefault("uid", self.flawed.uid)
        leaf = make_leaf(self.mesh, name, kw.pop("spiffe_id"), *flags, **kw)
        in_force = [(p, p.sidecar.text().count("configuration in force")) for p in (self.flawed, self.good)]
        self.flawed.compile("--leaf", leaf)
        self.good.compile()
        wait_for("the new leaves", lambda: all(
            p.sidecar.text().count("configuration in force") > n for p, n in in_force))

    def get(self, source, dest, family):
        return source.exec("curl", "-sS", "-m", "10", "-i", url(dest.ip(family), 8080), check=False).stdout

    def both_ways_refused(self, family, reason, text=None):
        """The flawed one calls: refused there with the reason. It is called: given up with the text."""
        before = self.good.metric("weft_connections_refused_total", direction="inbound", reason=reason)
        seen, calling = len(self.good.log()), len(self.apps["good"].conns)
        out = self.get(self.flawed, self.good, family)
        assert "HTTP/1.1 503" in out and "x-weft-reason: UF" in out, out
        assert attempt(self.flawed, self.good.ip(family), 8080, b"\x00raw")[0] == b""
        wait_for("the refusals", lambda: self.good.metric(
            "weft_connections_refused_total", direction="inbound", reason=reason) >= before + 2)
        # A handshake that the caller gave up (its client turned out to speak HTTP) is no refusal.
        events = [e for e in self.good.log()[seen:] if e.get("msg") == "connection refused"
                  and "connection reset" not in e["detail"]]
        assert events and all(e["reason"] == reason and TEXT[reason] in e["detail"] for e in events), events
        assert len(self.apps["good"].conns) == calling
        seen, calling = len(self.good.log()), len(self.apps["flawed"].conns)
        out = self.get(self.good, self.flawed, family)
        assert "HTTP/1.1 503" in out and "x-weft-reason: UF" in out, out
        events = wait_for("the call's event", lambda: [e for e in self.good.log()[seen:] if e.get("room") == "access"])
        assert (text or TEXT[reason]) in events[-1]["detail"], events[-1]
        assert len(self.apps["flawed"].conns) == calling


@pytest.fixture(scope="module")
def pair():
    with make_mesh() as m:
        p = Pair(m)
        yield p
        for app in p.apps.values():
            app.close()


def test_good_ones_talk(pair, family):
    assert "HTTP/1.1 200" in pair.get(pair.flawed, pair.good, family)
    assert "HTTP/1.1 200" in pair.get(pair.good, pair.flawed, family)


@pytest.mark.parametrize("flaw", [f for f in FLAWS if f not in AT_HOME])
def test_flawed_leaf(pair, flaw):
    pair.give_leaf(flaw, "--broken", flaw, spiffe_id=identity_for(flaw, pair.flawed.spiffe_id))
    for family in (4, 6):
        pair.both_ways_refused(family, FLAWS[flaw], "alert handshake_failure" if flaw in UNPRESENTABLE else None)


def test_wrong_root(pair):
    foreign = make_root(pair.mesh, "ca-foreign", "other.example")
    forged = make_root(pair.mesh, "ca-forged", "cluster.local")
    pair.give_leaf("foreign", ca=foreign, spiffe_id=identity_for("foreign-id", pair.flawed.spiffe_id))
    for family in (4, 6):
        pair.both_ways_refused(family, "cert_unknown_trust_domain")
    pair.give_leaf("forged", ca=forged)
    for family in (4, 6):
        pair.both_ways_refused(family, "cert_untrusted")


@pytest.mark.parametrize("what", ["someone-else", "another-pod"])
def test_good_leaf_of_somebody_else(pair, what):
    """As a client it may come, under the name that the leaf says; as a server it is not who was called."""
    other = what == "someone-else"
    pair.give_leaf(what, **({"spiffe_id": "spiffe://cluster.local/ns/default/sa/else"} if other else
                            {"uid": "00000000-0000-4000-8000-00000000dead"}))
    text = TEXT["cert_wrong_identity" if other else "cert_wrong_pod"]
    for family in (4, 6):
        seen, calling = len(pair.good.log()), len(pair.apps["flawed"].conns)
        out = pair.get(pair.good, pair.flawed, family)
        assert "HTTP/1.1 503" in out and "x-weft-reason: UF" in out, out
        events = wait_for("the call's event", lambda: [e for e in pair.good.log()[seen:] if e.get("room") == "access"])
        assert text in events[-1]["detail"], events[-1]
        assert len(pair.apps["flawed"].conns) == calling


@pytest.mark.parametrize("flaw", AT_HOME)
def test_refused_at_home(pair, flaw):
    """The last good state stays in force when such a leaf comes, and compile or the log says why."""
    pair.give_leaf("good")
    leaf = make_leaf(pair.mesh, flaw, pair.flawed.spiffe_id, "--broken", flaw, uid=pair.flawed.uid)
    if flaw == "p384":
        with pytest.raises(Exception, match=AT_HOME[flaw]):
            pair.flawed.compile("--leaf", leaf)
    else:
        before = pair.flawed.metric("weft_state_refused_total")
        pair.flawed.compile("--leaf", leaf)
        wait_for("the refusal", lambda: pair.flawed.metric("weft_state_refused_total") == before + 1)
        assert AT_HOME[flaw] in pair.flawed.sidecar.text()
    assert "HTTP/1.1 200" in pair.get(pair.flawed, pair.good, 4)
