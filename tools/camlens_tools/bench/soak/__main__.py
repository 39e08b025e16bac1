"""Keeps the service busy with a mix of everything, and fails if it degrades.

    python3 tools bench.soak BINARY [--seconds 600] [--clients 4]

A few clients send every kind of request by turns, in another order each time. Another one starts
Score-CAMs and leaves. Memory, open file descriptors and threads are sampled each second. It fails
on a status that is not the expected one (a 503 with `Retry-After` is allowed), on a fixed request's
map that is not the same bytes every time (methods of masked passes: the same to 0.00001, because
their batches follow the load), and on growth between the second minute and the last. The
samples are written to bench/out/soak.csv.

Exit codes: 0 nothing degraded, 1 something did.
"""

import argparse
import array
import math
import os
import random
import socket
import statistics
import sys
import threading
from collections import Counter

from camlens_tools.bench.common import Failure, say
from camlens_tools.bench.load import inputs
from camlens_tools.bench.load.report import table
from camlens_tools.bench.load.servers import MODEL, Camlens
from camlens_tools.bench.load.traffic import closed_loop, post
from camlens_tools.bench.load.watch import Sample, Watch
from camlens_tools.bench.soak.mix import MAP, kinds
from camlens_tools.paths import BENCH_OUT

WINDOW_S = 60
LEAVE_AFTER_S = 0.3
LEAVE_EVERY_S = 2
# Growth of the median from the second window to the last that is too much.
MOST_RSS_GROWTH = 0.02
MOST_MORE = {"descriptors": 8, "threads": 8}
# Maps have values from 0 to 1.
MOST_DIFFERENCE = 1e-5
SHOWN_FAULTS = 20


class Faults:
    """What was wrong, and how often."""

    def __init__(self, mix):
        self.counts = Counter()
        self.first_bodies = {}
        # The largest differences of maps that need not be the same bytes.
        self.differences = Counter()
        self.by_label = {kind.label: kind for kind in mix}

    def check(self, response):
        kind = self.by_label[response.label]
        is_refusal = response.status == 503 and "retry-after" in response.headers
        if response.status != kind.status and not is_refusal:
            body = response.body[:200].decode(errors="replace")
            self.counts[f"{kind.label}: {response.status}, not {kind.status}: {body}"] += 1
        elif kind.same and not is_refusal:
            self.compare(kind, response.body)

    def compare(self, kind, body):
        first = self.first_bodies.setdefault(kind.label, body)
        if body == first:
            return
        if kind.same == MAP:
            difference = largest_difference(first, body)
            self.differences[kind.label] = max(self.differences[kind.label], difference)
            if difference <= MOST_DIFFERENCE:
                return
        self.counts[f"{kind.label}: another answer than the first time"] += 1


def largest_difference(first, second):
    """Of two maps as .npy files of 32-bit floats; infinite for two shapes."""
    if len(first) != len(second) or npy_values(first)[0] != npy_values(second)[0]:
        return math.inf
    return max(abs(a - b) for a, b in zip(npy_values(first)[1], npy_values(second)[1]))


def npy_values(file):
    """The header and the values of a .npy file, version 1."""
    start = 10 + int.from_bytes(file[8:10], "little")
    return file[:start], array.array("f", file[start:])


def shuffled(mix):
    """Labels and requests, each kind once in every round."""
    chance = random.Random(1)
    while True:
        for kind in chance.sample(mix, len(mix)):
            yield kind.label, kind.request


class Leaver(threading.Thread):
    """Starts a Score-CAM now and then, and closes the connection while it runs."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.address = address
        self.request = post(f"/v1/explain?model={MODEL}&method=scorecam", inputs.photo())
        self.ended = threading.Event()

    def run(self):
        while not self.ended.wait(LEAVE_EVERY_S):
            with socket.create_connection(self.address, timeout=10) as connection:
                connection.sendall(self.request)
                self.ended.wait(LEAVE_AFTER_S)


def medians(samples, start_s, end_s):
    """The median of each figure in a span of time."""
    chosen = [sample for sample in samples if start_s <= sample.seconds < end_s]
    return Sample(*map(statistics.median, zip(*chosen)))


def growth_rows(samples, seconds):
    """A row for each figure, and what grew too much."""
    window = min(WINDOW_S, seconds / 5)
    second = medians(samples, window, 2 * window)
    last = medians(samples, seconds - window, seconds)
    rows, faults = [], []
    for name in ("rss_mib", "anonymous_mib", "descriptors", "threads"):
        before, after = getattr(second, name), getattr(last, name)
        rows.append([name, f"{before:.0f}", f"{after:.0f}", f"{after / before - 1:+.1%}"])
        if name == "rss_mib" and after > before * (1 + MOST_RSS_GROWTH):
            faults.append(f"RSS grew from {before:.1f} to {after:.1f} MiB")
        if name in MOST_MORE and after > before + MOST_MORE[name]:
            faults.append(f"{name} grew from {before:.0f} to {after:.0f}")
    return rows, faults


def write_samples(samples):
    BENCH_OUT.mkdir(parents=True, exist_ok=True)
    lines = [",".join(Sample._fields)]
    lines += [",".join(f"{value:.1f}" for value in sample) for sample in samples]
    (BENCH_OUT / "soak.csv").write_text("\n".join(lines) + "\n", encoding="ascii")


def soak(server, seconds, clients):
    """The run, the samples, and what was wrong."""
    mix = kinds()
    faults, leaver = Faults(mix), Leaver(server.address)
    with Watch(server.pid) as watch:
        leaver.start()
        run = closed_loop(server.address, shuffled(mix), clients, seconds, 300, faults.check)
        leaver.ended.set()
        leaver.join()
    wrong = [f"{count} × {what}" for what, count in faults.counts.most_common()]
    if server.process.poll() is not None:
        wrong.append("the service has ended")
    return run, watch.samples, faults.differences, wrong


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("binary", metavar="BINARY")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser.parse_args()


def main():
    args = parse_arguments()
    server = None
    try:
        server = Camlens(args.binary, args.threads)
        run, samples, differences, wrong = soak(server, args.seconds, args.clients)
    except Failure as failure:
        print(f"bench.soak: {failure}", file=sys.stderr)
        return 1
    finally:
        if server:
            server.stop()
    write_samples(samples)
    rows, grown = growth_rows(samples, args.seconds)
    say(f"{len(run.responses)} responses in {run.seconds:.0f} s: {run.statuses()}")
    print("\n".join(table(["median of", "second minute", "last minute", "growth"], 1, rows)))
    for label, difference in differences.most_common():
        say(f"{label}: maps differ by at most {difference:.1e}")
    wrong += grown
    for what in wrong[:SHOWN_FAULTS]:
        print(f"bench.soak: {what}", file=sys.stderr)
    say("nothing degraded" if not wrong else f"{len(wrong)} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
