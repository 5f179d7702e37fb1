"""`weft compile`, `check` and `show-state` from the outside: manifests in, a state file out, and
nothing written where something is wrong."""

import base64
import json
import os
import pathlib
import stat
import subprocess

import pytest

WEFT = os.path.abspath(os.path.join(os.environ.get("WEFT_BUILD", "build/release"), "weft"))

CONFIG = """---
apiVersion: mesh.weft.dev/v1alpha1
kind: MeshConfig
metadata: {name: mesh, namespace: weft-system}
spec: {trustDomain: example.org}
"""
PODS = """---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, uid: uid-web, labels: {app: web}}
spec:
  serviceAccountName: web
  containers: [{name: app, ports: [{name: http, containerPort: 8080}]}, {name: weft-sidecar}]
status: {podIP: 10.1.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: plain, namespace: shop}
spec: {containers: [{name: app}]}
status: {podIP: 10.1.0.2}
"""
SERVICE = """---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.2.0.1, selector: {app: web}, ports: [{port: 80, targetPort: http, name: http}]}
"""
POLICY = """---
apiVersion: mesh.weft.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec:
  rules:
  - from: [{source: {namespaces: [front]}}]
"""
BROKEN = """---
apiVersion: mesh.weft.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: broken, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  rules:
  - to: [{operation: {port: [80]}}]
"""
SAID = ("m/broken.yaml:8: AuthorizationPolicy shop/broken: spec.rules[0].to[0].operation.port: "
        "unknown field (did you mean ports?)\n")


def run(*words, code=0, stdin=None):
    done = subprocess.run(words, capture_output=True, text=True, check=False, input=stdin)
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def weft(*words, code=0, stdin=None):
    return run(WEFT, *words, code=code, stdin=stdin)


def compile_web(*flags, code=0, manifests="m", out="web.state"):
    return weft("compile", manifests, "--pod", "shop/web", "--ca", "ca", "--out", out, *flags,
                code=code)


def shown(path="web.state", code=0, flags=()):
    return json.loads(weft("show-state", "-o", "json", *flags, path, code=code).stdout)


def by_name(resources):
    return {r["name"]: r for r in resources}


@pytest.fixture(autouse=True, name="folder")
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weft("cert", "root", "--trust-domain", "example.org", "--out", "ca")
    (tmp_path / "m/more").mkdir(parents=True)
    (tmp_path / "m/mesh.yaml").write_text(CONFIG + PODS)
    (tmp_path / "m/more/service.yml").write_text(SERVICE)
    (tmp_path / "m/more/policy.yaml").write_text(POLICY)
    (tmp_path / "m/README.md").write_text("no: manifest: here\n")
    (tmp_path / "m/.hidden.yaml").write_text("[")
    return tmp_path


def test_round_trip(folder):
    done = compile_web()
    assert done.stderr == ""
    assert done.stdout.startswith("wrote web.state: Pod shop/web, UID uid-web, "
                                  "spiffe://example.org/ns/shop/sa/web until ")
    info = os.stat(folder / "web.state")
    assert stat.S_IMODE(info.st_mode) == 0o600
    state = shown()
    assert state["usable"] and state["trustDomain"] == "example.org"
    assert state["podUid"] == "uid-web" and state["key"] == "redacted"
    assert state["identity"]["spiffeId"] == "spiffe://example.org/ns/shop/sa/web"
    assert state["identity"]["podUid"] == "uid-web"
    required, used = by_name(state["required"]), by_name(state["used"])
    assert sorted(required) == ["AuthorizationPolicy/shop/web", "Mesh", "Revocations",
                                "TrustBundle/example.org", "Workload/shop/web"]
    assert sorted(used) == ["Pod/shop/plain", "Pod/shop/web", "Service/shop/web"]
    endpoint = used["Service/shop/web"]["service"]["endpoints"][0]
    assert endpoint["spiffeId"] == "spiffe://example.org/ns/shop/sa/web"
    assert endpoint["ports"] == [{"port": 8080, "protocol": "HTTP", "mtlsMode": "STRICT"}]
    assert not used["Pod/shop/plain"]["pod"]["endpoint"]["meshed"]
    assert all(len(r["hash"]) == 64 for r in state["required"] + state["used"])


def test_key_is_never_shown(folder):
    weft("cert", "leaf", "--ca", "ca", "--id", "spiffe://example.org/ns/shop/sa/web", "--out", "leaf")
    compile_web("--leaf", "leaf")
    scalar = run("openssl", "pkey", "-in", "leaf-key.pem", "-noout", "-text").stdout
    scalar = "".join(scalar.split("priv:")[1].split("pub:")[0].split()).replace(":", "")
    scalar = bytes.fromhex(scalar)[-32:]
    assert scalar in (folder / "web.state").read_bytes()
    spellings = [scalar.hex()] + [base64.b64encode(bytes(n) + scalar).decode()[4:-4] for n in range(3)]
    for flags in ((), ("-o", "json")):
        text = weft("show-state", *flags, "web.state").stdout
        assert "PRIVATE" not in text
        assert not any(spelling in text.replace("\\n", "") for spelling in spellings)


def test_chain_as_openssl_sees_it(folder):
    weft("cert", "intermediate", "--ca", "ca", "--out", "middle")
    for ca, certificates in (("ca", 1), ("middle", 2)):
        weft("compile", "m", "--pod", "shop/web", "--ca", ca, "--out", "web.state", "--ttl", "2h")
        identity = shown()["identity"]
        assert identity["certificates"] == certificates
        pathlib.Path("chain.pem").write_text(identity["pem"])
        run("openssl", "verify", "-x509_strict", "-CAfile", "ca/root.pem", "-untrusted",
            "chain.pem", "chain.pem")
        text = run("openssl", "x509", "-in", "chain.pem", "-noout", "-text").stdout
        assert "URI:spiffe://example.org/ns/shop/sa/web" in text and "uid-web" in text
        run("openssl", "x509", "-in", "chain.pem", "-noout", "-checkend", "7100")
        run("openssl", "x509", "-in", "chain.pem", "-noout", "-checkend", "7300", code=1)
    assert (folder / "middle/root.pem").exists()


def test_same_input_same_resources(folder):
    compile_web("--now", "1800000000", "--ttl", "1h", out="a.state")
    compile_web("--now", "1800000000", "--ttl", "1h", out="b.state")
    a, b = (shown(p, flags=("--now", "1800000001")) for p in ("a.state", "b.state"))
    assert a["writtenAt"] == "2027-01-15T08:00:00Z"
    assert (a["required"], a["used"]) == (b["required"], b["used"])
    late = shown("a.state", code=1, flags=("--now", "1800003601"))
    assert not late["usable"] and late["reason"] == "a.state: the leaf expired 1 s ago"
    assert (folder / "a.state").exists()


def test_errors_write_nothing(folder):
    compile_web()
    before = (folder / "web.state").read_bytes()
    (folder / "m/broken.yaml").write_text(BROKEN)
    done = compile_web(code=1)
    assert done.stdout == ""
    assert done.stderr == SAID + ("weft compile: nothing written; errors: 1 (--fail-closed writes "
                                  "denials in the place of broken policies)\n")
    assert (folder / "web.state").read_bytes() == before
    assert sorted(p.name for p in folder.iterdir()) == ["ca", "m", "web.state"]


def test_fail_closed(folder):
    (folder / "m/broken.yaml").write_text(BROKEN)
    done = compile_web("--fail-closed")
    assert done.stderr == SAID and done.stdout.startswith("wrote web.state")
    policy = by_name(shown()["required"])["AuthorizationPolicy/shop/broken"]["authorizationPolicy"]
    assert policy["broken"] == ("spec.rules[0].to[0].operation.port: unknown field (did you mean "
                                "ports?)")
    text = weft("show-state", "web.state").stdout
    assert "BROKEN, denies everything: spec.rules[0]" in text


@pytest.mark.parametrize("text, said", [
    ("a: [\n", "m/x.yaml:2: no valid YAML: "),
    (CONFIG.replace("name: mesh", "name: other"), "m/x.yaml:2: MeshConfig weft-system/other: there "
     "is one already, mesh at m/mesh.yaml:2\n"),
])
def test_never_written(folder, text, said):
    (folder / "m/x.yaml").write_text(text)
    done = compile_web("--fail-closed", code=1)
    assert said in done.stderr
    assert "nothing written: a file that cannot be read, or a broken MeshConfig" in done.stderr
    assert not (folder / "web.state").exists()


@pytest.mark.parametrize("flags, code, said", [
    (("--pod", "shop/none"), 1, "weft compile: Pod shop/none: not found in what was read\n"),
    (("--pod", "web"), 2, "weft compile: --pod=web: expected NAMESPACE/NAME\n"),
    (("--pod", "shop/plain"), 1, "weft compile: m/mesh.yaml:15: Pod shop/plain: has no container "
     "named weft-sidecar: it is not meshed\n"),
    (("--ca", "none"), 1, "weft compile: none/root.pem: No such file or directory\n"),
    (("--out", "none/x.state"), 1, "weft compile: none/x.state: No such file or directory\n"),
    (("--bundle", "x"), 2, "weft compile: --bundle: expected TRUST-DOMAIN=FILE\n"),
    (("--bundle", "example.org=ca/root.pem"), 2,
     "weft compile: --bundle: example.org has a bundle already\n"),
    (("--bundle", "other.org=ca/root.pem"), 1, "weft compile: ca/root.pem: not roots of trust "
     "domain other.org: each must be a CA that may sign, of that domain, with a key of a known "
     "kind\n"),
    (("--bundle", "other.org=m/mesh.yaml"), 1,
     "weft compile: m/mesh.yaml: no certificates in PEM, or malformed ones\n"),
    (("--leaf", "none"), 1, "weft compile: none.pem: No such file or directory\n"),
    (("--tll", "1h"), 2, "did you mean --ttl?"),
])
def test_refused(folder, flags, code, said):
    done = compile_web(*flags, code=code)
    assert said in done.stderr
    assert not (folder / "web.state").exists()


def test_other_trust_domain(folder):
    weft("cert", "root", "--trust-domain", "other.org", "--out", "other")
    done = compile_web("--ca", "other", code=1)
    assert "other/root.pem: not roots of trust domain example.org: " in done.stderr
    compile_web("--bundle", "other.org=other/root.pem")
    assert "TrustBundle/other.org" in by_name(shown()["required"])
    assert (folder / "web.state").exists()


def test_given_leaf(folder):
    spiffe_id = "spiffe://example.org/ns/shop/sa/web"
    weft("cert", "leaf", "--ca", "ca", "--id", spiffe_id, "--pod-uid", "uid-web", "--out", "leaf")
    compile_web("--leaf", "leaf")
    serial = run("openssl", "x509", "-in", "leaf.pem", "-noout", "-serial").stdout
    assert shown()["identity"]["serial"] == serial.strip().split("=")[1].lower()
    # One that peers refuse is what tests of peers need.
    weft("cert", "leaf", "--ca", "ca", "--id", spiffe_id, "--broken", "two-sans", "--out", "two")
    compile_web("--leaf", "two")
    assert shown()["usable"]
    weft("cert", "leaf", "--ca", "ca", "--id", spiffe_id, "--broken", "expired", "--out", "old")
    done = compile_web("--leaf", "old")
    assert "warning: the sidecar will refuse it: web.state: the leaf expired" in done.stderr
    assert not shown(code=1)["usable"]
    # A key of somebody else is a mistake.
    os.replace("two-key.pem", "leaf-key.pem")
    done = compile_web("--leaf", "leaf", code=1)
    assert done.stderr == "weft compile: leaf-key.pem is not the key of leaf.pem\n"
    assert (folder / "web.state").exists()


def test_json_answers(folder):
    answer = json.loads(compile_web("-o", "json").stdout)
    assert answer["written"] and answer["spiffeId"] == "spiffe://example.org/ns/shop/sa/web"
    assert answer["podUid"] == "uid-web" and answer["problems"] == []
    (folder / "m/broken.yaml").write_text(BROKEN)
    answer = json.loads(compile_web("-o", "json", code=1).stdout)
    assert not answer["written"]
    assert answer["problems"] == [{
        "severity": "error", "file": "m/broken.yaml", "line": 8,
        "object": "AuthorizationPolicy shop/broken",
        "field": "spec.rules[0].to[0].operation.port",
        "message": "unknown field (did you mean ports?)"}]


def test_check(folder):
    done = weft("check", "m")
    assert done.stderr == ""
    assert done.stdout == ("files 3, Services 1, Pods 2 (meshed 1), AuthorizationPolicies 1, "
                           "PeerAuthentications 0: errors 0, warnings 0\n")
    (folder / "m/broken.yaml").write_text(BROKEN)
    done = weft("check", "m", code=1)
    assert done.stderr == SAID
    answer = json.loads(weft("check", "-o", "json", "m", code=1).stdout)
    assert not answer["valid"] and len(answer["problems"]) == 1
    assert answer["meshedPods"] == 1


def test_check_reads_standard_input_and_files():
    deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, namespace: shop}\n"
    done = weft("check", "-", "m/more", stdin=deployment + CONFIG)
    assert done.stderr == "" and done.stdout.startswith("files 3, ")
    done = weft("check", "--notes", "-", stdin=deployment)
    assert done.stderr == ("stdin:1: note: Deployment shop/d: passed over: not used (apiVersion "
                           "apps/v1)\n")
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": 1}}]},
        indent=2)
    done = weft("check", "-", stdin=listed, code=1)
    assert "stdin:12: Service default/s: spec.ports: expected a list, found 1\n" in done.stderr


def test_nothing_to_read(folder):
    (folder / "empty").mkdir()
    done = weft("check", "empty", code=1)
    assert done.stderr == "weft check: empty: no .yaml, .yml or .json files there\n"
    done = weft("check", "none", code=1)
    assert done.stderr == "weft check: none: No such file or directory\n"
    (folder / "m/dangling.yaml").symlink_to("nowhere")
    done = weft("check", "m", code=1)
    assert done.stderr == "m/dangling.yaml: cannot be read: No such file or directory\n"
    weft("check", code=2)


def test_directories_that_contain_themselves(folder):
    (folder / "m/loop").symlink_to(".")
    done = weft("check", "m", code=1)
    assert done.stderr == "m/loop: cannot be read: it is a directory that this one is in\n"
    deep = folder / "deep" / "/".join("d" * 16)
    deep.mkdir(parents=True)
    done = weft("check", "deep", code=1)
    assert "cannot be read: more than 16 directories inside one another\n" in done.stderr


def test_show_state_of_other_files(folder):
    done = weft("show-state", "m/mesh.yaml", code=1)
    assert "must be a regular file of mode 0600" in done.stderr
    os.chmod("m/mesh.yaml", 0o600)
    done = weft("show-state", "m/mesh.yaml", code=1)
    assert done.stderr == ("weft show-state: m/mesh.yaml: not a Weft state file; write one with "
                           "`weft compile`\n")
    compile_web()
    whole = (folder / "web.state").read_bytes()
    (folder / "web.state").write_bytes(whole[:-1])
    done = weft("show-state", "web.state", code=1)
    assert done.stderr.startswith("weft show-state: web.state: torn: ")


def test_many_errors_are_counted(folder):
    policy = BROKEN.replace("name: broken", "name: p{}")
    (folder / "m/broken.yaml").write_text("".join(policy.replace("{}", str(i)) for i in range(1200)))
    done = weft("check", "m", code=1)
    lines = done.stderr.splitlines()
    assert len(lines) == 1001 and lines[-1] == "and 200 more errors"
    assert "errors 1200" in done.stdout


@pytest.mark.parametrize("command", ["compile", "check", "show-state"])
def test_help_teaches(command):
    text = weft(command, "--help").stdout
    assert "Examples" in text and f"weft {command} " in text
