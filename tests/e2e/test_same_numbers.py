"""An application that happens to use the very four numbers (addresses and ports) of a connection of its sidecar that
was reset a moment ago: conntrack still has that one, untranslated, and would let the new one pass the sidecar by."""

import socket
import struct

import pytest

from conftest import make_mesh
from weftnet import run, wait_for
from weftnet.inside import App, http1, inside, listen, read_response
from weftnet.mesh import APP_UID, PROXY_UID

PORT, OURS = 8080, 45001


def dial(pod, ip, uid):
    """A connection from the port OURS."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET

    def go():
        s = socket.socket(family)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.settimeout(40)
        s.bind((pod.ip6 if ":" in ip else pod.ip4, OURS))
        s.connect((ip, PORT))
        return s
    return inside(pod, go, uid)


BACKENDS = {"nft": ["--backend=nft"], "iptables-nft": ["--backend=iptables", "--iptables=nft"],
            "iptables-legacy": ["--backend=iptables", "--iptables=legacy"]}


@pytest.fixture(scope="module", params=BACKENDS)
def pods(request):
    with make_mesh() as m:
        client, dest = m.pod("client"), m.pod("dest", meshed=False)
        m.apply({"apiVersion": "mesh.weft.dev/v1alpha1", "kind": "PeerAuthentication",
                 "metadata": {"name": "open", "namespace": "default"}, "spec": {"mtls": {"mode": "DISABLE"}}})
        # Ten seconds otherwise, for which the application's first packet would be sent again and again.
        run("ip", "netns", "exec", client.netns, "sysctl", "-q", "-w", "net.netfilter.nf_conntrack_tcp_timeout_close=2")
        client.capture(*BACKENDS[request.param])
        client.start_sidecar(capture=False)
        yield client, dest


def test_application_is_captured_all_the_same(pods, family):
    client, dest = pods
    with listen(dest, PORT) as server:
        server.settimeout(20)
        s = dial(client, dest.ip(family), PROXY_UID)  # as the sidecar does
        accepted, _ = server.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
        try:
            assert s.recv(1) == b""
        except ConnectionResetError:
            pass
        s.close()
    with App(dest, PORT, http1()) as app:
        with dial(client, dest.ip(family), APP_UID) as s:  # waits until conntrack has forgotten the other one
            s.sendall(b"GET / HTTP/1.1\r\nHost: dest\r\n\r\n")
            assert read_response(s)[0] == 200
        wait_for("the sidecar to have carried it", lambda: [
            e for e in client.log() if e.get("room") == "access" and e.get("status") == 200])
        assert app.conns and all(c.peer[1] != OURS for c in app.conns), [c.peer for c in app.conns]
