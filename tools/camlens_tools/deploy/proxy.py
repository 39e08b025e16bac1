"""Tests nginx, configured as in deploy/compose, in front of the real service (make proxy).

    python3 tools deploy.proxy [--binary CAMLENS]

Needs Debian's nginx. Prints one line for each promise that holds. Exit codes: 0, or 1 for a promise
that does not hold.
"""

import argparse
import http.client
import json
import signal
import socket
import struct
import sys
import threading
import time
from collections import Counter

from camlens_tools.bench.common import Failure
from camlens_tools.deploy.common import (
    MODEL,
    Instance,
    add_binary_option,
    eventually,
    explain,
    map_of,
    models_folder,
    request,
    require,
    say,
)
from camlens_tools.deploy.nginx import Proxy, replace, version

MEBIBYTE = 1 << 20
CLIENTS = 3
PROBLEM = "application/problem+json"


def bitmap(side):
    """An uncompressed BMP of side × side pixels, a gradient; `side` is a multiple of 4."""
    row = b"".join(bytes((x % 256, (x // 4) % 256, 255 - x % 256)) for x in range(side))
    size = 54 + len(row) * side
    head = b"BM" + struct.pack("<IHHI", size, 0, 0, 54)
    info = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, len(row) * side, 2835, 2835, 0, 0)
    return head + info + row * side


def total(instances, gauge):
    return sum(instance.gauge(gauge) for instance in instances)


def uploads(proxy, instance):
    picture = bitmap(2644)
    status, _, body = explain(proxy.port, picture)
    direct = explain(instance.port, picture)[2]
    require(
        status == 200 and map_of(body) == map_of(direct),
        f"an upload of {len(picture) / 1e6:.1f} MB gets the response that camlens itself gives",
    )
    for size, server in ((32 * MEBIBYTE + 1000, "camlens"), (40 * MEBIBYTE, "nginx")):
        status, headers, body = explain(proxy.port, bytes(size))
        kind = "about:blank" if server == "nginx" else "/docs#problem-body-too-large"
        require(
            (status, headers["content-type"], json.loads(body)["type"]) == (413, PROBLEM, kind),
            f"an upload of {size / MEBIBYTE:.0f} MiB is refused by {server} with a problem",
        )


def slow_upload(proxy, instances):
    picture = MODEL.picture.read_bytes()
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=30) as client:
        client.sendall(head(f"Content-Length: {len(picture)}\r\nConnection: close\r\n"))
        waiting = []
        for part in range(20):
            client.sendall(picture[part * 1000 : part * 1000 + 1000])
            time.sleep(0.05)
            waiting.append(total(instances, "camlens_queue"))
        client.sendall(picture[20000:])
        status = client.makefile("rb").readline()
    require(
        max(waiting) == 0 and b" 200 " in status,
        "an upload that takes a second holds no place in camlens's queue, and is then served",
    )


def head(headers, query=""):
    return (
        f"POST /v1/explain?model={MODEL.id}{query} HTTP/1.1\r\nHost: camlens\r\n"
        f"Content-Type: application/octet-stream\r\n{headers}\r\n"
    ).encode()


SCORECAM = "&method=scorecam&layer=conv_head"


def stream_times(port):
    """Seconds after which each event of a Score-CAM arrived, and the events' names."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    headers = {"Content-Type": "application/octet-stream", "Accept": "text/event-stream"}
    started = time.monotonic()
    path = f"/v1/explain?model={MODEL.id}{SCORECAM}&max_channels=200"
    connection.request("POST", path, MODEL.picture.read_bytes(), headers)
    response = connection.getresponse()
    times, names = [], []
    while line := response.readline():
        if line.startswith(b"event:"):
            times.append(time.monotonic() - started)
            names.append(line[6:].strip().decode())
    connection.close()
    return times, names


def pieces(times):
    """The number of pieces in which a stream arrived: events with a pause before them."""
    return 1 + sum(later - earlier > 0.05 for earlier, later in zip(times, times[1:]))


def events(proxy, instances):
    times, names = stream_times(proxy.port)
    streamed = pieces(times)
    require(
        names[-1] == "result" and streamed >= 10,
        f"{len(times)} server-sent events of {times[-1]:.1f} s arrive in {streamed} pieces",
    )
    # nginx always passes on the chunks of HTTP/1.1 at once; with 1.0 it collects.
    ignored = "proxy_http_version 1.0; proxy_ignore_headers X-Accel-Buffering;"
    with Proxy(
        instances, lambda text: replace(text, "proxy_http_version 1.1;", ignored)
    ) as control:
        times, _ = stream_times(control.port)
    require(
        pieces(times) < streamed / 3,
        f"control: where nginx buffers streams, in {pieces(times)}",
    )


def disconnects(proxy, instances):
    picture = MODEL.picture.read_bytes()

    def working():
        return total(instances, "camlens_working")

    for accept in ("text/event-stream", "image/png"):
        client = socket.create_connection(("127.0.0.1", proxy.port), timeout=30)
        headers = f"Content-Length: {len(picture)}\r\nAccept: {accept}\r\n"
        client.sendall(head(headers, SCORECAM) + picture)
        began = eventually(lambda: working() == 1, 10)
        # Long enough that the work could not have ended by itself.
        time.sleep(1)
        still = working() == 1
        client.close()
        closed = time.monotonic()
        ended = eventually(lambda: working() == 0, 5)
        require(
            began and still and ended,
            f"a client that disconnects ({accept}) ends its work "
            f"{time.monotonic() - closed:.2f} s later",
        )


class Load:
    """Clients that send one request after another, and count the responses by status."""

    def __init__(self, port):
        self.port = port
        self.counts = Counter()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(CLIENTS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def run(self):
        picture = MODEL.picture.read_bytes()
        while not self.over.is_set():
            try:
                self.counts[explain(self.port, picture)[0]] += 1
            except (OSError, http.client.HTTPException) as error:
                self.counts[type(error).__name__] += 1

    def failures(self):
        return {outcome: count for outcome, count in self.counts.items() if outcome != 200}


def restarts(proxy, instances):
    for by in (signal.SIGTERM, signal.SIGKILL):
        with Load(proxy.port) as load:
            time.sleep(1)
            for instance in instances:
                instance.restart(by)
                time.sleep(1)
        require(
            load.counts[200] > 0 and not load.failures(),
            f"both instances restart by {by.name}, one after the other: {load.counts[200]} "
            f"requests of {CLIENTS} clients, all with status 200 {load.failures() or ''}",
        )
    with Proxy(instances[:1]) as alone, Load(alone.port) as load:
        instances[0].restart()
    require(
        bool(load.failures()),
        f"control: without a second instance clients see the restart ({load.failures()})",
    )


def closed_paths(proxy):
    for path in ("/metrics", "/v1/models/reload", "/nginx-problem"):
        status, headers, body = request(proxy.port, "GET", path)
        problem = {"type": "about:blank", "title": "Not Found", "status": 404}
        require(
            (status, headers["content-type"], json.loads(body)) == (404, PROBLEM, problem),
            f"{path} is not reachable through nginx",
        )


def both_down(proxy, instances):
    for instance in instances:
        instance.stop()
    status, headers, body = explain(proxy.port, b"")
    require(
        (status, headers["content-type"], headers.get("retry-after")) == (502, PROBLEM, "5")
        and json.loads(body)["status"] == 502,
        "with both instances down nginx responds with a problem, 502 and Retry-After",
    )


def main():
    parser = argparse.ArgumentParser(
        prog=sys.argv[0],
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_binary_option(parser)
    binary = parser.parse_args().binary
    say(f"nginx {'.'.join(map(str, version()))} in front of two instances of {binary.name}")
    with (
        models_folder() as models,
        Instance(binary, models) as first,
        Instance(binary, models) as second,
    ):
        instances = [first, second]
        for instance in instances:
            instance.wait_until_ready()
        with Proxy(instances) as proxy:
            closed_paths(proxy)
            uploads(proxy, first)
            slow_upload(proxy, instances)
            events(proxy, instances)
            disconnects(proxy, instances)
            restarts(proxy, instances)
            both_down(proxy, instances)


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"deploy: {failure}")
