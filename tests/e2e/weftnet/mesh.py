"""The mesh itself: a node with a bridge, pods on it, services, certificates, states and sidecars."""

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile

from .control import ControlPlane
from .pcap import Recorder
from .proc import Proc, WeftError, run, wait_for

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BUILD = os.path.join(ROOT, os.environ.get("WEFT_BUILD", "build/release"))
SANITIZED = "asan" in BUILD or "tsan" in BUILD
SIDECAR, WEFT = os.path.join(BUILD, "weft-sidecar"), os.path.join(BUILD, "weft")
PROXY_UID, APP_UID = 1337, 65534
MESH_RANGES = ["10.77.0.0/16", "10.96.0.0/16", "fd77::/64", "fd96::/64"]


def to_yaml(objects):
    """Kubernetes objects as a YAML stream; JSON is YAML."""
    return "".join("---\n" + json.dumps(o, indent=1) + "\n" for o in objects)


class Service:
    """A Service object: VIPs of both families, ports by name, a selector."""

    def __init__(self, mesh, name, selector, ports, ns="default", headless=False, index=1):
        self.name, self.ns, self.ports = name, ns, ports
        self.ip4, self.ip6 = f"10.96.0.{index}", f"fd96::{index:x}"
        self.headless = headless
        self.selector = selector
        self.mesh = mesh

    def ip(self, family):
        return self.ip4 if family == 4 else self.ip6

    def manifest(self):
        ips = ["None"] if self.headless else [self.ip4, self.ip6]
        return {"apiVersion": "v1", "kind": "Service",
                "metadata": {"name": self.name, "namespace": self.ns},
                "spec": {"clusterIP": ips[0], "clusterIPs": ips, "selector": self.selector,
                         "ports": self.ports}}


class Pod:
    """A network namespace with a veth to the bridge; applications, and a sidecar if it is meshed."""

    def __init__(self, mesh, name, ns="default", sa=None, labels=None, ports=(), meshed=True, index=2,
                 ready=True):
        self.mesh, self.name, self.ns = mesh, name, ns
        self.sa = sa or name
        self.labels = labels or {"app": name}
        self.ports, self.meshed, self.ready = list(ports), meshed, ready
        self.ip4, self.ip6 = f"10.77.0.{index}", f"fd77::{index:x}"
        self.uid = f"00000000-0000-4000-8000-{index:012x}"
        self.netns = f"{mesh.prefix}-{name}"[:60]
        self.veth = f"{mesh.tag}{index:x}"
        self.dir = os.path.join(mesh.dir, name)
        self.proxy_uid = PROXY_UID
        self.state = os.path.join(self.dir, "state")
        self.procs, self.sidecar, self.recorder = [], None, None
        os.makedirs(self.dir)
        os.chmod(self.dir, 0o755)
        if mesh.control is not None:  # the sidecar writes its state itself
            private = os.path.join(self.dir, "private")
            os.mkdir(private, 0o700)
            os.chown(private, PROXY_UID, PROXY_UID)
            self.state = os.path.join(private, "state")
        self._link()

    @property
    def spiffe_id(self):
        return f"spiffe://{self.mesh.trust_domain}/ns/{self.ns}/sa/{self.sa}"

    def ip(self, family):
        return self.ip4 if family == 4 else self.ip6

    def _link(self):
        node = self.mesh.node
        run("ip", "netns", "add", self.netns)
        run("ip", "link", "add", self.veth, "netns", node, "type", "veth", "peer", "name", "eth0",
            "netns", self.netns)
        run("ip", "-n", node, "link", "set", self.veth, "master", "br0", "up")
        run("ip", "-n", self.netns, "-batch", "-", input=f"""link set lo up
link set eth0 up
addr add {self.ip4}/16 dev eth0
addr add {self.ip6}/64 dev eth0 nodad
route add default via 10.77.255.254
route add ::/0 via fd77::ffff
""")

    def manifest(self):
        containers = [{"name": "app", "image": "local",
                       "ports": [{"name": p[0], "containerPort": p[1]} for p in self.ports]}]
        if self.meshed:
            containers.append({"name": "weft-sidecar", "image": "weft"})
        return {"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": self.name, "namespace": self.ns, "uid": self.uid,
                             "labels": self.labels},
                "spec": {"serviceAccountName": self.sa, "containers": containers},
                "status": {"phase": "Running", "podIP": self.ip4,
                           "podIPs": [{"ip": self.ip4}, {"ip": self.ip6}],
                           "conditions": [{"type": "Ready",
                                           "status": "True" if self.ready else "False"}]}}

    # -- processes in the pod -----------------------------------------------------------------------

    def enter(self, *args, uid=None):
        """The command line that runs args in the pod's network namespace, as uid where one is given."""
        cmd = ["nsenter", f"--net=/run/netns/{self.netns}", "--"]
        if uid is not None:
            cmd += ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]
        return cmd + list(args)

    def exec(self, *args, check=True, timeout=60, uid=APP_UID, input=None, env=None):
        return run(*self.enter(*args, uid=uid), check=check, timeout=timeout, input=input, env=env)

    def spawn(self, name, *args, uid=APP_UID, ready=None, env=None):
        """Starts a program in the pod; ready: text in its output to wait for."""
        p = Proc(f"{self.name}/{name}", self.enter(*args, uid=uid), os.path.join(self.dir, name + ".log"),
                 env=env)
        self.procs.append(p)
        if ready:
            p.wait_text(ready)
        return p

    def wait_port(self, port, host=None):
        """Until something in the pod listens on the port (read from the kernel, no connection made)."""
        def listening():
            out = self.exec("ss", "-Hltn", f"sport = :{port}", uid=None).stdout
            return bool(out.strip())
        wait_for(f"{self.name} to listen on {port}", listening)

    # -- mesh -----------------------------------------------------------------------------------------

    def compile(self, *extra):
        """Writes the pod's state file from the mesh's manifests."""
        self.mesh.write_manifests()
        tmp = self.state + ".new"
        if os.path.exists(tmp):
            os.unlink(tmp)
        run(WEFT, "compile", self.mesh.manifests, "--pod", f"{self.ns}/{self.name}", "--ca",
            self.mesh.ca, "--out", tmp, *extra)
        os.chown(tmp, PROXY_UID, PROXY_UID)
        os.rename(tmp, self.state)

    def capture(self, *flags, check=True):
        return run(*self.enter(SIDECAR, "capture", *flags), check=check)

    def live_flags(self, fresh=True):
        """Flags of a sidecar that lives from the control plane; fresh: with a new join token."""
        control = self.mesh.control
        token = control.token(self) if fresh else os.path.join(self.dir, "token")
        return ["--control-plane", control.address, "--root", control.bootstrap(self), "--token", token,
                "--trust-domain", self.mesh.trust_domain, "--pod-uid", self.uid]

    def start_sidecar(self, *flags, capture=True, wait=True, compile=True, fresh=True):
        """compile: with a state file made here (no control plane); fresh: with a new join token (control plane)."""
        if self.mesh.control is not None:
            flags = (*self.live_flags(fresh), *flags)
        elif compile:
            self.compile()
        if capture:
            self.capture()
        args = [SIDECAR, "--state", self.state, "--access-log", "--min-drain", "0s", *flags]
        self.sidecar = Proc(f"{self.name}/sidecar", self.enter(*args, uid=PROXY_UID),
                            os.path.join(self.dir, "sidecar.log"))
        if wait:
            self.sidecar.wait_text('"listening"')
            wait_for(f"{self.name} to be ready", lambda: self.admin("/healthz/ready")[0] == 200)
        return self.sidecar

    def admin(self, path, port=15000):
        """(status, text) of the pod's admin endpoint, asked from inside of the pod."""
        done = self.exec("curl", "-sS", "-m", "10", "-o", "-", "-w", "\n%{http_code}",
                         f"http://127.0.0.1:{port}{path}", check=False, uid=None)
        text, _, code = done.stdout.rpartition("\n")
        return (int(code) if code.isdigit() else 0), text

    def metrics(self):
        status, text = self.admin("/metrics", 15020)
        if status != 200:
            raise WeftError(f"{self.name}: metrics answered {status}: {text}")
        return text

    def metric(self, name, **labels):
        """Sum of the series of that name which carry these labels."""
        total = 0.0
        for line in self.metrics().splitlines():
            if line.startswith(name + "{") or line.startswith(name + " "):
                if all(f'{k}="{v}"' in line for k, v in labels.items()):
                    total += float(line.rsplit(" ", 1)[1])
        return total

    def log(self):
        """Events of the sidecar so far, as dictionaries."""
        events = []
        for line in self.sidecar.text().splitlines():
            try:
                events.append(json.loads(line))
            except ValueError:
                events.append({"raw": line})
        return events

    def record(self):
        """Records what the pod's veth carries until the mesh is closed."""
        self.recorder = Recorder(self.mesh.node, self.veth, os.path.join(self.dir, "veth.pcap"))

    def close(self):
        for p in reversed(self.procs):
            if p.alive():
                p.kill()
        if self.sidecar is not None and self.sidecar.alive():
            self.sidecar.kill()
        if self.recorder is not None:
            self.recorder.stop()
        run("ip", "netns", "del", self.netns, check=False)


class Mesh:
    """Everything of one test: closed by close(), by leaving `with`, or when the interpreter ends."""

    def __init__(self, trust_domain="cluster.local", keep=False, record=True, control=None):
        """control: flags of a control plane from which the sidecars live; None: state files are compiled here."""
        self.tag = "w" + os.urandom(4).hex()
        self.prefix = f"weft-{self.tag}"
        self.node = f"{self.prefix}-node"
        self.trust_domain, self.keep, self.recording = trust_domain, keep, record
        self.dir = tempfile.mkdtemp(prefix=f"{self.prefix}-")
        os.chmod(self.dir, 0o755)
        self.manifests = os.path.join(self.dir, "manifests")
        self.ca = os.path.join(self.dir, "ca")
        self.pods, self.services, self.objects, self.closed = {}, {}, [], False
        self.build = BUILD
        self.control = ControlPlane(self, *control) if control is not None else None
        os.makedirs(self.manifests)
        self.reaper = subprocess.Popen(
            [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "reaper.py"), self.prefix,
             self.dir if not keep else "/nonexistent"], stdin=subprocess.PIPE, start_new_session=True)
        atexit.register(self.close)
        try:
            run("ip", "netns", "add", self.node)
            # An address of its own: a bridge takes the lowest one of its ports, and would change it with a new pod.
            run("ip", "-n", self.node, "-batch", "-", input="""link set lo up
link add br0 address 02:77:00:00:00:01 type bridge
link set br0 up
addr add 10.77.255.254/16 dev br0
addr add fd77::ffff/64 dev br0 nodad
""")
            run(WEFT, "cert", "root", "--trust-domain", trust_domain, "--out", self.ca)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def pod(self, name, record=None, **kw):
        p = Pod(self, name, index=len(self.pods) + 2, **kw)
        self.pods[name] = p
        if self.recording if record is None else record:
            p.record()
        return p

    def service(self, name, port, target=None, selector=None, **kw):
        """A Service with one port (name or (name, number) or a full list of port objects)."""
        ports = port
        if not isinstance(port, list):
            pname, number = port if isinstance(port, tuple) else (None, port)
            ports = [{"port": number, "targetPort": target or number, "protocol": "TCP"}]
            if pname:
                ports[0]["name"] = pname
        s = Service(self, name, selector or {"app": name}, ports, index=len(self.services) + 1, **kw)
        self.services[name] = s
        return s

    def apply(self, *objects):
        """Adds objects, replacing those of the same kind, namespace and name."""
        def key(o):
            m = o["metadata"]
            return o["kind"], m.get("namespace", "default"), m["name"]
        for o in objects:
            self.objects = [x for x in self.objects if key(x) != key(o)] + [o]

    def delete(self, kind, name, ns="default"):
        self.objects = [o for o in self.objects
                        if (o["kind"], o["metadata"].get("namespace", "default"), o["metadata"]["name"])
                        != (kind, ns, name)]

    def write_manifests(self):
        config = {"apiVersion": "mesh.weft.dev/v1alpha1", "kind": "MeshConfig",
                  "metadata": {"name": "mesh", "namespace": "weft-system"},
                  "spec": {"trustDomain": self.trust_domain, "meshRanges": MESH_RANGES}}
        objects = [config] + [s.manifest() for s in self.services.values()]
        objects += [p.manifest() for p in self.pods.values()] + self.objects
        path, text = os.path.join(self.manifests, "mesh.yaml"), to_yaml(objects)
        if os.path.exists(path):
            with open(path) as f:
                if f.read() == text:
                    return False
        with open(path + ".new", "w") as f:
            f.write(text)
        os.rename(path + ".new", path)  # whole, for whoever watches
        return True

    def start(self, *flags):
        """Starts a sidecar in every meshed pod that has none yet, and the control plane before them."""
        if self.control is not None:
            if self.control.proc is None:
                self.control.start()
            else:
                self.control.reload()
        for p in self.pods.values():
            if p.meshed and p.sidecar is None:
                p.start_sidecar(*flags)

    def recompile(self):
        """New states for all running sidecars, as after a change of manifests."""
        if self.control is not None:
            self.control.reload()
            return
        for p in self.pods.values():
            if p.sidecar is not None and p.sidecar.alive():
                p.compile()

    def close(self):
        if self.closed:
            return
        self.closed = True
        atexit.unregister(self.close)
        for p in self.pods.values():
            p.close()
        if self.control is not None and self.control.proc is not None and self.control.proc.alive():
            self.control.kill()
        run("ip", "netns", "del", self.node, check=False)
        if not self.keep:
            shutil.rmtree(self.dir, ignore_errors=True)
        self.reaper.stdin.close()
        self.reaper.wait(30)
