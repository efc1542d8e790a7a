"""Many keep-alive clients on one thread, as fast as Python can."""

import select
import socket
import time

LONGEST_ANSWER = 65536


class Crowd:
    """Connections that post again and again; each request is one write."""

    def __init__(self, port, n):
        self.sockets = []
        self.by_fd = {}
        self.poll = select.epoll()
        self.slowest = 0
        self.statuses = {}
        for _ in range(n):
            s = socket.create_connection(("127.0.0.1", port), timeout=30)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sockets.append(s)
            self.by_fd[s.fileno()] = s
            self.poll.register(s.fileno(), select.EPOLLIN)

    def close(self):
        for s in self.sockets:
            s.close()
        self.poll.close()

    def run(self, requests, until, patience):
        """Each connection posts the requests in turn, the next one with each answer, until it is
        time. Returns how often each was answered 204."""
        began, answered, place = {}, [0] * len(requests), {}
        for i, fd in enumerate(self.by_fd):
            place[fd] = i
            self._send(fd, requests[i % len(requests)], began)
        while began:
            for fd in self._ready(patience, began):
                if self._answer(fd, began):
                    answered[place[fd] % len(requests)] += 1
                if time.monotonic() < until:
                    place[fd] += 1
                    self._send(fd, requests[place[fd] % len(requests)], began)
        return answered

    def volley(self, requests, patience):
        """All connections post at the same moment, once. Returns as run does."""
        began, answered = {}, [0] * len(requests)
        place = {fd: i for i, fd in enumerate(self.by_fd)}
        for fd, i in place.items():
            self._send(fd, requests[i % len(requests)], began)
        while began:
            for fd in self._ready(patience, began):
                answered[place[fd] % len(requests)] += self._answer(fd, began)
        return answered

    def _send(self, fd, request, began):
        began[fd] = time.monotonic()
        self.by_fd[fd].sendall(request)

    def _ready(self, patience, began):
        events = self.poll.poll(patience)
        if not events:
            raise AssertionError(f"{len(began)} of {len(self.by_fd)} wait for an answer for "
                                 f"{patience} s")
        return [fd for fd, _ in events]

    def _answer(self, fd, began):
        data = self.by_fd[fd].recv(LONGEST_ANSWER)
        self.slowest = max(self.slowest, time.monotonic() - began.pop(fd))
        status = data[9:12].decode("latin-1")
        self.statuses[status] = self.statuses.get(status, 0) + 1
        assert data.endswith(b"\r\n\r\n") or status != "204", data
        return status == "204"
