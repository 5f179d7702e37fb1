"""Processes: run to the end, or in the background with a log file and a line to wait for."""

import os
import signal
import subprocess
import time

WAIT_S = float(os.environ.get("WEFT_TEST_WAIT", "20"))


class WeftError(Exception):
    """What went wrong, with the output that tells why."""


def run(*args, check=True, input=None, timeout=60, env=None):
    """Runs a command to its end; stdout as text. Fails with both outputs when check is set."""
    args = [str(a) for a in args]
    done = subprocess.run(args, input=input, capture_output=True, text=True, timeout=timeout,
                          env={**os.environ, **env} if env else None, errors="replace")
    if check and done.returncode != 0:
        raise WeftError(f"{' '.join(args)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def wait_for(what, predicate, timeout=WAIT_S, interval=0.02):
    """Polls a condition until it holds (its value is returned) or the time is over (an error).
    The interval bounds how late we notice, never what is true."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise WeftError(f"waited {timeout:g} s for {what}")
        time.sleep(interval)


class Proc:
    """A background process in a group of its own, its output in a log file."""

    def __init__(self, name, args, log, env=None):
        self.name, self.log = name, log
        self._file = open(log, "ab")
        self._begin = self._file.tell()
        self.popen = subprocess.Popen([str(a) for a in args], stdin=subprocess.DEVNULL,
                                      stdout=self._file, stderr=subprocess.STDOUT,
                                      start_new_session=True,
                                      env={**os.environ, **env} if env else None)

    @property
    def pid(self):
        return self.popen.pid

    def text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def own_text(self):
        """Without what a process before it has left in the same log."""
        with open(self.log, "rb") as f:
            f.seek(self._begin)
            return f.read().decode(errors="replace")

    def alive(self):
        return self.popen.poll() is None

    def wait_text(self, needle, timeout=WAIT_S):
        """Waits until it has said needle in its log; an early end of the process is an error at once."""
        def seen():
            if needle in self.own_text():
                return True
            if not self.alive() and needle not in self.own_text():
                raise WeftError(f"{self.name} ended with {self.popen.returncode}:\n{self.text()}")
            return False
        try:
            wait_for(f"{needle!r} from {self.name}", seen, timeout)
        except WeftError as e:
            raise WeftError(f"{e}; its log:\n{self.text()[-4000:]}") from e

    def signal(self, signo):
        if self.alive():
            try:
                os.killpg(self.pid, signo)
            except ProcessLookupError:
                pass

    def wait(self, timeout=WAIT_S):
        return self.popen.wait(timeout)

    def stop(self, timeout=5):
        """SIGTERM, then SIGKILL; returns the exit status."""
        self.signal(signal.SIGTERM)
        try:
            self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self.popen.wait(timeout)
        self._file.close()
        return self.popen.returncode

    def kill(self):
        self.signal(signal.SIGKILL)
        self.popen.wait(10)
        self._file.close()
