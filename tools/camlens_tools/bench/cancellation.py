#!/usr/bin/env python3
"""Measures how long the cores still work on a Score-CAM that nobody waits for any more.

    cancellation.py [--rounds N] [--model ID] [--picture FILE] [--binary PATH]

Three reasons to stop: the client closes its connection, the request's time is over, the service is told
to shut down. Each is raised while masked passes run, at another moment of a pass each round. The kernel
counts the CPU time of every thread of the service; the last moment at which that still grew, before
half a second without, is the moment at which the cores are idle. The CPU time that is spent until then
is given, too: other processes on the machine do not lengthen it.

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
from camlens_tools.bench.processes import ROOT, Failure, Service

WARM_UP_S = 2.0  # decoding and the first pass are over, masked passes run
JITTER_S = (
    0.6  # longer than a kernel and shorter than a batch, so that rounds meet different kernels
)
QUIET_S = 0.5  # cores that do nothing for so long are idle
PATIENCE_S = 10.0
GIVEN_UP = 12  # requests after which memory is looked at
NOISE_S = 0.0005  # a timer of the service's network threads needs less than this between two looks
CASES = ("client closes the connection", "deadline passes", "service is told to shut down")


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
        # A thread that ended takes its time along, so the sum may fall.
        if used - last > NOISE_S:
            idle_since = time.perf_counter()
        spent_s += max(0.0, used - last)
        last = used
    return max(0.0, idle_since - raised) * 1e3, spent_s * 1e3


def begin(service, model, picture):
    """Sends a request for a streamed Score-CAM and gives its socket, with the head of the answer read."""
    connection = socket.create_connection(("127.0.0.1", service.connection.port))
    head = (
        f"POST /v1/explain?model={model}&method=scorecam HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\n"
        f"accept: text/event-stream\r\ncontent-length: {len(picture)}\r\n\r\n"
    )
    connection.sendall(head.encode() + picture)
    sent = time.perf_counter()
    if not connection.recv(4096).startswith(b"HTTP/1.1 200"):
        raise Failure("the service did not begin the Score-CAM")
    return connection, sent


def wait_until(moment):
    time.sleep(max(0.0, moment - time.perf_counter()))


def one(case, args, models, picture, jitter):
    """One round: how long, and how much CPU time."""
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
    """Anonymous memory, in MiB, after each of many requests that were given up."""
    service = Service(args.binary, models, args.threads, name="cancellation")
    try:
        found = []
        for _ in range(GIVEN_UP):
            connection, sent = begin(service, args.model, picture)
            wait_until(sent + WARM_UP_S)
            connection.close()
            time.sleep(1.0)
            found.append(service.memory_mib()["RssAnon"])
        return found
    finally:
        service.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="of each case")
    parser.add_argument("--model", default="vgg16-mri")
    parser.add_argument(
        "--picture", type=pathlib.Path, default=ROOT / "downloads" / "images" / "chelsea.png"
    )
    parser.add_argument(
        "--binary", type=pathlib.Path, default=ROOT / "target" / "release" / "camlens"
    )
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    picture = args.picture.read_bytes()
    chance = random.Random(1)
    found = {case: [] for case in CASES}
    with tempfile.TemporaryDirectory(prefix="camlens-bench-") as models:
        os.symlink((ROOT / "models" / args.model).resolve(), pathlib.Path(models) / args.model)
        for turn in range(args.rounds):
            for case in CASES:
                found[case].append(one(case, args, models, picture, chance.uniform(0, JITTER_S)))
                if sys.stderr.isatty():
                    print(
                        f"\r\033[K  round {turn + 1} of {args.rounds}: {case}",
                        end="",
                        file=sys.stderr,
                        flush=True,
                    )
        after = memory(args, models, picture)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    print(
        f"{args.model}, Score-CAM, {args.threads} threads, {machine.describe()['cpu']}, load {os.getloadavg()[0]:.1f}\n"
    )
    print(
        "| reason to stop | until the cores are idle, median ms | largest | CPU time meanwhile, median ms | rounds |"
    )
    print("|---|---:|---:|---:|---:|")
    for case, rounds in found.items():
        times = [one["ms"] for one in rounds]
        cpu = statistics.median(one["cpu_ms"] for one in rounds)
        print(
            f"| {case} | {statistics.median(times):.0f} | {max(times):.0f} | {cpu:.0f} | {len(times)} |"
        )
    print(
        f"\nAnonymous memory after {GIVEN_UP // 2} requests that were given up: {after[GIVEN_UP // 2 - 1]:.0f} MiB; "
        f"after {GIVEN_UP}: {after[-1]:.0f} MiB."
    )
    (ROOT / "bench" / "out").mkdir(exist_ok=True)
    (ROOT / "bench" / "out" / "cancellation.json").write_text(
        json.dumps({**found, "anonymous memory, MiB": after}, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    try:
        main()
    except (Failure, OSError) as failure:
        print(f"cancellation: {failure}", file=sys.stderr)
        sys.exit(1)
