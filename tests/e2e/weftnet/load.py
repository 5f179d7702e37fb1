"""A load that wants every answer: threads in a pod with kept connections, each request tagged and recorded here,
and compared with what the servers recorded."""

import collections
import itertools
import threading

from .inside import Reader, connect
from .proc import wait_for

SERIAL = itertools.count()
PER_CONNECTION = 40  # then a new one, so that new ones are part of the load


class Load:
    """Requests to (ip, port) targets until finish(); methods by turns. A POST must not be sent twice by anybody.
    pace: seconds between two requests of a worker; per_connection: requests before a new connection is made."""

    def __init__(self, pod, targets, workers=8, methods=("GET", "POST"), pace=0, per_connection=PER_CONNECTION):
        self.pod, self.targets, self.methods = pod, list(targets), methods
        self.pace, self.per_connection = pace, per_connection
        self.prefix, self.stop = f"load{next(SERIAL)}-", threading.Event()
        self.sent, self.failed, self.answers = [], [], collections.Counter()
        self.threads = [threading.Thread(target=self._work, args=(n,), daemon=True) for n in range(workers)]
        for t in self.threads:
            t.start()
        self.wait_more(min(50, 4 * workers))

    def _work(self, worker):
        ip, port = self.targets[worker % len(self.targets)]
        number = itertools.count()
        while not self.stop.is_set():
            try:
                with connect(self.pod, ip, port, timeout=20) as sock:
                    self._connection(sock, worker, number)
            except OSError as e:
                self.failed.append((f"connect {ip}:{port}", repr(e)))
                return

    def _connection(self, sock, worker, number):
        reader = Reader(sock)
        for n in itertools.islice(number, self.per_connection):
            method = self.methods[n % len(self.methods)]
            tag = f"{self.prefix}{worker}-{n}"
            body = f"Content-Length: {len(tag)}\r\n\r\n{tag}" if method == "POST" else "\r\n"
            self.sent.append((tag, method))
            try:
                sock.sendall(f"{method} /{tag} HTTP/1.1\r\nHost: web\r\nX-Tag: {tag}\r\n{body}".encode())
                status, answer, whole = reader.answer()
            except OSError as e:
                status, answer, whole = 0, repr(e).encode(), False
            if status != 200 or not whole or tag.encode() not in answer:
                self.failed.append((tag, method, status, answer[:200]))
                return
            self.answers[answer.split()[0].decode()] += 1
            if self.stop.wait(self.pace) or reader.closing:
                return

    def wait_more(self, n):
        """Until n more requests have been answered, or one has failed."""
        goal = sum(self.answers.values()) + n
        wait_for(f"{n} more requests", lambda: self.failed or sum(self.answers.values()) >= goal,
                 timeout=60 + n * self.pace)
        assert not self.failed, self.failed[:5]

    def finish(self, more=0):
        """Ends after so many more; nothing may have failed. Number of requests."""
        try:
            self.wait_more(more)
        finally:
            self.stop.set()
            for t in self.threads:
                t.join(30)
        assert not self.failed, self.failed[:5]
        return len(self.sent)

    def judge(self, servers):
        """Every request is in the servers' records: a POST once, what is safe to repeat at least once."""
        def seen():
            return collections.Counter((e["tag"], e["method"]) for s in servers for e in s.records(self.prefix))

        sent = collections.Counter(self.sent)
        wait_for("the servers' records", lambda: not sent - seen())
        for (tag, method), n in (seen() - sent).items():
            assert method != "POST", f"{tag} was served {n + 1} times"
        assert not set(seen()) - set(sent)
