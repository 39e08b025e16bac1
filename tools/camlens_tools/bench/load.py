"""Measures short requests beside long ones: do cheap explanations stay quick, and dear ones go on?

    python3 tools bench.load BINARY [BINARY …] [--seconds N] [--long 1,4,16] [--case NAME]

For each pair of models, Grad-CAM++ requests are sent one at a time, as many a second as leave the
service idle for four fifths of the time. Their 95th percentile is compared with that of an idle
service. Meanwhile 1, 4 and 16 clients run Score-CAM without pause, as streams, whose progress gives
the passes per second; that pace is compared with the same clients' pace alone. Several binaries are
measured one after the other, for a control.

Exit codes: 0 done, 1 something failed.
"""

import argparse
import http.client
import json
import statistics
import sys
import threading
import time

from camlens_tools.bench import machine
from camlens_tools.bench.common import Failure, progress
from camlens_tools.bench.processes import Service
from camlens_tools.paths import MODELS, PICTURES

EFFICIENTNET = ("efficientnet-lite0", "chelsea.png")
VGG = ("vgg16-mri", "phantom.png")
# Name, model of the short requests, model of the long ones.
CASES = (
    ("EfficientNet-Lite0 beside itself", EFFICIENTNET, EFFICIENTNET),
    ("EfficientNet-Lite0 beside VGG16-MRI", EFFICIENTNET, VGG),
    ("VGG16-MRI beside itself", VGG, VGG),
    ("VGG16-MRI beside EfficientNet-Lite0", VGG, EFFICIENTNET),
)
# A short request is sent every so many times the idle service's median time.
PAUSE = 5
IDLE_REQUESTS = 20
# The service's first batches and streams are left out of the measurement.
WARM_UP_S = 3


def path_of(model, method):
    return f"/v1/explain?model={model}&method={method}"


class LongClient(threading.Thread):
    """Runs Score-CAM after Score-CAM and counts the passes that are reported as done."""

    def __init__(self, service, model, picture):
        super().__init__(daemon=True)
        self.address = (service.connection.host, service.connection.port)
        self.path = path_of(model, "scorecam")
        self.picture = (PICTURES / picture).read_bytes()
        self.passes = 0
        self.refused = 0
        self.connection = None
        self.is_stopped = False

    def run(self):
        while not self.is_stopped:
            try:
                self.explain_once()
            except (OSError, http.client.HTTPException, AttributeError):
                # `stop` closes the connection under the reader.
                if not self.is_stopped:
                    self.refused += 1
                    time.sleep(0.1)

    def explain_once(self):
        self.connection = http.client.HTTPConnection(*self.address, timeout=600)
        headers = {"Content-Type": "image/png", "Accept": "text/event-stream"}
        self.connection.request("POST", self.path, body=self.picture, headers=headers)
        response = self.connection.getresponse()
        if response.status != 200:
            raise http.client.HTTPException(f"{response.status}")
        done, event = 0, ""
        for line in response:
            if line.startswith(b"event: "):
                event = line[7:].strip()
            elif line.startswith(b"data: ") and event == b"progress":
                now = json.loads(line[6:])["done"]
                self.passes += now - done
                done = now
        self.connection.close()

    def stop(self):
        self.is_stopped = True
        if self.connection and self.connection.sock:
            self.connection.sock.shutdown(2)


def pace(clients, seconds):
    """Passes per second of all clients."""
    before, started = sum(client.passes for client in clients), time.perf_counter()
    time.sleep(seconds)
    passes = sum(client.passes for client in clients) - before
    return passes / (time.perf_counter() - started)


def short_times(service, path, picture, every_ms, seconds):
    """Milliseconds of short requests, one sent `every_ms` after the other was sent."""
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < IDLE_REQUESTS:
        sent = time.perf_counter()
        times.append(service.post(path, picture)[0])
        time.sleep(max(0, every_ms / 1e3 - (time.perf_counter() - sent)))
    return times


def p95(times):
    return statistics.quantiles(times, n=20, method="inclusive")[-1]


def measure(service, case, longs, seconds):
    """Yields, for each number of long clients, the short requests' times and both paces."""
    _, (model, picture), (long_model, long_picture) = case
    path = path_of(model, "gradcam%2B%2B")
    picture = (PICTURES / picture).read_bytes()
    service.post(path, picture)
    idle = [service.post(path, picture)[0] for _ in range(IDLE_REQUESTS)]
    every_ms = PAUSE * statistics.median(idle)
    for count in longs:
        clients = [LongClient(service, long_model, long_picture) for _ in range(count)]
        try:
            for client in clients:
                client.start()
            time.sleep(WARM_UP_S)
            alone = pace(clients, seconds)
            before, started = sum(client.passes for client in clients), time.perf_counter()
            times = short_times(service, path, picture, every_ms, seconds)
            passes = sum(client.passes for client in clients) - before
            beside = passes / (time.perf_counter() - started)
        finally:
            for client in clients:
                client.stop()
            for client in clients:
                client.join(10)
        yield count, idle, times, alone, beside


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("binaries", nargs="+", metavar="BINARY")
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement")
    parser.add_argument("--long", default="1,4,16", help="numbers of long clients")
    parser.add_argument("--case", help="only the cases whose name contains this")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main():
    args = parse_arguments()
    longs = [int(count) for count in args.long.split(",")]
    print(json.dumps(machine.describe()))
    print(
        "| binary | case | Score-CAM clients | idle p50, ms | idle p95 | p50 beside | p95 beside "
        "| × idle p95 | Score-CAM passes/s alone | beside | share |"
    )
    print("|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for index, binary in enumerate(args.binaries):
        service = None
        try:
            service = Service(binary, MODELS, args.threads, name=f"load-{index}")
            for case in CASES:
                if args.case and args.case not in case[0]:
                    continue
                progress(case[0])
                for count, idle, times, alone, beside in measure(
                    service, case, longs, args.seconds
                ):
                    cells = [
                        f"{index + 1} | {case[0]} | {count} | {statistics.median(idle):.0f}",
                        f"{p95(idle):.0f} | {statistics.median(times):.0f} | {p95(times):.0f}",
                        f"**{p95(times) / p95(idle):.1f}** | {alone:.1f} | {beside:.1f}",
                        f"{beside / alone:.0%}" if alone else "–",
                    ]
                    print(f"| {' | '.join(cells)} |", flush=True)
        except Failure as failure:
            print(f"bench.load: {failure}", file=sys.stderr)
            return 1
        finally:
            if service:
                service.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
