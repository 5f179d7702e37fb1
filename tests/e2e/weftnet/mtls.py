"""Peers that speak the mesh's TLS without a sidecar: leaves of any kind, and connections made by OpenSSL,
as somebody would who stole a key or owns a node."""

import os
import ssl

from .inside import connect
from .mesh import PROXY_UID, WEFT
from .proc import run


def make_root(mesh, name, trust_domain):
    """A CA of its own."""
    ca = os.path.join(mesh.dir, name)
    run(WEFT, "cert", "root", "--trust-domain", trust_domain, "--out", ca)
    return ca


def make_leaf(mesh, name, spiffe_id, *flags, ca=None, uid=None):
    """PREFIX of NAME.pem and NAME-key.pem in the mesh's folder."""
    prefix = os.path.join(mesh.dir, "leaf-" + name)
    more = ["--pod-uid", uid] if uid else []
    run(WEFT, "cert", "leaf", "--ca", ca or mesh.ca, "--id", spiffe_id, "--out", prefix, "--force", *more, *flags)
    os.chmod(prefix + "-key.pem", 0o644)
    return prefix


def client_context(leaf=None, alpn=("weft/tcp",), ca=None):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname = False
    ctx.verify_mode = ssl.CERT_NONE
    if ca:
        ctx.load_verify_locations(os.path.join(ca, "root.pem"))
        ctx.verify_mode = ssl.CERT_REQUIRED
    if leaf:
        ctx.load_cert_chain(leaf + ".pem", leaf + "-key.pem")
    if alpn:
        ctx.set_alpn_protocols(list(alpn))
    return ctx


def dial_tls(pod, ip, port, leaf, alpn="weft/tcp", uid=PROXY_UID, timeout=10):
    """A TLS connection from the pod, past its capture, under the identity of leaf."""
    s = connect(pod, ip, port, uid, timeout)
    try:
        return client_context(leaf, (alpn,)).wrap_socket(s)
    except BaseException:
        s.close()
        raise
