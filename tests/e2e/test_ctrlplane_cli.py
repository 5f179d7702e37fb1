"""weft-ctrlplane from the outside, on loopback alone: started by its command line, asked by the commands of `weft`, by
python3-grpcio and by grpcurl."""

import json
import os
import pathlib
import socket
import stat
import subprocess
import threading

import grpc
import pytest

from mesh_api import Api, make_csr, mesh
from weftnet import Proc, WeftError, run, wait_for

BUILD = os.path.abspath(os.environ.get("WEFT_BUILD", "build/release"))
CACHE = os.environ.get("WEFT_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "weft")
SERVICES = {"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
            "weft.mesh.v1.Discovery", "weft.mesh.v1.Identity"}

MANIFESTS = """---
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
metadata: {name: client, namespace: shop, uid: uid-client, labels: {app: client}}
spec:
  serviceAccountName: client
  containers: [{name: app}, {name: weft-sidecar}]
status: {podIP: 10.1.0.2}
---
apiVersion: v1
kind: Pod
metadata: {name: plain, namespace: shop}
spec: {containers: [{name: app}]}
status: {podIP: 10.1.0.3}
---
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
  selector: {matchLabels: {app: web}}
  rules:
  - from: [{source: {namespaces: [shop]}}]
"""


def weft(*args, code=0):
    done = run(os.path.join(BUILD, "weft"), *args, check=False)
    assert done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


class Plane:
    """A control plane of its own folder."""

    def __init__(self, folder, *flags, enter=()):
        self.folder, self.flags, self.starts, self.enter = pathlib.Path(folder), flags, 0, list(enter)
        self.data, self.source = self.folder / "data", self.folder / "mesh"
        self.socket, self.root = self.folder / "control.sock", self.folder / "data" / "root.pem"
        self.source.mkdir()
        (self.source / "mesh.yaml").write_text(MANIFESTS)

    def command(self, *flags):
        return [*self.enter, os.path.join(BUILD, "weft-ctrlplane"), "--source", f"dir:{self.source}", "--data-dir", self.data,
                "--grpc-port", "0", "--admin-port", "0", "--control-socket", self.socket, *self.flags, *flags]

    def start(self, *flags, ready=True):
        self.starts += 1
        self.log = self.folder / f"log{self.starts}"
        self.proc = Proc("ctrlplane", self.command(*flags), self.log)
        self.proc.wait_text('"listening"')
        said = next(e for e in self.events() if e.get("msg") == "listening")
        self.target, self.url = f"127.0.0.1:{said['grpc']}", f"http://127.0.0.1:{said['admin']}"
        if ready:
            wait_for("readiness", lambda: self.get("/healthz/ready")[0] == 200)
        return self

    def events(self):
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def get(self, path, *args):
        done = run(*self.enter, "curl", "-sS", "-m", "10", "-w", "\n%{http_code}", *args, self.url + path)
        text, _, status = done.stdout.rpartition("\n")
        return int(status), text

    def json(self, path):
        status, text = self.get(path)
        assert status == 200, text
        return json.loads(text)

    def token(self, pod, *flags):
        return weft("token", "create", pod, "--control-socket", self.socket, *flags).stdout.strip()

    def api(self, credential=None):
        return Api(self.target, self.root, credential)

    def session(self, pod):
        with self.api(self.token(pod)) as api:
            return api.sign(make_csr(self.folder, "session")).session

    def status(self, *args, code):
        return weft("proxy-status", "--control-plane", self.url, *args, code=code)

    def stop(self):
        return self.proc.stop(15)


@pytest.fixture(scope="module", name="plane")
def own_plane(tmp_path_factory):
    p = Plane(tmp_path_factory.mktemp("ctrlplane")).start()
    yield p
    assert p.stop() == 0, p.log.read_text()


@pytest.fixture(name="other")
def second_plane(tmp_path):
    p = Plane(tmp_path)
    yield p
    if p.starts and p.proc.alive():
        assert p.stop() == 0, p.log.read_text()


def code_of(fn, *args):
    with pytest.raises(grpc.RpcError) as e:
        fn(*args)
    return e.value.code(), e.value.details()


# -- what it is ------------------------------------------------------------------------------------------------------------

def test_files(plane):
    mode = {f: stat.S_IMODE(os.stat(plane.data / f).st_mode) for f in (".", "root.pem", "root.key", "position")}
    assert mode["."] == 0o700 and mode["root.key"] == 0o600 and mode["position"] == 0o600
    assert stat.S_IMODE(os.stat(plane.socket).st_mode) == 0o600
    text = weft("cert", "show", plane.root).stdout
    assert "spiffe://cluster.local" in text


def test_health(plane):
    with plane.api() as api:
        assert [api.health(s) for s in ("", "weft.mesh.v1.Discovery", "weft.mesh.v1.Identity")] == [1, 1, 1]
        assert code_of(api.health, "no.such.Service")[0] == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection(plane, version):
    with plane.api() as api:
        assert api.services(version) == SERVICES


def test_unknown_method(plane):
    with plane.api() as api:
        code, _ = code_of(api.unary, "/weft.mesh.v1.Identity/Nothing", mesh("SignRequest"),
                          "weft.mesh.v1.SignResponse")
    assert code == grpc.StatusCode.UNIMPLEMENTED


def test_its_certificate_is_of_the_root(plane, tmp_path):
    """A client that trusts another root refuses it, and so does one that expects another name."""
    weft("cert", "root", "--trust-domain", "cluster.local", "--out", tmp_path / "ca")
    with Api(plane.target, tmp_path / "ca" / "root.pem") as api:
        assert code_of(api.health)[0] == grpc.StatusCode.UNAVAILABLE
    done = run("curl", "-sS", "--http2", "--cacert", plane.root, "--resolve",
               f"elsewhere.example:{plane.target.split(':')[1]}:127.0.0.1",
               f"https://elsewhere.example:{plane.target.split(':')[1]}/", check=False)
    assert done.returncode == 60, done.stderr


# -- identity --------------------------------------------------------------------------------------------------------------

def leaf_of(plane, chain, tmp_path):
    """What our own verification says of a chain in DER."""
    der, pem = tmp_path / "chain.der", tmp_path / "chain.pem"
    der.write_bytes(chain)
    run("openssl", "x509", "-inform", "DER", "-in", der, "-out", pem)
    weft("cert", "verify", "--bundle", plane.root, pem)
    return weft("cert", "show", pem).stdout


def test_sign(plane, tmp_path):
    token, first, second = plane.token("shop/web"), make_csr(tmp_path, "a"), make_csr(tmp_path, "b")
    assert token.startswith("wtj_") and len(token) == 47
    with plane.api(token) as api:
        answer = api.sign(first)
        text = leaf_of(plane, answer.chain, tmp_path)
        assert "spiffe://cluster.local/ns/shop/sa/web" in text and "uid-web" in text
        assert (answer.pod_namespace, answer.pod_name, answer.pod_uid) == ("shop", "web", "uid-web")
        assert [b.trust_domain for b in answer.bundles] == ["cluster.local"]
        assert answer.session.startswith("wts_")
        api.sign(first)  # the same key: a lost answer loses nothing
        assert code_of(api.sign, second)[0] == grpc.StatusCode.UNAUTHENTICATED
    with plane.api(answer.session) as api:
        assert api.sign(second).session == ""
    for credential in (None, "wtj_" + 43 * "A", "wts_" + 43 * "A", "nonsense"):
        with plane.api(credential) as api:
            assert code_of(api.sign, second)[0] == grpc.StatusCode.UNAUTHENTICATED
    with plane.api(answer.session) as api:
        assert code_of(api.sign, b"no csr")[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_token_says_what_is_wrong(plane, tmp_path):
    where = ("--control-socket", plane.socket)
    assert "shop/nobody" in weft("token", "create", "shop/nobody", *where, code=1).stderr
    assert "shop/plain" in weft("token", "create", "shop/plain", *where, code=1).stderr
    assert "expected NAMESPACE/POD" in weft("token", "create", "web", *where, code=2).stderr
    assert "expected NAMESPACE/POD" in weft("token", "create", "shop/web&lifetime=9h", *where, code=2).stderr
    assert "lifetime" in weft("token", "create", "shop/web", "--lifetime", "1y", *where, code=2).stderr
    gone = weft("token", "create", "shop/web", "--control-socket", tmp_path / "none", code=1).stderr
    assert "is weft-ctrlplane running? (--control-socket " in gone
    answer = json.loads(weft("token", "create", "shop/web", "-o", "json", *where).stdout)
    assert set(answer) == {"pod", "token", "expires"} and answer["pod"] == "shop/web"


def test_tokens_are_kept_as_hashes(plane):
    token = plane.token("shop/web")
    for path in plane.data.iterdir():
        if path.is_file():
            assert token.encode() not in path.read_bytes(), path
    assert token not in plane.log.read_text()


# -- discovery and what is told of it --------------------------------------------------------------------------------------

def test_discovery_and_status(plane):
    before = plane.status(code=1).stdout
    assert before.split()[:6] == ["POD", "ACCOUNT", "VERSION", "CONNECTED", "SYNCED", "RESOURCES"]
    assert "shop/client" in before and "shop/web" in before and "Not connected" in before and "shop/plain" not in before
    with plane.api(plane.session("shop/web")) as web, plane.api(plane.session("shop/client")) as client:
        streams = [web.discover(), client.discover()]
        streams[0].start()
        streams[1].start("shop/web")
        required, last = streams[0].settle()
        assert {"Workload/shop/web", "Mesh", "TrustBundle/cluster.local"} <= set(required)
        assert "Service/shop/web" not in required and last.position
        got, _ = streams[1].settle()
        assert "Service/shop/web" in got and "Workload/shop/web" not in got and "Workload/shop/client" in got
        wait_for("both in sync", lambda: weft_status(plane) == {"shop/web": "yes", "shop/client": "yes"})
        plane.status(code=0)
        rejection_is_visible(plane, streams[0])
        config_shows_it(plane)
        for s in streams:
            s.close()
    wait_for("both gone", lambda: plane.json("/proxies")["proxies"] == [])
    assert "not connected" in weft("config", "shop/web", "--control-plane", plane.url, code=1).stderr


def weft_status(plane):
    """pod -> SYNCED of the table."""
    done = run(os.path.join(BUILD, "weft"), "proxy-status", "--control-plane", plane.url, check=False)
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("shop/") and " refused " not in line]
    return {row[0]: " ".join(row[4:-1]) for row in rows}


def rejection_is_visible(plane, stream):
    (plane.source / "policy.yaml").write_text(POLICY)
    response = stream.get()
    name = "AuthorizationPolicy/shop/web"
    policy = next(r for r in response.resources if r.name == name)
    stream.ack(response, [{"name": name, "hash": policy.hash, "field": "rules[0].from",
                           "reason": "a kind \x1b[31mthat I do not know"}])
    wait_for("the rejection", lambda: weft_status(plane).get("shop/web") == "rejected 1")
    text = plane.status("shop/web", code=1).stdout
    assert f"shop/web refused {name}: rules[0].from: a kind " in text and "\x1b" not in text
    assert "mend the policy" in text and "shop/client" not in text
    answer = json.loads(plane.status("-o", "json", code=1).stdout)
    refused = {p["pod"]: p["rejections"] for p in answer["proxies"]}
    assert refused["shop/client"] == []
    assert [(r["resource"], r["field"]) for r in refused["shop/web"]] == [(name, "rules[0].from")]


def config_shows_it(plane):
    text = weft("config", "shop/web", "--control-plane", plane.url).stdout
    assert "spiffe://cluster.local/ns/shop/sa/web" in text and "python-1.0" in text
    states = {line.split()[0]: line.split()[-1] for line in text.splitlines() if "/" in line and len(line.split()) == 3}
    assert states["Workload/shop/web"] == "acknowledged" and states["AuthorizationPolicy/shop/web"] == "rejected"
    text = weft("config", "shop/client", "--control-plane", plane.url).stdout
    assert any(line.split() == ["shop/web", "Service/shop/web"] for line in text.splitlines()), text


def test_under_another_name(plane):
    """A stream gets what its own pod must have, whatever it says; and nothing without a credential."""
    with plane.api() as api:
        stream = api.discover()
        stream.start("shop/web")
        assert code_of(stream.get)[0] == grpc.StatusCode.UNAUTHENTICATED
    with plane.api(plane.session("shop/client")) as api:
        stream = api.discover()
        stream.start("shop/nobody")
        got, last = stream.settle()
        assert "Workload/shop/client" in got and "Workload/shop/web" not in got and "Service/shop/web" not in got
        stream.close()


def test_grpcurl(plane):
    """A client in another language, by reflection alone."""
    tool = next(iter(sorted(pathlib.Path(CACHE, "tools").glob("grpcurl-*"))), None)
    assert tool is not None, "make deps builds it"
    base = [tool, "-cacert", plane.root, "-authority", "localhost", "-max-time", "20"]
    port = plane.target.split(":")[1]
    listed = run(*base, f"localhost:{port}", "list").stdout.split()
    assert set(listed) == SERVICES
    assert "rpc Sign (" in run(*base, f"localhost:{port}", "describe", "weft.mesh.v1.Identity").stdout.replace("  ", " ")
    answer = json.loads(run(*base, f"localhost:{port}", "grpc.health.v1.Health/Check").stdout)
    assert answer == {"status": "SERVING"}
    request = json.dumps({"node": {"version": "grpcurl"}, "subscribe": [{"name": "shop/web"}]})
    done = run(*base, "-H", f"authorization: Bearer {plane.session('shop/client')}", "-d", request,
               f"localhost:{port}", "weft.mesh.v1.Discovery/Stream", check=False)
    assert "Workload/shop/client" in done.stdout and "Service/shop/web" in done.stdout, done.stdout + done.stderr
    refused = run(*base, "-d", request, f"localhost:{port}", "weft.mesh.v1.Discovery/Stream", check=False)
    assert "Unauthenticated" in refused.stderr


# -- its own endpoints -----------------------------------------------------------------------------------------------------

def test_admin(plane):
    index = plane.get("/")[1]
    for path in ("/metrics", "/healthz/ready", "/config_dump", "/proxies", "/problems", "/ca", "/memory", "/version"):
        assert f"\n{path} " in index
        assert plane.get(path)[0] == 200
    dump = plane.json("/config_dump")
    assert dump["ready"] and dump["meshedPods"] == 2 and dump["problems"] == []
    assert dump["parameters"]["leaf-lifetime"] == "24h" and dump["ca"]["trust_domain"] == "cluster.local"
    assert "weft_ctrlplane_ready 1\n" in plane.get("/metrics")[1]
    assert plane.get("/proxies?pods=x")[0] == 400
    assert plane.get("/proxies", "-X", "POST")[0] == 405


def test_admin_is_not_for_other_names(plane):
    for path, status in (("/config_dump", 403), ("/proxies", 403), ("/", 403), ("/metrics", 200), ("/healthz/ready", 200)):
        assert plane.get(path, "-H", "Host: rebind.example")[0] == status, path
        assert plane.get(path, "-H", "Origin: http://evil.example")[0] == 403, path


def test_admin_is_not_for_other_machines(tmp_path):
    """Metrics and health are for everybody; what else there is only for who comes over loopback."""
    ns = "weft-cp" + os.urandom(4).hex()
    run("ip", "netns", "add", ns)
    p = Plane(tmp_path, enter=["ip", "netns", "exec", ns])
    try:
        for words in ("link set lo up", "addr add 192.0.2.7/32 dev lo", "addr add fd00:77::7/128 dev lo nodad"):
            run("ip", "-n", ns, *words.split())
        p.start()
        port = p.url.rsplit(":", 1)[1]
        for host, status in (("127.0.0.1", 200), ("[::1]", 200), ("192.0.2.7", 403), ("[fd00:77::7]", 403)):
            p.url = f"http://{host}:{port}"
            for path in ("/", "/config_dump", "/proxies", "/problems", "/ca", "/memory", "/version"):
                assert p.get(path)[0] == status, (host, path)
                assert p.get(path, "-H", f"Host: localhost:{port}")[0] == status, (host, path)
            for path in ("/metrics", "/healthz/ready", "/healthz/live"):
                assert p.get(path)[0] == 200, (host, path)
        assert p.stop() == 0
    finally:
        if p.starts and p.proc.alive():
            p.proc.kill()
        run("ip", "netns", "del", ns)


def test_problems(other):
    (other.source / "broken.yaml").write_text(POLICY.replace("rules", "rulez"))
    other.start()
    problems = other.json("/problems")["problems"]
    assert any("broken.yaml" in json.dumps(p) and "rulez" in json.dumps(p) for p in problems)


def test_control_socket(plane):
    def post(path, status):
        done = run("curl", "-sS", "--unix-socket", plane.socket, "-X", "POST", "-w", "\n%{http_code}",
                   f"http://localhost{path}")
        text, _, code = done.stdout.rpartition("\n")
        assert int(code) == status, done.stdout
        return json.loads(text)

    assert post("/loglevel?level=debug", 200) == {"level": "debug"}
    assert post("/loglevel?level=info", 200) == {"level": "info"}
    assert "error" in post("/loglevel?level=loud", 400)
    assert post("/reload", 200)["meshedPods"] == 2
    assert "error" in post("/tokens", 400)
    assert "error" in post("/tokens?pod=shop/web&colour=red", 400)
    assert "error" in post("/tokens?pod=shop/web&lifetime=0s", 400)
    assert post("/tokens?pod=shop%2Fweb", 200)["pod"] == "shop/web"
    assert "error" in post("/ca/revoke?serial=zz", 400)


# -- the CA ----------------------------------------------------------------------------------------------------------------

def test_ca(other, tmp_path):
    other.start("--leaf-lifetime", "1h")
    where = ("--control-socket", other.socket)
    status = json.loads(weft("ca", "status", "-o", "json", *where).stdout)
    assert status["trust_domain"] == "cluster.local" and len(status["roots"]) == 1 and status["rotation"] is None
    text = weft("ca", "status", *where).stdout
    assert "root  " in text and max(map(len, text.splitlines())) <= 120 and status["roots"][0]["fingerprint"] in text
    other.session("shop/web")
    assert json.loads(weft("ca", "status", "-o", "json", *where).stdout)["issued"] == 1
    weft("ca", "rotate", "--overlap", "1h", *where)
    assert "under way" in weft("ca", "rotate", *where, code=1).stderr
    status = json.loads(weft("ca", "status", "-o", "json", *where).stdout)
    assert len(status["roots"]) == 2 and status["rotation"] is not None
    assert "rotation      " in weft("ca", "status", *where).stdout
    issued = [e for e in other.events() if "serial" in e]
    assert weft("ca", "revoke", issued[-1]["serial"], *where).stdout.split()[0] == "revoked"
    assert "hexadecimal" in weft("ca", "revoke", "no-serial", *where, code=2).stderr
    status = json.loads(weft("ca", "status", "-o", "json", *where).stdout)
    assert status["revoked"] == 1


def test_intermediate(other, tmp_path):
    """Somebody else's root: leaves chain up to it, and replacing it is not ours to do."""
    weft("cert", "root", "--trust-domain", "cluster.local", "--out", tmp_path / "above")
    weft("cert", "intermediate", "--ca", tmp_path / "above", "--out", tmp_path / "ca")
    files = {"--ca-cert": "intermediate.pem", "--ca-key": "intermediate-key.pem", "--ca-roots": "root.pem"}
    other.start(*[word for flag, name in files.items() for word in (flag, tmp_path / "ca" / name)])
    other.root = tmp_path / "above" / "root.pem"
    with other.api(other.token("shop/web")) as api:
        chain = api.sign(make_csr(tmp_path, "a")).chain
        assert api.health() == 1
    (tmp_path / "chain.der").write_bytes(chain)
    pem = run("openssl", "x509", "-inform", "DER", "-in", tmp_path / "chain.der").stdout
    (tmp_path / "leaf.pem").write_text(pem + (tmp_path / "ca" / "intermediate.pem").read_text())
    weft("cert", "verify", "--bundle", other.root, tmp_path / "leaf.pem")
    where = ("--control-socket", other.socket)
    assert "intermediate" in weft("ca", "rotate", *where, code=1).stderr
    assert "\nintermediate  " in weft("ca", "status", *where).stdout
    assert not (other.data / "root.key").exists()


def test_unix_socket_knows_its_user(other):
    """Who calls over the Unix socket is the pod of its uid; nobody else needs apply."""
    path = other.source / "mesh.yaml"
    path.write_text(MANIFESTS.replace("uid: uid-client,", 'uid: uid-client, annotations: {mesh.weft.dev/unix-uid: "%d"},'
                                      % os.getuid()))
    grpc_socket = other.folder / "grpc.sock"
    other.start("--grpc-socket", grpc_socket)
    assert stat.S_IMODE(os.stat(grpc_socket).st_mode) == 0o666
    with Api(f"unix:{grpc_socket}", other.root) as api:
        answer = api.sign(make_csr(other.folder, "unix"))
        assert (answer.pod_namespace, answer.pod_name) == ("shop", "client")
        stream = api.discover()
        stream.start()
        assert "Workload/shop/client" in stream.settle()[0]
        assert other.json("/proxies")["proxies"][0]["address"] == "unix"
        stream.close()
    with other.api() as api:  # the same user over TCP is nobody
        assert code_of(api.sign, make_csr(other.folder, "tcp"))[0] == grpc.StatusCode.UNAUTHENTICATED


# -- life ------------------------------------------------------------------------------------------------------------------

def test_restart_keeps_root_and_position(other):
    other.start()
    root, position = other.root.read_bytes(), other.json("/config_dump")["position"]
    session = other.session("shop/web")
    assert other.stop() == 0
    other.start()
    assert other.root.read_bytes() == root
    ident, number = position.rsplit(":", 1)
    again, later = other.json("/config_dump")["position"].rsplit(":", 1)
    assert again == ident and int(later) >= int(number)
    with other.api(session) as api:  # sessions outlive a restart as well
        api.sign(make_csr(other.folder, "again"))


def test_second_process_is_refused(plane, tmp_path):
    done = run(*plane.command("--control-socket", tmp_path / "c.sock"), check=False, timeout=20)
    assert done.returncode == 1
    assert f"in use by another weft-ctrlplane (process {plane.proc.pid})" in done.stderr
    assert plane.get("/healthz/ready")[0] == 200


def test_sigterm_with_streams(other):
    """Not serving at once, streams end with UNAVAILABLE, exit 0."""
    other.start("--drain-time", "1s")
    with other.api(other.session("shop/web")) as api:
        stream, watch = api.discover(), api.watch()
        stream.start()
        stream.settle()
        assert next(watch).status == 1
        assert other.stop() == 0
        seen = []
        with pytest.raises(grpc.RpcError) as e:
            for answer in watch:
                seen.append(answer.status)
        assert seen == [2] and e.value.code() == grpc.StatusCode.UNAVAILABLE
        assert code_of(stream.get)[0] == grpc.StatusCode.UNAVAILABLE
    assert not other.socket.exists()


def test_sighup_reads_again(other):
    other.start()
    before = other.json("/config_dump")["position"]
    (other.source / "policy.yaml").write_text(POLICY)
    other.proc.signal(1)
    wait_for("the policy", lambda: other.json("/config_dump")["authorizationPolicies"] == 1)
    assert other.json("/config_dump")["position"] != before


def test_drain_by_socket(other):
    other.start("--drain-time", "0s")
    run("curl", "-sS", "--unix-socket", other.socket, "-X", "POST", "http://localhost/drain")
    assert other.proc.wait() == 0


def test_not_ready_without_a_source(other):
    """A directory that is not there is waited for; nobody is told anything meanwhile."""
    (other.source / "mesh.yaml").unlink()
    other.source.rmdir()
    other.start(ready=False)
    status, text = other.get("/healthz/ready")
    assert status == 503 and text.strip()
    with other.api() as api:
        assert api.health() == 2
    out = other.status(code=1).stdout
    assert "not ready" in out
    assert weft("token", "create", "shop/web", "--control-socket", other.socket, code=1).stderr
    other.source.mkdir()
    (other.source / "mesh.yaml").write_text(MANIFESTS)
    wait_for("readiness", lambda: other.get("/healthz/ready")[0] == 200)
    with other.api() as api:
        wait_for("health", lambda: api.health() == 1)


@pytest.mark.parametrize("flags, said", [
    (["--source", "kubernetes"], "--source: expected dir:PATH"),
    (["--source", "mesh"], "--source: expected dir:PATH"),
    (["--ca-cert", "x.pem"], "all three or none"),
    (["--leaf-lifetime", "2h", "--root-lifetime", "1h"], "no leaf outlives its root"),
    (["--grpc-port", "4711", "--admin-port", "4711"], "two ports are needed"),
    (["--grpc-prot", "1"], "did you mean"),
    (["extra"], "unexpected argument"),
])
def test_flags(other, flags, said):
    done = run(*other.command(*flags), check=False)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert not other.data.exists()


def test_trust_domain_of_the_source_must_be_ours(other):
    (other.source / "config.yaml").write_text("""apiVersion: mesh.weft.dev/v1alpha1
kind: MeshConfig
metadata: {name: mesh, namespace: weft-system}
spec: {trustDomain: example.org}
""")
    other.start(ready=False)
    status, text = other.get("/healthz/ready")
    assert status == 503 and "example.org" in text and "cluster.local" in text
    wait_for("the log to say so", lambda: [e for e in other.events() if e["msg"] == "not ready" and "example.org" in e["reasons"]])


@pytest.mark.parametrize("flag", ["--grpc-port", "--admin-port"])
def test_port_is_taken(other, flag):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(*other.command(flag, str(taken.getsockname()[1])), check=False, timeout=20)
    assert done.returncode == 1
    assert f"stop that process or choose another port ({flag})" in done.stderr, done.stderr


@pytest.mark.parametrize("flag", ["--grpc-socket", "--control-socket"])
def test_socket_without_a_folder(other, flag):
    path = other.folder / "nowhere" / "s"
    done = run(*other.command(flag, path), check=False, timeout=20)
    assert done.returncode == 1
    assert f"{path}: its folder is not there ({flag})" in done.stderr, done.stderr


# -- commands and answers that are none ------------------------------------------------------------------------------------

class Answering:
    """Accepts on loopback, says the same to everybody, closes."""

    def __init__(self, said):
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.sock.getsockname()[1]}"
        threading.Thread(target=self.serve, args=(said,), daemon=True).start()

    def serve(self, said):
        while True:
            try:
                c, _ = self.sock.accept()
            except OSError:
                return
            with c:
                c.recv(65536)
                c.sendall(said)


@pytest.mark.parametrize("said, text", [
    (b"", "no whole answer"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", "no whole answer"),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", "no whole answer"),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "no JSON object"),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", "no JSON object"),
    (b"HTTP/1.1 404 Not Found\r\ncontent-length: 10\r\n\r\nnot found\n", "no /proxies there: is it weft-ctrlplane that listens?"),
    (b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", "status 500"),
])
def test_answers_that_are_none(said, text):
    server = Answering(said)
    assert text in weft("proxy-status", "--control-plane", server.url, code=1).stderr
    server.sock.close()


@pytest.mark.parametrize("url, text", [
    ("http://127.0.0.1:1", "connection refused: is weft-ctrlplane running? (--control-plane http://127.0.0.1:1)"),
    ("https://127.0.0.1:1", "expected http://ADDRESS:PORT"),
    ("http://somewhere.example:1", "expected http://ADDRESS:PORT"),
    ("http://127.0.0.1:65536", "expected http://ADDRESS:PORT"),
    ("http://[::1]:1/", "connection refused"),
    ("localhost:1", "connection refused"),
    ("http://127.0.0.1:0", "expected http://ADDRESS:PORT"),
    ("http://127.0.0.1:1/path", "expected http://ADDRESS:PORT"),
    ("http://user@127.0.0.1:1", "expected http://ADDRESS:PORT"),
])
def test_addresses(url, text):
    assert text in weft("proxy-status", "--control-plane", url, code=1).stderr


def test_misuse():
    assert weft("config", code=2).stderr.startswith("weft config: give either")
    assert weft("config", "a/b", "--sidecar", "http://127.0.0.1:1", code=2).stderr
    assert "create" in weft("token", code=2).stderr
    assert "rotate" in weft("ca", "--help").stdout
    assert "Exit code 0" in weft("proxy-status", "--help").stdout


def test_asked_of_the_wrong_program(plane):
    done = weft("config", "--sidecar", plane.url, code=1)
    assert f"{plane.url} is no weft-sidecar's admin endpoint" in done.stderr and not done.stdout
