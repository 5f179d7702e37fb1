"""The small world of the HTTP tests: a client, nginx and a port for scripted servers, two sidecars between."""

import os

from . import apps, http1, sock

RAW = 9001


def url(ip, port, path="/"):
    host = f"[{ip}]" if ":" in ip else ip
    return f"http://{host}:{port}{path}"


class HttpWorld:
    """Service web: port 80 nginx over HTTP/1, 81 nginx over HTTP/2, 90 scripted servers.
    http: nginx configuration with its servers on 8080 and 8081; files: name to content below {dir}/files."""

    def __init__(self, m, http, files=None, http2=False, flags=()):
        self.mesh, self.client = m, m.pod("client")
        self.web = m.pod("web", ports=[("http", 8080), ("http2", 8081), ("http-raw", RAW)])
        self.service = m.service("web", [{"name": "http", "port": 80, "targetPort": 8080},
                                         {"name": "http2", "port": 81, "targetPort": 8081},
                                         {"name": "http-raw", "port": 90, "targetPort": RAW}])
        self.files = os.path.join(self.web.dir, "files")
        os.makedirs(os.path.join(self.files, "up"))
        os.chmod(os.path.join(self.files, "up"), 0o777)
        for name, text in (files or {}).items():
            with open(os.path.join(self.files, name), "w") as f:
                f.write(text)
        self.nginx = apps.Nginx(self.web, http, [8080, 8081] if http2 else [8080])
        m.start(*flags)

    def curl(self, *args, check=True, input=None):
        return self.client.exec("curl", "-sS", "-m", "20", *args, check=check, input=input).stdout

    def open(self, family, port=80):
        """(socket, file to read from) to the service."""
        s = sock.connect(self.client, self.service.ip(family), port)
        return s, s.makefile("rb")

    def ask(self, family, request, port=80, method="GET"):
        """One raw request on a connection of its own; the response."""
        s, f = self.open(family, port)
        with s, f:
            s.sendall(request)
            return http1.read_response(f, method)

    def url(self, family, path="/hello", port=80):
        return url(self.service.ip(family), port, path)

    def agree(self, tags):
        """nginx recorded exactly these tags among those that begin alike."""
        apps.agree(tags, lambda: [e["tag"] for e in self.nginx.records(os.path.commonprefix(tags))])

    def serve(self, script):
        """A scripted server behind port 90: script(socket, file) per connection."""
        def run(s):
            with s.makefile("rb") as f:
                script(s, f)
        return sock.Server(self.web, RAW, run)

    def access(self, pod, **want):
        """Access log events of a pod's sidecar with these values."""
        return [e for e in pod.log() if e.get("room") == "access" and all(e.get(k) == v for k, v in want.items())]
