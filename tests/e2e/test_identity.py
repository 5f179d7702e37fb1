"""Who may talk: every flaw of a certificate is refused with its own reason, at the server and at the
client, and who is refused causes no connection to the application and sees no banner. The other peer is
OpenSSL each time."""

import pytest

from conftest import make_mesh, url
from weftnet import wait_for
from weftnet.inside import App, attempt
from weftnet.mtls import make_leaf, make_root

ID = "spiffe://cluster.local/ns/default/sa/mallory"
BANNER = b"220 welcome to the application\r\n"

# option of `weft cert leaf --broken` -> reason of the refusal
FLAWS = {
    "expired": "cert_expired",
    "not-yet-valid": "cert_not_yet_valid",
    "no-san": "cert_no_spiffe_id",
    "dns-only": "cert_no_spiffe_id",
    "two-sans": "cert_two_uri_sans",
    "bad-id": "cert_bad_spiffe_id",
    "foreign-id": "cert_unknown_trust_domain",
    "ca-leaf": "cert_ca_as_leaf",
    "cert-sign": "cert_key_usage",
    "no-digital-signature": "cert_key_usage",
    "wrong-eku": "cert_key_usage",
    "bad-signature": "cert_untrusted",
    "p384": "cert_algorithm",
}
TEXT = {
    "cert_expired": "the certificate has expired",
    "cert_not_yet_valid": "the certificate is not valid yet",
    "cert_no_spiffe_id": "the leaf has no URI SAN",
    "cert_two_uri_sans": "the leaf has more than one URI SAN",
    "cert_bad_spiffe_id": "the URI SAN is not a valid SPIFFE ID",
    "cert_unknown_trust_domain": "no bundle for the trust domain of the leaf",
    "cert_ca_as_leaf": "a CA certificate is used as a leaf",
    "cert_key_usage": "the key usage does not fit an X.509-SVID",
    "cert_untrusted": "the chain does not lead to a root of its trust domain",
    "cert_algorithm": "the key or signature algorithm is not permitted",
    "cert_wrong_identity": "the peer is someone else than expected",
    "cert_wrong_pod": "the certificate belongs to another pod than expected",
    "cert_missing": "the peer sent no certificate",
}


def greet(conn):
    """Speaks first, answers once, hangs up."""
    conn.send(BANNER)
    conn.send(b"you said " + conn.until(b"\n"))


class Lab:
    """A server behind its sidecar, a client behind its own, a stranger with stolen or forged leaves, and
    a pod that should have a sidecar and has an impostor instead."""

    def __init__(self, mesh):
        self.mesh = mesh
        self.client = mesh.pod("client")
        self.web = mesh.pod("web", ports=[("tcp", 8080)])
        self.stranger = mesh.pod("stranger", meshed=False)
        self.impostor = mesh.pod("impostor")
        self.app = App(self.web, 8080, greet)
        self.client.start_sidecar()
        self.web.start_sidecar("--handshake-timeout", "2s")
        self.other_domain = make_root(mesh, "ca-other", "other.example")
        self.same_domain = make_root(mesh, "ca-same", "cluster.local")
        self.ports = iter(range(9000, 9999))

    def leaf(self, name, *flags, spiffe_id=ID, **kw):
        return make_leaf(self.mesh, name, spiffe_id, *flags, **kw)

    def s_client(self, family, *flags, leaf=None, alpn="weft/tcp", version="-tls1_3"):
        """openssl s_client from the stranger to the server's port; what the server's application said."""
        cert = ["-cert", leaf + ".pem", "-key", leaf + "-key.pem"] if leaf else []
        ip = self.web.ip(family)
        host = f"[{ip}]" if family == 6 else ip
        with_alpn = ["-alpn", alpn] if alpn else []
        return self.stranger.exec("openssl", "s_client", "-connect", f"{host}:8080", version, *with_alpn, *cert,
                                  *flags, "-quiet", "-ign_eof", check=False, uid=0, input="bye\n", timeout=20)

    def refused_with(self, reason, fn):
        """Runs fn, which must cause one refusal at the server, with this reason in metric and log."""
        before = self.web.metric("weft_connections_refused_total", direction="inbound", reason=reason)
        apps, seen = len(self.app.conns), len(self.web.log())
        done = fn()
        wait_for(f"refusal {reason}", lambda: self.web.metric(
            "weft_connections_refused_total", direction="inbound", reason=reason) == before + 1)
        event = wait_for("its event", lambda: [e for e in self.web.log()[seen:]
                                               if e.get("msg") == "connection refused"])[-1]
        assert event["reason"] == reason, event
        assert len(self.app.conns) == apps, "the application heard of it"
        return done, event


@pytest.fixture(scope="module")
def lab():
    with make_mesh() as m:
        lab = Lab(m)
        yield lab
        lab.app.close()


def identity_for(flaw, spiffe_id):
    return spiffe_id.replace("cluster.local", "other.example") if flaw == "foreign-id" else spiffe_id


# -- at the server: who comes -----------------------------------------------------------------------------


def test_a_good_leaf_gets_in(lab, family):
    done = lab.s_client(family, leaf=lab.leaf("good"))
    assert "220 welcome" in done.stdout and "you said bye" in done.stdout


@pytest.mark.parametrize("flaw", FLAWS)
def test_broken_client_certificate(lab, family, flaw):
    reason = FLAWS[flaw]
    leaf = lab.leaf(flaw, "--broken", flaw, spiffe_id=identity_for(flaw, ID))
    done, event = lab.refused_with(reason, lambda: lab.s_client(family, leaf=leaf))
    assert "220" not in done.stdout
    assert TEXT[reason] in event["detail"]


def test_foreign_and_forged_roots(lab, family):
    foreign = lab.leaf("foreign", ca=lab.other_domain, spiffe_id=identity_for("foreign-id", ID))
    lab.refused_with("cert_unknown_trust_domain", lambda: lab.s_client(family, leaf=foreign))
    forged = lab.leaf("forged", ca=lab.same_domain)
    lab.refused_with("cert_untrusted", lambda: lab.s_client(family, leaf=forged))


def test_no_client_certificate(lab, family):
    lab.refused_with("cert_missing", lambda: lab.s_client(family))


def test_old_tls_versions(lab, family):
    leaf = lab.leaf("good")
    for version in ("-tls1_2", "-tls1_1", "-tls1"):
        done, event = lab.refused_with("handshake", lambda: lab.s_client(
            family, "-cipher", "DEFAULT:@SECLEVEL=0", leaf=leaf, version=version))
        assert "does not speak TLS 1.3" in event["detail"], (version, event)
        assert "alert protocol version" in done.stderr, (version, done.stderr)


def test_alpn(lab, family):
    leaf = lab.leaf("good")
    done, event = lab.refused_with("handshake", lambda: lab.s_client(family, leaf=leaf, alpn="weft/unheard-of"))
    assert "no ALPN protocol in common" in event["detail"]
    for alpn in ("h2", "http/1.1", "wef/tcp", None):  # the application's own TLS: plaintext to a STRICT port
        lab.refused_with("plaintext", lambda: lab.s_client(family, leaf=leaf, alpn=alpn))


def test_plaintext_to_strict(lab, family):
    ip = lab.web.ip(family)
    for payload in (b"GET / HTTP/1.1\r\nHost: web\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                    b"\x00\x01\x02 binary", b"\x16\x03\x01\x00\x05hello"):
        (data, how), _ = lab.refused_with("plaintext", lambda: attempt(lab.stranger, ip, 8080, payload))
        assert data == b"" and how in ("reset", "eof"), payload


def test_a_silent_client_hears_nothing(lab, family):
    """The server speaks first and must not be reached by one who does not say who he is."""
    apps = len(lab.app.conns)
    data, how = attempt(lab.stranger, lab.web.ip(family), 8080)
    assert data == b"" and how in ("eof", "reset")
    assert len(lab.app.conns) == apps


# -- at the client: who answers ---------------------------------------------------------------------------


def impostor(lab, name, *flags, alpn="weft/h2,weft/h2-h1,weft/tcp", **kw):
    """openssl s_server in the pod of the impostor; its port."""
    port = next(lab.ports)
    leaf = lab.leaf("server-" + name, *kw.pop("flaw", ()), spiffe_id=kw.pop("spiffe_id", lab.impostor.spiffe_id),
                    uid=kw.pop("uid", lab.impostor.uid), **kw)
    with_alpn = ["-alpn", alpn] if alpn else []
    lab.impostor.spawn(f"s_server-{port}", "openssl", "s_server", "-accept", str(port), "-cert", leaf + ".pem", "-key",
                       leaf + "-key.pem", *with_alpn, "-verify", "5", "-quiet", *flags, uid=0)
    lab.impostor.wait_port(port)
    return port


def call_fails(lab, family, port, text):
    """The client's call gets a 503 that names the reason, and its log the verdict."""
    seen = len(lab.client.log())
    done = lab.client.exec("curl", "-sS", "-m", "10", "-i", url(lab.impostor.ip(family), port), check=False)
    assert "HTTP/1.1 503" in done.stdout and "x-weft-reason: UF" in done.stdout, done.stdout + done.stderr
    event = wait_for("the access log", lambda: [e for e in lab.client.log()[seen:] if e.get("room") == "access"])[-1]
    assert event["reason"] == "UF" and text in event["detail"], event


@pytest.mark.parametrize("flaw", FLAWS)
def test_broken_server_certificate(lab, flaw):
    port = impostor(lab, flaw, flaw=("--broken", flaw), spiffe_id=identity_for(flaw, lab.impostor.spiffe_id))
    for family in (4, 6):
        call_fails(lab, family, port, TEXT[FLAWS[flaw]])


SERVERS = {
    "someone-else": (TEXT["cert_wrong_identity"], {"spiffe_id": ID}),
    "other-namespace": (TEXT["cert_wrong_identity"], {"spiffe_id": "spiffe://cluster.local/ns/other/sa/impostor"}),
    "other-pod": (TEXT["cert_wrong_pod"], {"uid": "00000000-0000-4000-8000-00000000dead"}),
    "no-pod": (TEXT["cert_wrong_pod"], {"uid": None}),
    "no-alpn": ("ALPN", {"alpn": None}),
    "other-alpn": ("no_application_protocol", {"alpn": "h2"}),
}


@pytest.mark.parametrize("name", SERVERS)
def test_wrong_server(lab, name):
    text, kw = SERVERS[name]
    port = impostor(lab, name, **kw)
    for family in (4, 6):
        call_fails(lab, family, port, text)


def test_server_of_another_root(lab):
    foreign = identity_for("foreign-id", lab.impostor.spiffe_id)
    port = impostor(lab, "foreign", ca=lab.other_domain, spiffe_id=foreign)
    forged = impostor(lab, "forged", ca=lab.same_domain)
    for family in (4, 6):
        call_fails(lab, family, port, TEXT["cert_unknown_trust_domain"])
        call_fails(lab, family, forged, TEXT["cert_untrusted"])


def test_server_of_an_old_version(lab):
    port = impostor(lab, "tls12", "-tls1_2")
    for family in (4, 6):
        call_fails(lab, family, port, "refused the handshake: alert protocol_version")


def test_no_downgrade(lab):
    """A meshed endpoint that answers in plaintext gets a ClientHello and nothing else."""
    port = next(lab.ports)
    def answer(conn):
        conn.recv()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    with App(lab.impostor, port, answer) as app:
        for family in (4, 6):
            call_fails(lab, family, port, "TLS handshake")
            (data, how) = attempt(lab.client, lab.impostor.ip(family), port, b"\x00secret of the client")
            assert data == b"" and how in ("reset", "eof")
        assert all(c.data[:1] == b"\x16" for c in app.conns if c.data) and app.conns
        assert b"GET" not in app.bytes() and b"secret" not in app.bytes()
