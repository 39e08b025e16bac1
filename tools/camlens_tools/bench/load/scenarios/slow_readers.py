"""Slow readers: clients that ask for a large answer and never read it."""

import os
import socket
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


def measure(context):
    budget = {"CAMLENS_MEMORY_BUDGET": str(BUDGET_MIB << 20)}
    server = context.camlens(budget)
    good_request = repeat(post(server.predict, inputs.photo()))
    large = post(PATH, inputs.png(SIDE_PX, SIDE_PX), "image/png", "*/*")
    rows, cut = [], []
    try:
        closed_loop(server.address, good_request, 1, 2)
        before = status(server.pid)
        alone = closed_loop(server.address, good_request, 1, context.seconds(5))
        started = time.perf_counter()
        with Watch(server.pid, 0.5) as watch:
            readers = [ask(server.address, large) for _ in range(READERS)]
            good = []
            while time.perf_counter() - started < LIMIT_S and sum(cut[-1:]) < READERS:
                run = closed_loop(server.address, good_request, 1, 3)
                good.append(run)
                metrics = server.metrics()
                cut.append(int(metrics.get(ENDED, 0)))
                seconds = time.perf_counter() - started
                rows.append((seconds, watch.samples[-1], metrics[RESERVED] / 2**20, cut[-1], run))
        after = closed_loop(server.address, good_request, 1, context.seconds(5))
        idle = status(server.pid)
        open_sockets = count_sockets(server.pid)
    finally:
        for reader in readers:
            reader.close()
        server.stop()
    answered = sum(run.count(200) for run in good)
    asked = sum(len(run.responses) for run in good)
    slowest = max(run.p95() for run in good if run.count(200))
    growth = watch.peak_mib() - before["VmRSS"]
    last_s = rows[-1][0]
    return Section(
        "Slow readers",
        [
            f"{READERS} clients ask for a map of {SIDE_PX} × {SIDE_PX} pixels as an array of "
            f"{ANSWER_MB} MB and read nothing. `CAMLENS_MEMORY_BUDGET` is {BUDGET_MIB} MiB. One "
            "client sends predictions meanwhile. The plain server has no large answers.",
            f"p95 of predictions: {alone.p95():.0f} ms before, {slowest:.0f} ms in the worst three "
            f"seconds, {after.p95():.0f} ms afterwards. Afterwards the process has "
            f"{idle['VmRSS'] - before['VmRSS']:+.0f} MiB and {open_sockets} sockets open.",
        ],
        ["after, s", "RSS, MiB", "reserved for work, MiB", "readers cut", "predictions, p95 ms"],
        0,
        [
            [
                f"{seconds:.0f}",
                f"{sample.rss_mib:.0f}",
                f"{reserved:.0f}",
                ended,
                f"{run.p95():.0f}",
            ]
            for seconds, sample, reserved, ended, run in thinned(rows)
        ],
        [
            Promise(
                "A client that takes nothing is cut within `send_timeout_ms`",
                f"{cut[-1]} of {READERS} cut, the last after {last_s:.0f} s",
                cut[-1] == READERS,
            ),
            Promise(
                "Responses that nobody reads stay within the memory budget",
                f"RSS grows by {growth:.0f} MiB; the budget is {BUDGET_MIB} MiB",
                growth <= BUDGET_MIB,
            ),
            Promise(
                "Other requests are answered meanwhile",
                f"{answered} of {asked}, in the worst three seconds p95 {slowest:.0f} ms",
                answered == asked,
            ),
        ],
    )


def thinned(rows, count=12):
    """At most about so many of the rows, the last one included."""
    step = -(-len(rows) // count)
    return rows[:-1:step] + rows[-1:]


def count_sockets(pid):
    folder = f"/proc/{pid}/fd"
    links = (os.readlink(os.path.join(folder, name)) for name in os.listdir(folder))
    return sum(link.startswith("socket:") for link in links)
