"""Sends HTTP/1.1 requests from one thread, in a closed or an open loop.

Server and client share the cores, so the client must be cheap: one event loop over sockets, and
requests that are bytes already. What it takes of the cores is part of each `Run`.
"""

import itertools
import random
import select
import socket
import statistics
import time
from collections import deque, namedtuple

# `sent` is a time of time.perf_counter. Status 0: no response within the client's patience.
Response = namedtuple("Response", "label sent ms status headers body")

READ_BYTES = 1 << 18
# More connections than this are never open; an arrival beyond them counts as unanswered.
CONNECTIONS = 12_000


def post(path, body, content_type="image/jpeg", accept="application/json"):
    """The bytes of a request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n"
        f"Accept: {accept}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode()


def percentile(values, hundredths):
    """A percentile of some values; `nan` of none."""
    if len(values) < 2:
        return values[0] if values else float("nan")
    return statistics.quantiles(values, n=100, method="inclusive")[hundredths - 1]


class Run:
    """What came of some requests."""

    def __init__(self):
        self.responses = []
        self.unsent = 0
        self.started, self.cpu_before = time.perf_counter(), time.process_time()

    def end(self):
        self.seconds = time.perf_counter() - self.started
        self.client_cpu = (time.process_time() - self.cpu_before) / self.seconds

    def times(self, status=200):
        return [response.ms for response in self.responses if response.status == status]

    def count(self, *statuses):
        return sum(response.status in statuses for response in self.responses)

    def statuses(self):
        """How often each status came, as text: `120 × 200, 3 × 503`."""
        found = sorted({response.status for response in self.responses})
        parts = [f"{self.count(status)} × {status or 'no response'}" for status in found]
        return ", ".join(parts) or "none"

    def p50(self, status=200):
        return percentile(self.times(status), 50)

    def p95(self, status=200):
        return percentile(self.times(status), 95)

    def per_second(self):
        """Successful responses per second."""
        return self.count(200) / self.seconds


def split_head(received):
    """The status, the headers and where the body begins; None while the head is incomplete."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    status, *lines = bytes(received[:end]).decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return int(status.split()[1]), headers, end + 4


def unchunked(body):
    """The data of a chunked body."""
    parts, position = [], 0
    while True:
        end = body.find(b"\r\n", position)
        size = int(body[position:end].split(b";")[0], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(body[end + 2 : end + 2 + size])
        position = end + 4 + size


class Connection:
    """A socket that does not block, and the request in progress on it."""

    def __init__(self, address):
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect_ex(address)
        self.is_reused = False
        self.is_busy = False

    def begin(self, label, request, sent):
        self.label, self.request, self.sent = label, request, sent
        self.unsent, self.received, self.head = memoryview(request), bytearray(), None
        self.is_busy = True

    def write(self):
        """Sends what the socket takes."""
        try:
            self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except BlockingIOError:
            pass

    def read(self):
        """Reads; returns the response if it is complete. Raises OSError at the connection's end."""
        data = self.socket.recv(READ_BYTES)
        if not data:
            raise ConnectionResetError("closed")
        self.received += data
        if self.head is None:
            self.head = split_head(self.received)
        if self.head is None:
            return None
        status, headers, start = self.head
        if "content-length" in headers:
            if len(self.received) - start < int(headers["content-length"]):
                return None
            body = bytes(self.received[start:])
        elif self.received.endswith(b"0\r\n\r\n"):
            body = unchunked(bytes(self.received[start:]))
        else:
            return None
        ms = (time.perf_counter() - self.sent) * 1e3
        return Response(self.label, self.sent, ms, status, headers, body)


class Loop:
    """The connections to one address."""

    def __init__(self, address, patience_s, on_response=None):
        self.address, self.patience_s, self.on_response = address, patience_s, on_response
        self.epoll = select.epoll()
        self.connections = {}
        self.idle = []
        # In the order in which they were sent, for their patience.
        self.busy = deque()
        self.in_progress = 0
        self.run = Run()

    def send(self, label, request, sent=None):
        sent = sent or time.perf_counter()
        if self.idle:
            connection = self.idle.pop()
            connection.is_reused = True
        elif len(self.connections) < CONNECTIONS:
            connection = self.open()
        else:
            self.run.unsent += 1
            return
        self.in_progress += 1
        self.begin(connection, label, request, sent)

    def open(self):
        connection = Connection(self.address)
        self.connections[connection.socket.fileno()] = connection
        self.epoll.register(connection.socket, select.EPOLLIN | select.EPOLLOUT)
        return connection

    def begin(self, connection, label, request, sent):
        connection.begin(label, request, sent)
        self.busy.append((sent, connection))
        self.epoll.modify(connection.socket, select.EPOLLIN | select.EPOLLOUT)

    def close(self, connection):
        self.connections.pop(connection.socket.fileno(), None)
        connection.socket.close()
        connection.is_busy = False

    def finish(self, response):
        self.in_progress -= 1
        if self.on_response:
            self.on_response(response)
        self.run.responses.append(response._replace(body=b""))

    def fail(self, connection):
        """The connection has ended. A request that it never took goes to another one."""
        was_busy = connection.is_busy
        is_retried = was_busy and connection.is_reused and not connection.received
        self.close(connection)
        if is_retried:
            self.begin(self.open(), connection.label, connection.request, connection.sent)
        elif was_busy:
            self.give_up(connection)
        elif connection in self.idle:
            self.idle.remove(connection)

    def give_up(self, connection):
        ms = (time.perf_counter() - connection.sent) * 1e3
        self.finish(Response(connection.label, connection.sent, ms, 0, {}, b""))

    def poll(self, timeout_s):
        """Waits for events and handles them; drops requests whose client has lost patience."""
        for fileno, events in self.epoll.poll(max(0, timeout_s), 256):
            connection = self.connections.get(fileno)
            if connection:
                self.handle(connection, events)
        expired = time.perf_counter() - self.patience_s
        while self.busy and (self.busy[0][0] < expired or self.has_ended(*self.busy[0])):
            sent, connection = self.busy.popleft()
            if not self.has_ended(sent, connection):
                self.close(connection)
                self.give_up(connection)

    @staticmethod
    def has_ended(sent, connection):
        return not connection.is_busy or connection.sent != sent

    def handle(self, connection, events):
        try:
            if events & select.EPOLLOUT and connection.is_busy:
                connection.write()
                if not connection.unsent:
                    self.epoll.modify(connection.socket, select.EPOLLIN)
            if events & ~select.EPOLLOUT:
                response = connection.read()
                if response:
                    self.respond(connection, response)
        except BlockingIOError:
            pass
        except OSError:
            self.fail(connection)

    def respond(self, connection, response):
        if connection.unsent or response.headers.get("connection") == "close":
            self.close(connection)
        else:
            connection.is_busy = False
            self.idle.append(connection)
        self.finish(response)

    def end(self):
        """Gives up what is in progress, and closes all connections."""
        for connection in list(self.connections.values()):
            connection.socket.close()
        self.epoll.close()
        self.run.end()
        return self.run


def closed_loop(
    address, requests, concurrency, seconds, patience_s=60, on_response=None, is_over=lambda: False
):
    """Keeps so many requests in progress, for some seconds or until `is_over`.

    `requests` yields a label and bytes for each. `on_response` sees each response with its body.
    Requests in progress at the end are given up and do not count.
    """
    loop = Loop(address, patience_s, on_response)
    requests = iter(requests)
    end = loop.run.started + seconds
    while time.perf_counter() < end and not is_over():
        while loop.in_progress < concurrency:
            loop.send(*next(requests))
        loop.poll(min(0.1, end - time.perf_counter()))
    return loop.end()


def repeat(request, label=None):
    """The same request for ever."""
    return itertools.repeat((label, request))


def open_loop(address, request, per_second, seconds, patience_s):
    """Sends requests at random times, so many a second, whatever becomes of those before.

    The last ones are waited for.
    """
    chance = random.Random(per_second)
    loop = Loop(address, patience_s)
    end = loop.run.started + seconds
    arrival = loop.run.started
    while True:
        now = time.perf_counter()
        while arrival <= now and arrival < end:
            loop.send(None, request)
            arrival += chance.expovariate(per_second)
        if now >= end:
            break
        loop.poll(min(arrival, end) - now)
    run = loop.run
    run.end()
    while loop.in_progress and time.perf_counter() < end + patience_s:
        loop.poll(0.1)
    for connection in loop.connections.values():
        connection.socket.close()
    loop.epoll.close()
    return run
