"""A sidecar that is started before there is anything for it: not ready, and it says what it waits for."""

import os

from conftest import make_mesh
from weftnet import Proc, wait_for
from weftnet.mesh import PROXY_UID, SIDECAR


def test_no_state_is_not_ready_and_says_why():
    with make_mesh() as m:
        web = m.pod("web", ports=[("http", 8080)])
        web.capture()
        web.sidecar = Proc("web/sidecar", web.enter(SIDECAR, "--state", web.state, uid=PROXY_UID),
                           os.path.join(web.dir, "sidecar.log"))
        web.sidecar.wait_text('"listening"')
        status, text = web.admin("/healthz/ready")
        assert status == 503 and "no configuration" in text and web.state in text
        web.compile()
        wait_for("web to be ready", lambda: web.admin("/healthz/ready")[0] == 200)
