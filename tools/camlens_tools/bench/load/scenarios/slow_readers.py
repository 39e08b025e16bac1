"""Slow readers: clients that ask for a large answer and never read it."""

import os
import socket
import threading
import time

from camlens_tools.bench.load import inputs
from camlens_tools.bench.load.report import Promise, Section
from camlens_tools.bench.load.servers import EXPLAIN
from camlens_tools.bench.load.traffic import closed_loop, post, repeat
from camlens_tools.bench.load.watch import Watch, status

# Fewer than the queue has places, so that none is refused.
READERS = 24
SIDE_PX = 3000
# A float32 map of the image's size: 36 MB.
ANSWER_MB = SIDE_PX * SIDE_PX * 4 // 1_000_000
PATH = EXPLAIN + "&output=npy&size=image"
# The service's time limit is 30 s, from when a response begins to wait for its client. The maps are
# computed one after the other.
LIMIT_S = 150
SAMPLE_S = 5
MOST_WAIT_S = 10
BUDGET_MIB = 512
ENDED = 'camlens_connections_ended_total{reason="slow-receiver"}'
RESERVED = 'camlens_request_memory_bytes{use="work"}'


def ask(address, request):
    """A connection with a small buffer that has sent a request and reads nothing."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(LIMIT_S)
    connection.connect(address)
    connection.sendall(request)
    return connection


class GoodClient(threading.Thread):
    """Sends one prediction after the other and reads the responses."""

    def __init__(self, address, request):
        super().__init__(daemon=True)
        self.address, self.request = address, request
        self.responses = []
        self.is_stopped = False

    def run(self):
        closed_loop(
            self.address,
            self.request,
            1,
            2 * LIMIT_S,
            patience_s=LIMIT_S,
            on_response=self.responses.append,
            is_over=lambda: self.is_stopped,
        )

    def stop(self):
        """Stops after the request in progress, so that it counts."""
        deadline, known = time.perf_counter() + LIMIT_S, len(self.responses)
        while len(self.responses) == known and time.perf_counter() < deadline:
            time.sleep(0.1)
        self.is_stopped = True
        self.join()


def observe(server, watch, good):
    """A row every few seconds until all readers have been cut, or the limit is over."""
    started, cut, answered = time.perf_counter(), 0, 0
    while time.perf_counter() - started < LIMIT_S and cut < READERS:
        time.sleep(SAMPLE_S)
        metrics = server.metrics()
        cut = int(metrics.get(ENDED, 0))
        before, answered = answered, len(good.responses)
        yield (
            time.perf_counter() - started,
            watch.samples[-1].rss_mib,
            metrics[RESERVED] / 2**20,
            cut,
            answered - before,
        )


def measure(context):
    server = context.camlens({"CAMLENS_MEMORY_BUDGET": str(BUDGET_MIB << 20)})
    good_request = repeat(post(server.predict, inputs.photo()))
    large = post(PATH, inputs.png(SIDE_PX, SIDE_PX), "image/png", "*/*")
    good, readers = GoodClient(server.address, good_request), []
    try:
        alone = closed_loop(server.address, good_request, 1, context.seconds(5))
        before = status(server.pid)
        with Watch(server.pid, 0.5) as watch:
            good.start()
            readers += [ask(server.address, large) for _ in range(READERS)]
            rows = list(observe(server, watch, good))
            good.stop()
        idle = status(server.pid)
        open_sockets = count_sockets(server.pid)
    finally:
        for reader in readers:
            reader.close()
        server.stop()
    answered = sum(response.status == 200 for response in good.responses)
    slowest_s = max(response.ms for response in good.responses) / 1e3
    growth = watch.peak_mib() - before["VmRSS"]
    last_s, *_, cut, _ = rows[-1]
    return Section(
        "Slow readers",
        [
            f"{READERS} clients ask for a map of {SIDE_PX} × {SIDE_PX} pixels as an array of "
            f"{ANSWER_MB} MB and read nothing. `CAMLENS_MEMORY_BUDGET` is {BUDGET_MIB} MiB. One "
            "client sends predictions meanwhile. The plain server has no large answers.",
            f"Predictions alone have a p95 of {alone.p95():.0f} ms. Afterwards the process has "
            f"{idle['VmRSS'] - before['VmRSS']:+.0f} MiB and {open_sockets} sockets open.",
        ],
        ["after, s", "RSS, MiB", "reserved for work, MiB", "readers cut", "predictions answered"],
        0,
        [
            [f"{seconds:.0f}", f"{rss:.0f}", f"{reserved:.0f}", ended, predictions]
            for seconds, rss, reserved, ended, predictions in rows
        ],
        [
            Promise(
                "A client that takes nothing is cut within `send_timeout_ms`",
                f"{cut} of {READERS} cut, the last after {last_s:.0f} s, maps included",
                cut == READERS,
            ),
            Promise(
                "Responses that nobody reads stay within the memory budget",
                f"RSS grows by {growth:.0f} MiB; the budget is {BUDGET_MIB} MiB",
                growth <= BUDGET_MIB,
            ),
            Promise(
                f"Other requests are answered meanwhile, within {MOST_WAIT_S} s",
                f"{answered} of {len(good.responses)}; the slowest took {slowest_s:.1f} s",
                answered == len(good.responses) and slowest_s <= MOST_WAIT_S,
            ),
        ],
    )


def count_sockets(pid):
    folder = f"/proc/{pid}/fd"
    links = (os.readlink(os.path.join(folder, name)) for name in os.listdir(folder))
    return sum(link.startswith("socket:") for link in links)
