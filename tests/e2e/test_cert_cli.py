"""`weft cert` from the outside: OpenSSL judges what it makes, and it judges what OpenSSL makes."""

import json
import os
import pathlib
import re
import stat
import subprocess

import pytest

WEFT = os.path.abspath(os.path.join(os.environ.get("WEFT_BUILD", "build/release"), "weft"))
ID = "spiffe://example.org/ns/shop/sa/web"
POD_UID_OID = "1.2.840.113556.1.8000.2554.27121.13094.39290.17634.40930.12615698.10800400"

# option of --broken -> label of the verdict
BROKEN = {
    "expired": "cert_expired",
    "not-yet-valid": "cert_not_yet_valid",
    "no-san": "cert_no_spiffe_id",
    "dns-only": "cert_no_spiffe_id",
    "two-sans": "cert_two_uri_sans",
    "bad-id": "cert_bad_spiffe_id",
    "ca-leaf": "cert_ca_as_leaf",
    "cert-sign": "cert_key_usage",
    "no-digital-signature": "cert_key_usage",
    "wrong-eku": "cert_key_usage",
    "bad-signature": "cert_untrusted",
    "p384": "cert_algorithm",
}


def run(*words, code=0):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def weft(*words, code=0):
    return run(WEFT, *words, code=code)


def openssl(*words, code=0):
    return run("openssl", *words, code=code)


def verdict(path, *flags):
    done = subprocess.run(
        [WEFT, "cert", "verify", "-o", "json", "--bundle", "ca/root.pem", *flags, path],
        capture_output=True, text=True, check=False)
    answer = json.loads(done.stdout)
    assert done.returncode == (0 if answer["good"] else 1)
    return answer["verdict"]


def show(path):
    return json.loads(weft("cert", "show", "-o", "json", path).stdout)


@pytest.fixture(autouse=True, name="folder")
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(name="ca")
def make_ca(folder):
    """A root in ca/ of the test's own folder, where everything is relative to."""
    del folder
    weft("cert", "root", "--trust-domain", "example.org", "--out", "ca")
    return pathlib.Path(".")


def make_leaf(out="web", ca="ca", *flags, spiffe_id=ID):
    weft("cert", "leaf", "--ca", ca, "--id", spiffe_id, "--out", out, *flags)
    return out + ".pem"


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_root_as_openssl_sees_it(ca):
    text = openssl("x509", "-in", "ca/root.pem", "-noout", "-text").stdout
    assert "CA:TRUE" in text and "Certificate Sign, CRL Sign" in text
    assert "URI:spiffe://example.org\n" in text
    assert "ecdsa-with-SHA256" in text and "prime256v1" in text
    openssl("verify", "-x509_strict", "-CAfile", "ca/root.pem", "ca/root.pem")
    assert mode(ca / "ca/root-key.pem") == 0o600
    assert mode(ca / "ca") == 0o700


def test_leaf_as_openssl_sees_it(ca):
    leaf = make_leaf("web", "ca", "--pod-uid", "uid-1", "--ttl", "2h", "--backdate", "5m")
    text = openssl("x509", "-in", leaf, "-noout", "-text").stdout
    assert re.search(r"Subject:\s*\n", text)
    assert re.search(r"Subject Alternative Name: critical\s+URI:" + re.escape(ID) + r"\n", text)
    assert re.search(r"Key Usage: critical\s+Digital Signature\n", text)
    assert "TLS Web Server Authentication, TLS Web Client Authentication" in text
    assert POD_UID_OID in text and "uid-1" in text
    for purpose in ("sslserver", "sslclient"):
        openssl("verify", "-x509_strict", "-purpose", purpose, "-CAfile", "ca/root.pem", leaf)
    public = openssl("x509", "-in", leaf, "-noout", "-pubkey").stdout
    assert openssl("pkey", "-in", "web-key.pem", "-pubout").stdout == public
    assert "BEGIN PRIVATE KEY" in (ca / "web-key.pem").read_text()
    assert mode(ca / "web-key.pem") == 0o600
    openssl("x509", "-in", leaf, "-noout", "-checkend", "7100")
    openssl("x509", "-in", leaf, "-noout", "-checkend", "7300", code=1)


def test_serials_are_positive_and_differ(ca):
    serials = set()
    for i in range(8):
        leaf = make_leaf(f"leaf{i}")
        serial = openssl("x509", "-in", leaf, "-noout", "-serial").stdout.strip().split("=")[1]
        assert not serial.startswith("-") and 26 <= len(serial) <= 32
        assert int(serial, 16) == int(show(leaf)["certificates"][0]["serial"], 16)
        serials.add(serial)
    assert len(serials) == 8


def test_intermediates(ca):
    weft("cert", "intermediate", "--ca", "ca", "--out", "one")
    weft("cert", "intermediate", "--ca", "one", "--out", "two", "--days", "1")
    leaf = make_leaf("web", "two", "--ttl", "72h")
    facts = show(leaf)["certificates"]
    assert [c["kind"] for c in facts] == ["leaf", "intermediate CA", "intermediate CA"]
    assert facts[0]["notAfter"] == facts[1]["notAfter"], "a leaf ends with its CA at the latest"
    assert verdict(leaf) == "good"
    openssl("verify", "-x509_strict", "-CAfile", "ca/root.pem", "-untrusted", leaf, leaf)
    assert (ca / "two/root.pem").read_text() == (ca / "ca/root.pem").read_text()


def test_data_directory_of_a_control_plane(ca):
    """There the key is called root.key."""
    (ca / "ca/root-key.pem").rename(ca / "ca/root.key")
    assert verdict(make_leaf()) == "good"
    (ca / "ca/root.key").unlink()
    assert "ca/root-key.pem" in weft("cert", "leaf", "--ca", "ca", "--id", ID, "--out", "none", code=1).stderr


def test_what_a_leaf_shows(ca):
    leaf = make_leaf("web", "ca", "--pod-uid", "uid-1")
    facts = show(leaf)["certificates"][0]
    assert facts["spiffeId"] == ID and facts["uris"] == [ID] and facts["podUid"] == "uid-1"
    assert facts["issuer"].startswith("O=example.org, CN=weft root ")
    assert facts["key"] == "P-256" and not facts["ca"]
    fingerprint = openssl("x509", "-in", leaf, "-noout", "-fingerprint", "-sha256").stdout
    assert facts["sha256"] == fingerprint.split("=")[1].strip().replace(":", "").lower()
    text = weft("cert", "show", leaf).stdout
    assert ID in text and "uid-1" in text and "valid" in text


def test_names_cannot_steer_a_terminal(ca):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", "k.pem", "-out", "odd.pem", "-subj", "/CN=a\x1b[31m,O\\=b",
            "-addext", "subjectAltName=URI:spiffe://x/\x1b[2J")
    text = weft("cert", "show", "odd.pem").stdout
    assert "\x1b" not in text and "\\x1b[2J" in text
    assert json.loads(weft("cert", "show", "-o", "json", "odd.pem").stdout)


@pytest.mark.parametrize("broken", BROKEN)
def test_each_flaw_is_refused_by_name(ca, broken):
    leaf = make_leaf("bad", "ca", "--broken", broken)
    assert verdict(leaf) == BROKEN[broken]
    public = openssl("x509", "-in", leaf, "-noout", "-pubkey").stdout
    assert openssl("pkey", "-in", "bad-key.pem", "-pubout").stdout == public


def test_every_flaw_is_tested(ca):
    done = weft("cert", "leaf", "--ca", "ca", "--id", ID, "--out", "x", "--broken", "no", code=2)
    listed = re.search(r"one of (.*?)(;|$)", done.stderr, re.MULTILINE).group(1).replace(" ", "")
    assert set(listed.split(",")) == set(BROKEN) | {"none", "foreign-id"}


def test_openssl_agrees_on_flaws(ca):
    for broken, words in (("expired", "certificate has expired"),
                          ("not-yet-valid", "not yet valid"),
                          ("bad-signature", "signature failure")):
        leaf = make_leaf(broken, "ca", "--broken", broken)
        assert words in openssl("verify", "-CAfile", "ca/root.pem", leaf, code=2).stderr


def test_a_ca_vouches_for_its_own_domain_alone(ca):
    weft("cert", "root", "--trust-domain", "evil.org", "--out", "evil")
    done = weft("cert", "leaf", "--ca", "evil", "--id", ID, "--out", "x", code=1)
    assert "another trust domain" in done.stderr and not (ca / "x.pem").exists()
    forged = make_leaf("forged", "evil", "--broken", "foreign-id")
    assert verdict(forged) == "cert_untrusted"
    honest = make_leaf("honest", "evil", spiffe_id="spiffe://evil.org/a")
    assert verdict(honest) == "cert_unknown_trust_domain"
    both = (ca / "ca/root.pem").read_text() + (ca / "evil/root.pem").read_text()
    (ca / "both.pem").write_text(both)
    done = weft("cert", "verify", "--bundle", "both.pem", forged, code=1)
    assert "several trust domains" in done.stderr
    done = weft("cert", "verify", "--bundle", "both.pem", "--trust-domain", "example.org", forged,
                code=1)
    assert "not all of it are roots of example.org" in done.stderr


def test_rotation_overlap(ca):
    weft("cert", "root", "--trust-domain", "example.org", "--out", "new")
    old_leaf, new_leaf = make_leaf("old"), make_leaf("newer", "new")
    both = (ca / "ca/root.pem").read_text() + (ca / "new/root.pem").read_text()
    (ca / "both.pem").write_text(both)
    assert verdict(new_leaf) == "cert_untrusted"
    for leaf in (old_leaf, new_leaf):
        weft("cert", "verify", "--bundle", "both.pem", leaf)


def test_expectations(ca):
    leaf = make_leaf("web", "ca", "--pod-uid", "uid-1")
    assert verdict(leaf, "--expect-id", ID, "--expect-uid", "uid-1") == "good"
    assert verdict(leaf, "--expect-id", ID + "x") == "cert_wrong_identity"
    assert verdict(leaf, "--expect-uid", "uid-2") == "cert_wrong_pod"
    assert verdict(make_leaf("plain"), "--expect-uid", "uid-1") == "cert_wrong_pod"
    done = weft("cert", "verify", "--bundle", "ca/root.pem", "--expect-id", "web", leaf, code=2)
    assert "--expect-id" in done.stderr


def test_request_of_ours(ca):
    weft("cert", "csr", "--id", ID, "--out", "web")
    done = openssl("req", "-in", "web.csr", "-noout", "-text", "-verify")
    assert "verify OK" in done.stdout + done.stderr and f"URI:{ID}" in done.stdout
    assert show("web.csr")["request"] == {"spiffeId": ID, "uris": [ID], "names": 1, "key": "P-256"}
    weft("cert", "sign", "--ca", "ca", "--csr", "web.csr", "--id", ID, "--out", "web")
    assert verdict("web.pem", "--expect-id", ID) == "good"
    public = openssl("x509", "-in", "web.pem", "-noout", "-pubkey").stdout
    assert openssl("pkey", "-in", "web-key.pem", "-pubout").stdout == public
    before = (ca / "web-key.pem").read_text()
    weft("cert", "csr", "--id", ID, "--key", "web-key.pem", "--out", "again")
    assert not (ca / "again-key.pem").exists() and (ca / "web-key.pem").read_text() == before


def openssl_request(name, key, *flags):
    openssl("genpkey", *key, "-out", f"{name}.key")
    openssl("req", "-new", "-key", f"{name}.key", "-subj", "/CN=admin", *flags,
            "-out", f"{name}.csr")


P256 = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")


def test_request_of_openssl_gets_the_callers_identity(ca):
    openssl_request("r", P256, "-addext", "subjectAltName=DNS:a.b,URI:spiffe://example.org/admin",
                    "-addext", "basicConstraints=CA:TRUE", "-addext", "keyUsage=keyCertSign")
    weft("cert", "sign", "--ca", "ca", "--csr", "r.csr", "--id", ID, "--out", "r")
    facts = show("r.pem")["certificates"][0]
    assert facts["uris"] == [ID] and facts["names"] == 1
    assert not facts["ca"] and facts["subject"] == ""
    text = openssl("x509", "-in", "r.pem", "-noout", "-text").stdout
    assert "admin" not in text and "a.b" not in text and "CA:FALSE" in text
    assert verdict("r.pem") == "good"


@pytest.mark.parametrize("key", [
    ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
    ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
    ("-algorithm", "ED25519"),
], ids=["p384", "rsa", "ed25519"])
def test_request_for_another_key_is_refused(ca, key):
    openssl_request("r", key)
    done = weft("cert", "sign", "--ca", "ca", "--csr", "r.csr", "--id", ID, "--out", "r", code=1)
    assert "r.csr" in done.stderr and "P-256" in done.stderr and not (ca / "r.pem").exists()


def test_request_without_proof_is_refused(ca):
    openssl_request("r", P256, "-outform", "DER")
    request = bytearray((ca / "r.csr").read_bytes())
    request[-1] ^= 1
    (ca / "r.csr").write_bytes(request)
    done = weft("cert", "sign", "--ca", "ca", "--csr", "r.csr", "--id", ID, "--out", "r", code=1)
    assert "signature does not hold" in done.stderr


def test_ca_of_openssl(ca):
    """A CA of other origin, with a P-256 key and without SPIFFE ID, as `--ca` and as the bundle."""
    (ca / "corp").mkdir()
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", "corp/root-key.pem", "-out", "corp/root.pem",
            "-subj", "/C=DE/O=Corp, Ltd./CN=R",
            "-addext", "keyUsage=critical,keyCertSign", "-days", "2")
    leaf = make_leaf("web", "corp")
    openssl("verify", "-CAfile", "corp/root.pem", leaf)
    done = weft("cert", "verify", "--bundle", "corp/root.pem", leaf, code=1)
    assert "--trust-domain" in done.stderr
    weft("cert", "verify", "--bundle", "corp/root.pem", "--trust-domain", "example.org", leaf)
    assert show(leaf)["certificates"][0]["issuer"] == "C=DE, O=Corp\\, Ltd., CN=R"


def test_leaf_of_openssl(ca):
    """A leaf that OpenSSL issued, under a P-384 root of OpenSSL."""
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp384r1", "-nodes",
            "-sha384", "-keyout", "r.key", "-out", "r.pem", "-subj", "/CN=R", "-days", "2",
            "-addext", "keyUsage=critical,keyCertSign")
    openssl_request("l", P256)
    (ca / "ext").write_text("basicConstraints=critical,CA:FALSE\n"
                            "keyUsage=critical,digitalSignature\n"
                            f"subjectAltName=URI:{ID},DNS:web.shop\n")
    openssl("x509", "-req", "-in", "l.csr", "-CA", "r.pem", "-CAkey", "r.key", "-CAcreateserial",
            "-sha384", "-days", "1", "-extfile", "ext", "-out", "l.pem")
    weft("cert", "verify", "--bundle", "r.pem", "--trust-domain", "example.org", "--expect-id", ID,
         "l.pem")


@pytest.mark.parametrize("key", [("rsa:2048",), ("ed25519",)], ids=["rsa", "ed25519"])
def test_foreign_algorithms_are_named(ca, key):
    openssl("req", "-x509", "-newkey", *key, "-nodes", "-keyout", "k.pem", "-out", "x.pem",
            "-subj", "/CN=x", "-addext", "basicConstraints=critical,CA:FALSE",
            "-addext", "keyUsage=critical,digitalSignature",
            "-addext", f"subjectAltName=URI:{ID}")
    assert verdict("x.pem") == "cert_algorithm"
    assert show("x.pem")["certificates"][0]["key"] == "other"


def test_nothing_is_overwritten_unasked(ca):
    key = (ca / "ca/root-key.pem").read_text()
    done = weft("cert", "root", "--trust-domain", "example.org", "--out", "ca", code=1)
    assert "exists already" in done.stderr and "--force" in done.stderr
    assert (ca / "ca/root-key.pem").read_text() == key
    make_leaf()
    (ca / "web.pem").unlink()
    weft("cert", "leaf", "--ca", "ca", "--id", ID, "--out", "web", code=1)
    assert not (ca / "web.pem").exists(), "neither of a pair is written where one is there"
    weft("cert", "root", "--trust-domain", "example.org", "--out", "ca", "--force")
    assert (ca / "ca/root-key.pem").read_text() != key
    assert mode(ca / "ca/root-key.pem") == 0o600
    assert sorted(os.listdir(ca / "ca")) == ["root-key.pem", "root.pem"]


def test_a_symbolic_link_is_not_followed(ca):
    (ca / "target").write_text("precious")
    (ca / "web-key.pem").symlink_to("target")
    weft("cert", "leaf", "--ca", "ca", "--id", ID, "--out", "web", code=1)
    weft("cert", "leaf", "--ca", "ca", "--id", ID, "--out", "web", "--force")
    assert (ca / "target").read_text() == "precious" and not (ca / "web-key.pem").is_symlink()


MISUSE = [
    (("cert",), 2, "Commands"),
    (("cert", "lief"), 2, "did you mean leaf?"),
    (("crt",), 2, "did you mean cert?"),
    (("cert", "root"), 2, "--trust-domain is required"),
    (("cert", "root", "--trust-domain", "Example.org", "--out", "x"), 2, "lower-case"),
    (("cert", "root", "--trust-domain", "a", "--out", "x", "--days", "0"), 2, "--days=0"),
    (("cert", "leaf", "--ca", "ca", "--id", "web", "--out", "x"), 2, "does not begin with"),
    (("cert", "leaf", "--ca", "ca", "--id", "spiffe://example.org", "--out", "x"), 2, "no path"),
    (("cert", "leaf", "--ca", "ca", "--id", ID, "--out", "x", "--pod-uid", "a b"), 2, "--pod-uid"),
    (("cert", "leaf", "--ca", "ca", "--id", ID, "--out", "x", "--broken", "expird"), 2,
     "did you mean expired?"),
    (("cert", "leaf", "--ca", "none", "--id", ID, "--out", "x"), 1, "weft cert root"),
    (("cert", "leaf", "--ca", "ca", "--id", ID, "--out", "no/where"), 1, "no/where-key.pem"),
    (("cert", "intermediate", "--ca", "ca", "--out", "ca"), 2, "same directory"),
    (("cert", "show", "none.pem"), 1, "none.pem: No such file"),
    (("cert", "show", "/dev/null"), 1, "/dev/null"),
    (("cert", "show", "/dev/zero"), 1, "/dev/zero: File too large"),
    (("cert", "show"), 2, "word is missing"),
    (("cert", "show", "a", "b"), 2, "unexpected word b"),
    (("cert", "verify", "x.pem"), 2, "--bundle is required"),
    (("cert", "verify", "--bundle", "ca/root-key.pem", "ca/root.pem"), 1, "ca/root-key.pem"),
    (("cert", "csr", "--id", ID, "--out", "x", "--key", "ca/root.pem"), 1, "ca/root.pem"),
]


@pytest.mark.parametrize("words,code,text", MISUSE, ids=[" ".join(row[0]) for row in MISUSE])
def test_misuse_is_explained(ca, words, code, text):
    done = weft(*words, code=code)
    assert text in done.stderr and done.stdout == ""
    assert not (ca / "x.pem").exists()


COMMANDS = ["root", "intermediate", "leaf", "csr", "sign", "verify", "show"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(command):
    text = weft("cert", command, "--help").stdout
    assert "Usage" in text and "Examples" in text and f"weft cert {command} " in text
    assert weft("help", "cert", command).stdout == text
    assert weft("cert", "help", command).stdout == text


def test_help_and_version():
    text = weft("--help").stdout
    assert "cert" in text and "version" in text
    assert weft("help").stdout == text
    listed = weft("cert", "--help").stdout
    assert all(re.search(rf"^  {command} ", listed, re.MULTILINE) for command in COMMANDS)
    assert weft("version").stdout == weft("--version").stdout
    assert re.match(r"weft \d+\.\d+", weft("version").stdout)


def test_full_disk_is_an_error(ca):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([WEFT, "cert", "show", "ca/root.pem"], stdout=full,
                              stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1 and b"could not be written" in done.stderr
