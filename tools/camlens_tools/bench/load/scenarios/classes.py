"""Short requests beside long ones: do cheap explanations stay quick, and do dear ones go on?

For each pair of models, Grad-CAM++ requests are sent one at a time, as many a second as leave the
service idle for four fifths of the time. Their 95th percentile is compared with that of an idle
service. Meanwhile 1, 4 and 16 clients run Score-CAM without pause, as streams, whose progress gives
the passes per second; that pace is compared with the same clients' pace alone.
"""

import http.client
import json
import statistics
import threading
import time

from camlens_tools.bench.common import progress
from camlens_tools.bench.load.report import Promise, Section
from camlens_tools.bench.load.traffic import percentile
from camlens_tools.paths import PICTURES

EFFICIENTNET = ("efficientnet-lite0", "chelsea.png")
VGG = ("vgg16-mri", "phantom.png")
# Name, model of the short requests, model of the long ones.
CASES = (
    ("EfficientNet-Lite0 beside itself", EFFICIENTNET, EFFICIENTNET),
    ("EfficientNet-Lite0 beside VGG16-MRI", EFFICIENTNET, VGG),
    ("VGG16-MRI beside itself", VGG, VGG),
    ("VGG16-MRI beside EfficientNet-Lite0", VGG, EFFICIENTNET),
)
LONG_CLIENTS = (1, 4, 16)
SECONDS = 8
# A short request's p95 beside long ones, at most so many times that of an idle service.
MOST_TIMES = 3
# A batch that waits three times as long as the last one took leaves a quarter of the pace.
LEAST_PACE = 0.25
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
        self.address = service.address
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
    return percentile(times, 95)


def measure_case(service, case, seconds):
    """Yields, for each number of long clients, the short requests' times and both paces."""
    _, (model, picture), (long_model, long_picture) = case
    path = path_of(model, "gradcam%2B%2B")
    picture = (PICTURES / picture).read_bytes()
    service.post(path, picture)
    idle = [service.post(path, picture)[0] for _ in range(IDLE_REQUESTS)]
    every_ms = PAUSE * statistics.median(idle)
    for count in LONG_CLIENTS:
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


def measure(context):
    rows, ratios, shares = [], [], []
    seconds = context.seconds(SECONDS)
    service = context.camlens()
    try:
        for case in CASES:
            progress(case[0])
            for count, idle, times, alone, beside in measure_case(service, case, seconds):
                ratios.append(p95(times) / p95(idle))
                shares.append(beside / alone if alone else 0)
                rows.append(
                    [
                        case[0],
                        count,
                        f"{p95(idle):.0f}",
                        f"{p95(times):.0f}",
                        f"**{ratios[-1]:.1f}**",
                        f"{shares[-1]:.0%}",
                    ]
                )
    finally:
        service.stop()
    within = sum(ratio <= MOST_TIMES for ratio in ratios)
    return Section(
        "Short requests beside long ones",
        [
            "Grad-CAM++ requests, as many as keep the service busy for a fifth of the time, beside "
            "clients that run Score-CAM without pause. So Score-CAM can keep at most four fifths "
            f"of its pace. Each figure takes {seconds:.0f} s.",
        ],
        [
            "short requests beside long ones",
            "Score-CAM clients",
            "p95 alone, ms",
            "p95 beside, ms",
            "ratio",
            "Score-CAM keeps",
        ],
        1,
        rows,
        [
            Promise(
                f"Short requests beside Score-CAM: p95 at most {MOST_TIMES} times that of an idle "
                "service",
                f"{min(ratios):.1f} to {max(ratios):.1f}; {within} of {len(ratios)} cases",
                within == len(ratios),
            ),
            Promise(
                "Long requests do not starve: a batch waits at most three times as long as the "
                "last one took",
                f"Score-CAM keeps {min(shares):.0%} to {max(shares):.0%} of its pace",
                min(shares) >= LEAST_PACE,
            ),
        ],
    )
