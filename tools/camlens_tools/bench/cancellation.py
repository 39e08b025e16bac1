"""Measures how long the cores keep working on a Score-CAM that nobody waits for any more.

    python3 tools bench.cancellation [--rounds N] [--model ID] [--picture FILE] [--binary PATH]

There are three reasons to stop: the client closes its connection, the request's deadline passes,
the service shuts down. Each occurs while masked passes run, at another moment of a pass in each
round. The kernel counts the CPU time of every thread of the service. The cores count as idle from
the last moment at which that grew, before half a second without growth. The CPU time spent until
then is reported, too, because other processes on the machine do not lengthen it.

Exit codes: 0 done, 1 something failed.
"""

import argparse
import json
import os
import pathlib
import random
import signal
import socket
import statistics
import sys
import tempfile
import time

from camlens_tools.bench import machine
from camlens_tools.bench.common import Failure, progress
from camlens_tools.bench.processes import Service
from camlens_tools.paths import BENCH_OUT, BINARY, MODELS, PICTURES

# By then decoding and the first pass are over, and masked passes run.
WARM_UP_S = 2.0
# Longer than a kernel and shorter than a batch, so that rounds meet different kernels.
JITTER_S = 0.6
# Cores that do nothing for this long are idle.
QUIET_S = 0.5
PATIENCE_S = 10.0
# Timers of the service's network threads take less than this between two samples.
NOISE_S = 0.0005
ABANDONED_REQUESTS = 12
CASES = ("client closes the connection", "deadline passes", "service shuts down")


def cpu_s(pid):
    """CPU seconds of all threads of a process, or None when it has ended."""
    total = 0
    try:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text(encoding="ascii").split()[0])
            except (FileNotFoundError, ProcessLookupError):
                continue
    except (FileNotFoundError, ProcessLookupError):
        return None
    return total / 1e9


def watch(service, raised):
    """Milliseconds from `raised` until the cores are idle, and the CPU milliseconds until then."""
    last, spent_s = cpu_s(service.pid), 0.0
    idle_since = time.perf_counter()
    while (now := time.perf_counter()) < idle_since + QUIET_S:
        if now > raised + PATIENCE_S:
            raise Failure(f"the cores are not idle {PATIENCE_S} s after the reason to stop")
        time.sleep(0.001)
        used = cpu_s(service.pid)
        if used is None or service.process.poll() is not None:
            break
        # The time of a thread that ended is no longer counted, so the sum may fall.
        if used - last > NOISE_S:
            idle_since = time.perf_counter()
        spent_s += max(0.0, used - last)
        last = used
    return max(0.0, idle_since - raised) * 1e3, spent_s * 1e3


def begin(service, model, picture):
    """Requests a streamed Score-CAM; returns the socket once the response began, and the time."""
    connection = socket.create_connection(("127.0.0.1", service.connection.port))
    head = (
        f"POST /v1/explain?model={model}&method=scorecam HTTP/1.1\r\n"
        "host: localhost\r\ncontent-type: image/png\r\naccept: text/event-stream\r\n"
        f"content-length: {len(picture)}\r\n\r\n"
    )
    connection.sendall(head.encode() + picture)
    sent = time.perf_counter()
    if not connection.recv(4096).startswith(b"HTTP/1.1 200"):
        raise Failure("the service did not begin the Score-CAM")
    return connection, sent


def wait_until(moment):
    time.sleep(max(0.0, moment - time.perf_counter()))


def measure(case, args, models, picture, jitter):
    """One round: milliseconds until the cores are idle, and CPU milliseconds."""
    limit_s = WARM_UP_S + jitter
    settings = {"CAMLENS_DRAIN_TIMEOUT_MS": "0"}
    if case == CASES[1]:
        settings["CAMLENS_REQUEST_TIMEOUT_MS"] = str(round(limit_s * 1e3))
    service = Service(args.binary, models, args.threads, name="cancellation", settings=settings)
    try:
        connection, sent = begin(service, args.model, picture)
        with connection:
            raised = sent + limit_s
            wait_until(raised)
            if case == CASES[0]:
                connection.close()
                raised = time.perf_counter()
            elif case == CASES[2]:
                service.process.send_signal(signal.SIGTERM)
                raised = time.perf_counter()
            ms, cpu_ms = watch(service, raised)
        return {"ms": ms, "cpu_ms": cpu_ms}
    finally:
        service.stop()


def memory(args, models, picture):
    """Anonymous memory, in MiB, after each of many abandoned requests."""
    service = Service(args.binary, models, args.threads, name="cancellation")
    try:
        found = []
        for _ in range(ABANDONED_REQUESTS):
            connection, sent = begin(service, args.model, picture)
            wait_until(sent + WARM_UP_S)
            connection.close()
            time.sleep(1.0)
            found.append(service.memory_mib()["RssAnon"])
        return found
    finally:
        service.stop()


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--rounds", type=int, default=7, help="of each case")
    add("--model", default="vgg16-mri")
    add("--picture", type=pathlib.Path, default=PICTURES / "chelsea.png")
    add("--binary", type=pathlib.Path, default=BINARY)
    add("--threads", type=int, default=len(os.sched_getaffinity(0)))
    return parser.parse_args()


def main():
    args = parse_arguments()
    picture = args.picture.read_bytes()
    rng = random.Random(1)
    found = {case: [] for case in CASES}
    with tempfile.TemporaryDirectory(prefix="camlens-bench-") as models:
        os.symlink((MODELS / args.model).resolve(), pathlib.Path(models) / args.model)
        for number in range(args.rounds):
            for case in CASES:
                jitter = rng.uniform(0, JITTER_S)
                found[case].append(measure(case, args, models, picture, jitter))
                progress(f"round {number + 1} of {args.rounds}: {case}")
        memory_mib = memory(args, models, picture)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    report(found, memory_mib, args)
    BENCH_OUT.mkdir(exist_ok=True)
    text = json.dumps({**found, "anonymous memory, MiB": memory_mib}, indent=1)
    (BENCH_OUT / "cancellation.json").write_text(text + "\n", encoding="utf-8")


def report(found, memory_mib, args):
    cpu, load = machine.describe()["cpu"], os.getloadavg()[0]
    print(f"{args.model}, Score-CAM, {args.threads} threads, {cpu}, load {load:.1f}\n")
    print(
        "| reason to stop | until the cores are idle, median ms | largest "
        "| CPU time meanwhile, median ms | rounds |"
    )
    print("|---|---:|---:|---:|---:|")
    for case, rounds in found.items():
        ms = [one["ms"] for one in rounds]
        cpu_ms = statistics.median(one["cpu_ms"] for one in rounds)
        median = statistics.median(ms)
        print(f"| {case} | {median:.0f} | {max(ms):.0f} | {cpu_ms:.0f} | {len(ms)} |")
    half = ABANDONED_REQUESTS // 2
    print(
        f"\nAnonymous memory after {half} abandoned requests: {memory_mib[half - 1]:.0f} MiB; "
        f"after {ABANDONED_REQUESTS}: {memory_mib[-1]:.0f} MiB."
    )


if __name__ == "__main__":
    try:
        main()
    except (Failure, OSError) as failure:
        print(f"cancellation: {failure}", file=sys.stderr)
        sys.exit(1)
