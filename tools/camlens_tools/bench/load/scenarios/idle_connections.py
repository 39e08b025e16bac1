"""Idle connections: thousands of sockets that are open and say nothing."""

import socket

from camlens_tools.bench.load import inputs
from camlens_tools.bench.load.report import Promise, Section
from camlens_tools.bench.load.traffic import closed_loop, get, post, repeat

SOCKETS = 3000
SECONDS = 8
GOOD_CLIENTS = 4
LIVE = get("/health/live")


def open_idle(address):
    """Sockets to an address; one that the server does not accept in time counts as not open."""
    sockets = []
    for _ in range(SOCKETS):
        connection = socket.socket()
        connection.settimeout(5)
        try:
            connection.connect(address)
        except OSError:
            connection.close()
            break
        connection.setblocking(False)
        sockets.append(connection)
    return sockets


def is_open(connection):
    try:
        return connection.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def health(address, seconds):
    """Liveness probes, each on a connection of its own, as kubelet sends them."""
    request = LIVE.replace(b"Host:", b"Connection: close\r\nHost:")
    return closed_loop(address, repeat(request), 1, seconds, patience_s=10)


def measure(context):
    rows, seconds = [], context.seconds(SECONDS)
    for name, start in (("plain server", context.plain_server), ("camlens", context.camlens)):
        server = start()
        ports = [("main", server.address)]
        if hasattr(server, "admin"):
            ports.append(("admin", server.admin))
        good_request = repeat(post(server.predict, inputs.photo()))
        try:
            closed_loop(server.address, good_request, GOOD_CLIENTS, 2)
            alone = closed_loop(server.address, good_request, GOOD_CLIENTS, seconds)
            live_alone = [health(address, seconds / 4) for _, address in ports]
            sockets = open_idle(server.address)
            live = [health(address, seconds / 4) for _, address in ports]
            run = closed_loop(server.address, good_request, GOOD_CLIENTS, seconds)
            still_open = sum(map(is_open, sockets))
        finally:
            for connection in sockets:
                connection.close()
            server.stop()
        probes = [
            f"{before.p95():.1f}, {now.p95():.1f}" for before, now in zip(live_alone, live)
        ] + ["–"]
        rows.append(
            [
                name,
                f"{len(sockets)}, {still_open}",
                *probes[:2],
                f"{run.count(200)} of {len(run.responses)}",
                f"{alone.p95():.0f}, {run.p95():.0f}",
            ]
        )
    failed = [run.count(0) for run in live]
    return Section(
        "Idle connections",
        [
            f"{SOCKETS} connections are opened and say nothing; `server.connections` is 1024. "
            f"Then liveness is asked on new connections for {seconds / 4:.0f} s, and "
            f"{GOOD_CLIENTS} clients send predictions for {seconds:.0f} s.",
        ],
        [
            "server",
            "opened, open at the end",
            "/health/live, main port, p95 before, beside, ms",
            "admin port, p95 before, beside, ms",
            "good requests answered",
            "p95 alone, beside, ms",
        ],
        1,
        rows,
        [
            Promise(
                "Idle connections give up their places: good requests are answered as before",
                f"{run.count(200)} of {len(run.responses)}; p95 {run.p95() / alone.p95():.2f} × "
                "that without them",
                run.count(200) == len(run.responses) and run.p95() <= 1.5 * alone.p95(),
            ),
            Promise(
                "`/health/live` is answered on both ports",
                f"p95 {live[0].p95():.1f} ms and {live[1].p95():.1f} ms; {sum(failed)} failed",
                sum(failed) == 0 and max(run.p95() for run in live) <= 100,
            ),
        ],
    )
