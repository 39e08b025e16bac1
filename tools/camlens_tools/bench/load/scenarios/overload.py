"""Overload: ten times as many requests as the service can answer."""

import time

from camlens_tools.bench.load import inputs
from camlens_tools.bench.load.report import Promise, Section
from camlens_tools.bench.load.traffic import closed_loop, open_loop, post, repeat

FACTOR = 10
SECONDS = 60
CAPACITY_S = 10
# How long a client waits for a response before it gives up.
PATIENCE_S = 10
# The service has recovered when so many requests in a row, one excepted, take at most so many times
# the p95 of before.
RECOVERED_REQUESTS = 20
RECOVERED_TIMES = 1.5
RECOVERY_LIMIT_S = 120
RECOVERED_AT_ONCE_S = 2


def recovery_s(address, request, normal_ms):
    """Seconds until the time of single requests is normal again; None if the limit is over."""
    started, ends, normal = time.perf_counter(), [], []

    def note(response):
        ends.append(response.sent - started)
        normal.append(response.status == 200 and response.ms <= RECOVERED_TIMES * normal_ms)

    def has_recovered():
        last = normal[-RECOVERED_REQUESTS:]
        return len(last) == RECOVERED_REQUESTS and sum(last) >= RECOVERED_REQUESTS - 1

    closed_loop(
        address,
        repeat(request),
        1,
        RECOVERY_LIMIT_S,
        patience_s=PATIENCE_S,
        on_response=note,
        is_over=has_recovered,
    )
    return ends[-RECOVERED_REQUESTS] if has_recovered() else None


def overload(server, context):
    """Capacity, p95 of a single client, the run, and the seconds until recovery."""
    request = post(server.predict, inputs.photo())
    closed_loop(server.address, repeat(request), 4, 1)
    alone = closed_loop(server.address, repeat(request), 1, context.seconds(CAPACITY_S))
    full = closed_loop(server.address, repeat(request), 16, context.seconds(CAPACITY_S))
    capacity = full.per_second()
    run = open_loop(
        server.address, request, FACTOR * capacity, context.seconds(SECONDS), PATIENCE_S
    )
    return capacity, alone.p95(), run, recovery_s(server.address, request, alone.p95())


def row_of(name, capacity, run, recovered_s):
    sent = len(run.responses) + run.unsent
    return [
        name,
        f"{capacity:.0f}",
        f"{sent / run.seconds:.0f}",
        f"{run.per_second():.0f} ({run.per_second() / capacity:.0%})",
        f"{run.p50():.0f}, {run.p95():.0f}",
        run.count(503),
        f"{run.p50(503):.1f}, {run.p95(503):.1f}" if run.count(503) else "–",
        run.count(0) + run.unsent,
        f"{recovered_s:.1f} s" if recovered_s is not None else f"> {RECOVERY_LIMIT_S} s",
        f"{run.client_cpu:.0%}",
    ]


def measure(context):
    rows = []
    for name, start in (("plain server", context.plain_server), ("camlens", context.camlens)):
        server = start()
        try:
            capacity, _, run, recovered_s = overload(server, context)
        finally:
            server.stop()
        rows.append(row_of(name, capacity, run, recovered_s))
    refusals = [response for response in run.responses if response.status == 503]
    with_forecast = sum("retry-after" in response.headers for response in refusals)
    others = len(run.responses) - run.count(200, 503) + run.unsent
    share = run.per_second() / capacity
    return Section(
        f"{FACTOR} × overload",
        [
            f"Predictions with EfficientNet-Lite0, sent for {context.seconds(SECONDS):.0f} s at "
            f"random times, {FACTOR} times as many a second as 16 clients get through. A client "
            f"gives up after {PATIENCE_S} s. Recovery: from the last arrival until "
            f"{RECOVERED_REQUESTS - 1} of {RECOVERED_REQUESTS} single requests in a row take at "
            f"most {RECOVERED_TIMES} times the p95 of before.",
        ],
        [
            "server",
            "capacity, requests/s",
            "sent/s",
            "accepted/s (of capacity)",
            "p50, p95 of accepted, ms",
            "refused",
            "p50, p95 of a refusal, ms",
            "given up",
            "recovery",
            "client's cores",
        ],
        1,
        rows,
        [
            Promise(
                f"At {FACTOR} × overload, at least 90 % of the capacity is served",
                f"{share:.0%}",
                share >= 0.9,
            ),
            Promise(
                "A full queue refuses with a 503 and `Retry-After`",
                f"{with_forecast} of {len(refusals)} refusals; {others} requests without either",
                with_forecast == len(refusals) > 0 and others == 0,
            ),
            Promise(
                "A refusal takes less than a millisecond",
                f"p50 {run.p50(503):.1f} ms, p95 {run.p95(503):.1f} ms, at the client",
                run.p50(503) < 1,
            ),
            Promise(
                f"{RECOVERED_AT_ONCE_S} s after an overload, requests are as quick as before",
                f"{recovered_s:.1f} s" if recovered_s is not None else "not within the limit",
                recovered_s is not None and recovered_s <= RECOVERED_AT_ONCE_S,
            ),
        ],
    )
