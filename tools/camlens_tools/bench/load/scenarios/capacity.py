"""Capacity: how many requests a second, and how long each takes, at 1, 4 and 16 clients."""

from camlens_tools.bench.load import inputs
from camlens_tools.bench.load.report import Section
from camlens_tools.bench.load.servers import EXPLAIN
from camlens_tools.bench.load.traffic import closed_loop, post, repeat

CONCURRENCIES = (1, 4, 16)
SECONDS = 15
WARM_UP_S = 2


def rows_of(name, server, path, context):
    request = repeat(post(path, inputs.photo()))
    closed_loop(server.address, request, 1, context.seconds(WARM_UP_S))
    for concurrency in CONCURRENCIES:
        run = closed_loop(server.address, request, concurrency, context.seconds(SECONDS))
        refused = len(run.responses) - run.count(200)
        yield (
            run,
            [
                name,
                concurrency,
                f"{run.per_second():.1f}",
                f"{run.p50():.0f}",
                f"{run.p95():.0f}",
                refused,
                f"{run.client_cpu:.0%}",
            ],
        )


def measure(context):
    rows, rates = [], {}
    cases = (
        ("plain server, prediction", context.plain_server, "/predict"),
        ("camlens, prediction", context.camlens, None),
        ("camlens, Grad-CAM++", context.camlens, EXPLAIN),
    )
    for name, start, path in cases:
        server = start()
        try:
            for run, row in rows_of(name, server, path or server.predict, context):
                rows.append(row)
                rates.setdefault(name, []).append(run.per_second())
        finally:
            server.stop()
    pairs = zip(CONCURRENCIES, rates["camlens, prediction"], rates["plain server, prediction"])
    shares = ", ".join(f"{ours / plain:.0%} at {clients}" for clients, ours, plain in pairs)
    return Section(
        "Capacity",
        [
            f"EfficientNet-Lite0 and a JPEG of {len(inputs.photo()) // 1000} kB, sent again as "
            f"soon as the last response has arrived, for {context.seconds(SECONDS):.0f} s each. "
            "camlens's predictions a second, as a share of the plain server's, by the number of "
            f"clients: {shares}.",
        ],
        ["server", "clients", "requests/s", "p50, ms", "p95, ms", "failed", "client's cores"],
        1,
        rows,
        [],
    )
