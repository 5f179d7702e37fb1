"""Real servers for pods, and what they and their clients recorded of each tagged request."""

import collections
import json
import os

from .proc import wait_for

NGINX = """
{load}
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log stderr;
events {{ worker_connections 16384; }}
http {{
  log_format tagged escape=json '{{"tag":"$http_x_tag","method":"$request_method","uri":"$request_uri",'
    '"status":$status,"proto":"$server_protocol","sent":$body_bytes_sent,"conn":$connection}}';
  access_log {dir}/access.log tagged;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4;
  scgi_temp_path {dir}/t5;
  keepalive_requests 1000000; http2_max_concurrent_streams 1000; types_hash_max_size 2048;
{http}
}}
{stream}
"""


class Nginx:
    """nginx in a pod; http and stream are configuration text in which {dir} is the pod's folder."""

    def __init__(self, pod, http, ports, stream=""):
        self.dir = pod.dir
        os.chmod(pod.dir, 0o777)
        conf = os.path.join(pod.dir, "nginx.conf")
        load = "load_module modules/ngx_stream_module.so;" if stream else ""
        with open(conf, "w") as f:
            f.write(NGINX.format(dir=pod.dir, load=load, http=http.replace("{dir}", pod.dir),
                                 stream=stream.replace("{dir}", pod.dir)))
        self.proc = pod.spawn("nginx", "nginx", "-c", conf, "-e", "stderr")
        for port in ports:
            pod.wait_port(port)

    def records(self, prefix=""):
        """Access log entries whose tag begins with the prefix."""
        with open(os.path.join(self.dir, "access.log")) as f:
            entries = [json.loads(line) for line in f]
        return [e for e in entries if e["tag"].startswith(prefix)]


def differences(client, server):
    """What one side recorded more often than the other, both lists of hashables."""
    client, server = collections.Counter(client), collections.Counter(server)
    return {"client only": dict(client - server), "server only": dict(server - client)} if client != server else {}


def agree(client, server):
    """Waits until server() (a list of tags, or of tuples with more) is what the client recorded; a log may be
    written after the response has gone out."""
    wait_for("the server's records", lambda: len(server()) >= len(client))
    assert not differences(client, server())
