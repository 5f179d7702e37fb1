"""The main job: two real programs in separate namespaces, captured and carried over mutual TLS."""

import json

import pytest

from conftest import make_mesh, url
from weftnet import run, wait_for
from weftnet.mesh import SIDECAR

NGINX = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log stderr;
events {{ worker_connections 4096; }}
http {{
  access_log {dir}/access.log; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p;
  fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  server {{
    listen 0.0.0.0:8080; listen [::]:8080;
    location / {{ default_type text/plain; return 200 "hello from $server_addr xfcc=$http_x_forwarded_client_cert\\n"; }}
  }}
}}
"""


def start_nginx(pod):
    import os
    os.chmod(pod.dir, 0o777)
    conf = f"{pod.dir}/nginx.conf"
    with open(conf, "w") as f:
        f.write(NGINX.format(dir=pod.dir))
    pod.spawn("nginx", "nginx", "-c", conf, "-e", "stderr", "-p", pod.dir)
    pod.wait_port(8080)


@pytest.fixture(scope="module")
def shop():
    with make_mesh() as m:
        client = m.pod("client")
        web = m.pod("web", ports=[("http", 8080)])
        stranger = m.pod("stranger", meshed=False)
        m.service("web", ("http", 80), target=8080)
        start_nginx(web)
        m.start()
        yield m, client, web, stranger


def test_get_through_both_sidecars(shop, family):
    m, client, web, _ = shop
    seen = len(web.log())
    done = client.exec("curl", "-sS", "-m", "10", url(m.services["web"].ip(family), 80))
    assert f"hello from {web.ip(family)}" in done.stdout
    assert f"URI={client.spiffe_id}" in done.stdout
    event = wait_for("its event", lambda: [e for e in web.log()[seen:] if e.get("room") == "access"])[-1]
    assert event["source_identity"] == client.spiffe_id
    assert event["status"] == 200 and event["tls"] == "mtls"


def test_plaintext_to_strict_is_refused(shop, family):
    m, _, web, stranger = shop
    done = stranger.exec("curl", "-sS", "-m", "10", url(web.ip(family), 8080), check=False)
    assert done.returncode != 0 and done.stdout == ""
    assert web.metric("weft_connections_refused_total", reason="plaintext") >= 1


def test_config_dump_has_no_key(shop):
    status, text = shop[1].admin("/config_dump")
    assert status == 200
    dump = json.loads(text)
    assert dump["identity"]["spiffe_id"] == shop[1].spiffe_id
    assert "PRIVATE" not in text and dump["identity"]["key"] == "(redacted)"


def test_ports_that_clash():
    done = run(SIDECAR, "--outbound-port", "15006", check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("weft-sidecar: --outbound-port and --inbound-port are both 15006")
