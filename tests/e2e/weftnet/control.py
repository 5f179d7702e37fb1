"""The control plane of a mesh: weft-ctrlplane on the node, its files, its tokens and what it says of itself."""

import json
import os
import shutil
import signal

from .proc import Proc, WeftError, run, wait_for

GRPC_PORT, ADMIN_PORT = 15012, 15014
NODE_IP4, NODE_IP6 = "10.77.255.254", "fd77::ffff"


class ControlPlane:
    """Started by start(); stops with its mesh. Its data survives a restart."""

    def __init__(self, mesh, *flags):
        self.mesh, self.flags, self.proc, self.starts = mesh, list(flags), None, 0
        self.data = os.path.join(mesh.dir, "ctrlplane")
        self.socket = os.path.join(mesh.dir, "ctrlplane.sock")
        self.log = os.path.join(mesh.dir, "ctrlplane.log")
        self.address = f"{NODE_IP4}:{GRPC_PORT}"

    @property
    def root(self):
        return os.path.join(self.data, "root.pem")

    def enter(self, *args):
        return ["nsenter", f"--net=/run/netns/{self.mesh.node}", "--", *args]

    def start(self, *flags, wait=True):
        self.mesh.write_manifests()
        self.starts += 1
        program = os.path.join(self.mesh.build, "weft-ctrlplane")
        args = [program, "--source", f"dir:{self.mesh.manifests}", "--data-dir", self.data, "--trust-domain",
                self.mesh.trust_domain, "--control-socket", self.socket, *self.flags, *flags]
        self.proc = Proc(f"ctrlplane{self.starts}", self.enter(*args), self.log)
        if wait:
            self.proc.wait_text('"listening"')
            wait_for("the control plane to be ready", self.ready)
        return self.proc

    def ready(self):
        if not self.proc.alive():
            raise WeftError(f"the control plane ended with {self.proc.popen.returncode}:\n{self.text()[-4000:]}")
        return self.admin("/healthz/ready")[0] == 200

    def text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def events(self):
        out = []
        for line in self.text().splitlines():
            try:
                out.append(json.loads(line))
            except ValueError:
                out.append({"raw": line})
        return out

    def kill(self):
        self.proc.kill()

    def stop(self):
        return self.proc.stop(15)

    def freeze(self):
        """It accepts and stays silent: the kernel takes connections, nobody answers."""
        os.kill(self._pid(), signal.SIGSTOP)

    def thaw(self):
        os.kill(self._pid(), signal.SIGCONT)

    def _pid(self):
        return self.proc.pid

    # -- what it says -------------------------------------------------------------------------------

    def admin(self, path):
        """(status, text) of its admin endpoint, asked on the node's loopback."""
        done = run(*self.enter("curl", "-sS", "-m", "10", "-o", "-", "-w", "\n%{http_code}",
                               f"http://127.0.0.1:{ADMIN_PORT}{path}"), check=False)
        text, _, code = done.stdout.rpartition("\n")
        return (int(code) if code.isdigit() else 0), text

    def metric(self, name, **labels):
        total = 0.0
        for line in self.admin("/metrics")[1].splitlines():
            if line.startswith(name + "{") or line.startswith(name + " "):
                if all(f'{k}="{v}"' in line for k, v in labels.items()):
                    total += float(line.rsplit(" ", 1)[1])
        return total

    def weft(self, *args, check=True):
        """A `weft` command on the node."""
        return run(*self.enter(os.path.join(self.mesh.build, "weft"), *args), check=check)

    def proxies(self):
        """pod -> what proxy-status knows of it; only those that are connected."""
        done = self.weft("proxy-status", "-o", "json", check=False)
        answer = json.loads(done.stdout)
        rows = answer["proxies"] if isinstance(answer, dict) else answer
        return {p["pod"]: p for p in rows if p.get("connected", True)}

    def wait_connected(self, n):
        """Until n sidecars are connected. They try again within half a minute at the latest."""
        wait_for(f"{n} sidecars to be connected", lambda: len(self.proxies()) == n, timeout=50)

    def ca(self, *args):
        return self.weft("ca", *args, "--control-socket", self.socket)

    def signer(self):
        """A folder as `weft cert` has them, with the root of now and its key: what a thief of that key would have."""
        folder = os.path.join(self.mesh.dir, "stolen")
        os.makedirs(folder, exist_ok=True)
        shutil.copy(self.root, os.path.join(folder, "root.pem"))
        shutil.copy(os.path.join(self.data, "root.key"), os.path.join(folder, "root-key.pem"))
        return folder

    # -- pods ---------------------------------------------------------------------------------------

    def token(self, pod, *flags):
        """A fresh join token of the pod, in a file that its sidecar alone can read."""
        done = self.weft("token", "create", f"{pod.ns}/{pod.name}", "--control-socket", self.socket, *flags)
        path = os.path.join(pod.dir, "token")
        tmp = path + ".new"
        with open(tmp, "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write(done.stdout.strip() + "\n")
        os.chown(tmp, pod.proxy_uid, pod.proxy_uid)
        os.rename(tmp, path)
        return path

    def bootstrap(self, pod):
        """The root that a sidecar is given; the one of now."""
        path = os.path.join(pod.dir, "root.pem")
        shutil.copy(self.root, path + ".new")
        os.chmod(path + ".new", 0o644)
        os.rename(path + ".new", path)
        return path

    def source(self):
        """(position, ...) of the source in force."""
        text = self.admin("/config_dump")[1]
        return json.loads(text)

    def reload(self, wait=True):
        """New manifests; waits until every connected sidecar has them in force."""
        before = self.position()
        changed = self.mesh.write_manifests()
        if changed and wait:
            wait_for("the control plane to take the manifests up", lambda: self.position() != before)
            self.settled()

    def position(self):
        return self.source().get("position")

    def settled(self):
        """Until every connected sidecar has answered everything of the position in force."""
        wait_for("the sidecars to have it", lambda: all(p["synced"] for p in self.proxies().values()))
