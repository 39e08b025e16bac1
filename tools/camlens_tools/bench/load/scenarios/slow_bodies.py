"""Slow bodies: clients that send one byte a second, while good clients go on."""

import contextlib
import socket
import threading
import time

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from camlens_tools.bench.load import inputs
from camlens_tools.bench.load.report import Promise, Section
from camlens_tools.bench.load.traffic import closed_loop, post, repeat, split_head

SECONDS = 40
WARM_UP_S = 2
GOOD_CLIENTS = 4
SLOW_BODIES = 32
SLOW_STREAMS = 150
BODY_BYTES = 100_000


class SlowBodies(threading.Thread):
    """Sends bodies at one byte a second over HTTP/1.1. A body that ends is begun again."""

    def __init__(self, address, path):
        super().__init__(daemon=True)
        self.address, self.path = address, path
        self.ended = threading.Event()
        # By status; 0 is a connection that was closed without a response.
        self.cut = {}
        self.last_s = []

    def begin(self):
        connection = socket.create_connection(self.address, timeout=5)
        head = post(self.path, b"").replace(b"Length: 0", b"Length: %d" % BODY_BYTES)
        connection.sendall(head)
        connection.setblocking(False)
        return connection, time.perf_counter()

    def run(self):
        bodies = [self.begin() for _ in range(SLOW_BODIES)]
        while not self.ended.wait(1):
            bodies = [self.go_on(*body) for body in bodies]
        for connection, _ in bodies:
            connection.close()

    def go_on(self, connection, started):
        try:
            received = connection.recv(4096)
            head = split_head(received)
            status = head[0] if head else 0
        except BlockingIOError:
            try:
                connection.send(b"x")
                return connection, started
            except OSError:
                status = 0
        except OSError:
            status = 0
        connection.close()
        self.cut[status] = self.cut.get(status, 0) + 1
        self.last_s.append(time.perf_counter() - started)
        return self.begin()

    def stop(self):
        self.ended.set()
        self.join()


class SlowStreams(threading.Thread):
    """One HTTP/2 connection with many bodies at one byte a second. One that ends is replaced."""

    def __init__(self, address, path):
        super().__init__(daemon=True)
        self.path = path
        self.ended = threading.Event()
        self.cut = {}
        self.last_s = []
        self.socket = socket.create_connection(address, timeout=5)
        configuration = h2.config.H2Configuration(client_side=True)
        self.http2 = h2.connection.H2Connection(configuration)
        self.http2.initiate_connection()
        self.streams = {}

    def begin(self):
        stream = self.http2.get_next_available_stream_id()
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":authority": "localhost",
            ":path": self.path,
            "content-type": "image/jpeg",
            "content-length": str(BODY_BYTES),
        }
        self.http2.send_headers(stream, list(headers.items()))
        self.streams[stream] = time.perf_counter()

    def run(self):
        try:
            # The server's settings come first: they limit the streams.
            self.socket.sendall(self.http2.data_to_send())
            self.receive()
            while not self.ended.wait(1):
                self.receive()
                self.send()
        except (OSError, h2.exceptions.ProtocolError):
            self.note(0, self.streams)
        self.socket.close()

    def send(self):
        allowed = self.http2.remote_settings.max_concurrent_streams
        while len(self.streams) < min(SLOW_STREAMS, allowed):
            self.begin()
        for stream in list(self.streams):
            self.http2.send_data(stream, b"x")
        self.socket.sendall(self.http2.data_to_send())

    def receive(self):
        self.socket.settimeout(0.2)
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            return
        if not data:
            raise ConnectionResetError("closed")
        for event in self.http2.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                status = int(dict(event.headers)[b":status"])
                self.note(status, [event.stream_id])
                with contextlib.suppress(h2.exceptions.StreamClosedError):
                    self.http2.reset_stream(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self.note(0, [event.stream_id])
            elif isinstance(event, h2.events.ConnectionTerminated):
                raise ConnectionResetError("closed")
        self.socket.settimeout(5)
        self.socket.sendall(self.http2.data_to_send())

    def note(self, status, streams):
        for stream in list(streams):
            started = self.streams.pop(stream, None)
            if started:
                self.cut[status] = self.cut.get(status, 0) + 1
                self.last_s.append(time.perf_counter() - started)

    def stop(self):
        self.ended.set()
        self.join()


def described(slow):
    """How slow bodies ended: `64 × 408 after 5.6 s`."""
    parts = [f"{count} × {status or 'closed'}" for status, count in sorted(slow.cut.items())]
    seconds = sorted(slow.last_s)
    return f"{', '.join(parts)} after {seconds[len(seconds) // 2]:.1f} s" if parts else "none"


def beside(server, context):
    """The good clients' run alone and beside the slow ones, and the slow ones."""
    request = repeat(post(server.predict, inputs.photo()))
    seconds = context.seconds(SECONDS)
    closed_loop(server.address, request, GOOD_CLIENTS, context.seconds(WARM_UP_S))
    alone = closed_loop(server.address, request, GOOD_CLIENTS, seconds / 4)
    attackers = [kind(server.address, server.predict) for kind in (SlowBodies, SlowStreams)]
    for attacker in attackers:
        attacker.start()
    # At least as long as a slow body may last.
    run = closed_loop(server.address, request, GOOD_CLIENTS, max(seconds, 8))
    for attacker in attackers:
        attacker.stop()
    return alone, run, attackers


def measure(context):
    rows = []
    for name, start in (("plain server", context.plain_server), ("camlens", context.camlens)):
        server = start()
        try:
            alone, run, attackers = beside(server, context)
        finally:
            server.stop()
        good = f"{run.count(200)} of {len(run.responses)}"
        rows.append(
            [
                name,
                good,
                f"{alone.per_second():.0f}, {run.per_second():.0f}",
                f"{alone.p95():.0f}, {run.p95():.0f}",
                *(described(attacker) for attacker in attackers),
            ]
        )
    slow_s = [seconds for attacker in attackers for seconds in attacker.last_s]
    is_all_408 = all(set(attacker.cut) == {408} for attacker in attackers)
    return Section(
        "Slow bodies",
        [
            f"{SLOW_BODIES} connections and {SLOW_STREAMS} streams of one HTTP/2 connection send "
            "a body at one byte a second, and begin again when they are cut. Meanwhile "
            f"{GOOD_CLIENTS} clients send predictions.",
        ],
        [
            "server",
            "good requests answered",
            "answered/s alone, beside",
            "p95 alone, beside, ms",
            "slow bodies that were cut",
            "slow streams that were cut",
        ],
        1,
        rows,
        [
            Promise(
                "A slow body takes nothing that another request waits for: good requests are "
                "answered",
                f"{good}; p95 {run.p95() / alone.p95():.2f} × that without slow ones",
                run.count(200) == len(run.responses) and run.p95() <= 1.5 * alone.p95(),
            ),
            Promise(
                "A body that arrives too slowly gets a 408 from the fifth second on",
                f"{len(slow_s)} bodies after {min(slow_s):.1f} to {max(slow_s):.1f} s"
                if slow_s
                else "none was cut",
                is_all_408 and bool(slow_s) and min(slow_s) >= 4.9 and max(slow_s) <= 8,
            ),
        ],
    )
