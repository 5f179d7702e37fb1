"""Takes a mesh away when the process that made it dies without doing so (SIGKILL): waits for the end of
its standard input, which only that process holds open, then ends what runs in the mesh's namespaces and
deletes namespaces and files. Started by Mesh; harmless after an orderly close()."""

import os
import shutil
import signal
import subprocess
import sys


def namespaces(prefix):
    try:
        return [n for n in os.listdir("/run/netns") if n.startswith(prefix)]
    except FileNotFoundError:
        return []


def main(prefix, folder):
    for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, signal.SIG_IGN)
    sys.stdin.buffer.read()
    for ns in namespaces(prefix):
        out = subprocess.run(["ip", "netns", "pids", ns], capture_output=True, text=True).stdout
        for pid in out.split():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass
        subprocess.run(["ip", "netns", "del", ns], capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
