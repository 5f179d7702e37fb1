"""Endpoints of a Service share its requests: by turns, or the less loaded of two, and the one that is gone
gets none."""

import collections
import time

import pytest

from conftest import make_mesh, url
from test_smoke import start_nginx
from weftnet import wait_for

PODS = 3


def policy(kind):
    return {"apiVersion": "mesh.weft.dev/v1alpha1", "kind": "TrafficPolicy",
            "metadata": {"name": "choice", "namespace": "default"},
            "spec": {"targetRefs": [{"kind": "Service", "name": "web"}], "loadBalancer": {"simple": kind}}}


@pytest.fixture(scope="module")
def three():
    with make_mesh() as m:
        client = m.pod("client")
        webs = [m.pod(f"web{i}", sa="web", labels={"app": "web"}, ports=[("http", 8080)]) for i in range(PODS)]
        m.service("web", ("http", 80), target=8080)
        for w in webs:
            start_nginx(w)
        m.start()
        yield m, client, webs


def ask(m, client, family, n):
    """Which endpoint answered each of n requests, one after the other on connections of their own."""
    got = collections.Counter()
    for _ in range(n):
        done = client.exec("curl", "-sS", "-m", "10", url(m.services["web"].ip(family), 80))
        got[done.stdout.split()[2]] += 1
    return got


def apply(m, client, kind):
    """The policy in force: the sidecar says when it took the new state."""
    m.apply(policy(kind))
    before = client.sidecar.text().count('"configuration in force"')
    client.compile()
    wait_for("the new state", lambda: client.sidecar.text().count('"configuration in force"') > before)


def test_round_robin_takes_turns(three, family):
    m, client, webs = three
    apply(m, client, "ROUND_ROBIN")
    got = ask(m, client, family, 4 * PODS)
    assert got == {w.ip(family): 4 for w in webs}


def test_least_request_uses_all(three, family):
    m, client, webs = three
    apply(m, client, "LEAST_REQUEST")
    got = ask(m, client, family, 30)
    assert set(got) == {w.ip(family) for w in webs}


def test_an_endpoint_that_is_gone_costs_no_request(three, family):
    m, client, webs = three
    apply(m, client, "ROUND_ROBIN")
    gone = webs[0]
    for p in gone.procs + [gone.sidecar]:
        p.kill()
    try:
        got = ask(m, client, family, 3 * PODS)
        assert sum(got.values()) == 3 * PODS and gone.ip(family) not in got
    finally:
        gone.procs.clear()
        start_nginx(gone)
        gone.start_sidecar(capture=False)
        start = time.monotonic()
        while gone.ip(family) not in ask(m, client, family, PODS):
            assert time.monotonic() - start < 30, "the endpoint was not taken back"
