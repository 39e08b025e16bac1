"""Measures requests per second of a small model, beside plain ONNX Runtime sessions.

    python3 tools bench.throughput BINARY [BINARY …] [--seconds N] [--concurrency 1,2,4,8,16]
                                   [--model efficientnet-lite0] [--rounds N] [--settings KEY=VALUE]

The baseline is one process for each thread, each with a session of one thread: the model alone on
a tensor made beforehand ("forward"), and with decoding and resizing by Pillow before each pass
("picture"). camlens serves predictions and Grad-CAM++ maps as JSON. Its requests come over as many
open connections as the concurrency says; each connection sends its next request when the response
to its last one has arrived. Every round measures everything once, so that a pace of the machine
that changes meets all; the table has the rounds' medians.

Exit codes: 0 done, 1 something failed.
"""

import argparse
import json
import pathlib
import selectors
import socket
import statistics
import sys
import threading
import time
from collections import namedtuple

from camlens_tools.bench import environment, machine
from camlens_tools.bench.common import Failure, Model, ModelsFolder, progress
from camlens_tools.bench.processes import Service, Worker, cpu_s
from camlens_tools.paths import MODELS, PICTURES

PATHS = {
    "predict": "/v1/predict?model={model}",
    "gradcam++": "/v1/explain?model={model}&method=gradcam%2B%2B&output=json",
}
PICTURE = {"vgg16-mri": "phantom.png"}
WARM_UP_S = 1.0

# Of one contestant in one round. `cpu_ms` is the processor time of a request; `client` is the
# share of a core that the load generator took.
Figures = namedtuple("Figures", "per_s p50_ms p95_ms cpu_ms client")


class Connection:
    """An open connection that sends the same request again and again."""

    def __init__(self, address, request):
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = request
        self.buffer = bytearray(1 << 20)
        self.sent = None

    def send(self):
        self.arrived, self.expected = 0, None
        self.sent = time.perf_counter()
        self.socket.sendall(self.request)

    def receive(self):
        """Takes what has arrived; whether the response is complete."""
        # Behind the head, what is there already is overwritten: nobody reads it.
        at = self.arrived if self.expected is None else self.head
        count = self.socket.recv_into(memoryview(self.buffer)[at:])
        if count == 0:
            raise Failure("the service closed a connection")
        self.arrived += count
        if self.expected is None:
            end = self.buffer.find(b"\r\n\r\n", 0, self.arrived)
            if end < 0:
                return False
            lines = bytes(self.buffer[:end]).lower().split(b"\r\n")
            if b" 200 " not in lines[0] + b" ":
                raise Failure(bytes(self.buffer[: self.arrived]).decode(errors="replace")[:500])
            length = next(line for line in lines if line.startswith(b"content-length:"))
            self.head = end + 4
            self.expected = self.head + int(length.split(b":")[1])
        return self.arrived >= self.expected


def run_load(service, path, picture, concurrency, seconds):
    """Keeps `concurrency` requests in the service for some seconds."""
    address = (service.connection.host, service.connection.port)
    head = f"POST {path} HTTP/1.1\r\nHost: camlens\r\nContent-Type: image/png\r\n"
    request = f"{head}Content-Length: {len(picture)}\r\n\r\n".encode() + picture
    times = []
    with selectors.DefaultSelector() as selector:
        connections = [Connection(address, request) for _ in range(concurrency)]
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send()
        begin = time.perf_counter() + WARM_UP_S
        end = begin + seconds
        started = None
        while (now := time.perf_counter()) < end:
            if started is None and now >= begin:
                started, own, cpu = now, time.process_time(), cpu_s(service.pid)
            for key, _ in selector.select(1):
                connection = key.data
                if connection.receive():
                    if started is not None:
                        times.append((time.perf_counter() - connection.sent) * 1e3)
                    connection.send()
        elapsed = time.perf_counter() - started
        own, cpu = time.process_time() - own, cpu_s(service.pid) - cpu
        for connection in connections:
            # The last requests are answered, so that none runs on into the next measurement.
            while not connection.receive():
                pass
            connection.socket.close()
    return figures(times, elapsed, cpu, own)


def figures(times, elapsed, cpu, client=0.0):
    if len(times) < 2:
        raise Failure("fewer than two requests ended; take more seconds")
    p95 = statistics.quantiles(times, n=20, method="inclusive")[-1]
    count = len(times)
    p50 = statistics.median(times)
    return Figures(count / elapsed, p50, p95, cpu * 1e3 / count, client / elapsed)


def run_plain(workers, action, seconds):
    """Runs all workers at once; their paces add up."""
    results = [None] * len(workers)

    def run(index):
        _, results[index] = workers[index].ask_result(action, seconds=seconds)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(workers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if None in results:
        raise Failure("a plain session ended")
    times = [ms for result in results for ms in result["times_ms"]]
    # Each process measures its own seconds, and they overlap.
    elapsed = statistics.mean(result["elapsed_s"] for result in results)
    return figures(times, elapsed, sum(result["cpu_s"] for result in results))


def median_of(rounds):
    return Figures(*(statistics.median(values) for values in zip(*rounds, strict=True)))


def row(what, concurrency, found, forward, picture):
    print(
        f"| {what} | {concurrency} | {found.per_s:.1f} | {found.per_s / forward.per_s:.0%} | "
        f"{found.per_s / picture.per_s:.0%} | {found.p50_ms:.1f} | {found.p95_ms:.1f} | "
        f"{found.cpu_ms:.1f} | {found.client:.1%} |",
        flush=True,
    )


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("binaries", nargs="+", type=pathlib.Path, metavar="BINARY")
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", default="1,2,4,8,16")
    parser.add_argument("--model", default="efficientnet-lite0")
    parser.add_argument("--only", choices=PATHS, help="one kind of request")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--python", metavar="FILE", help="with onnxruntime, numpy and Pillow")
    parser.add_argument("--settings", nargs="*", default=[], metavar="CAMLENS_NAME=VALUE")
    return parser.parse_args()


def measure(args, model, services, workers):
    """The figures of each contestant, one a round, by (what, concurrency)."""
    levels = [int(count) for count in args.concurrency.split(",")]
    picture = (PICTURES / model.picture).read_bytes()
    found = {}
    for number in range(args.rounds):
        for action in ("forward", "picture"):
            progress(f"round {number + 1}: plain sessions, {action}")
            key = (f"plain: {action}", len(workers))
            found.setdefault(key, []).append(run_plain(workers, f"{action}_for", args.seconds))
        for kind, path in PATHS.items():
            for concurrency in levels:
                for index, service in enumerate(services):
                    if args.only not in (None, kind):
                        continue
                    progress(f"round {number + 1}: {index + 1}, {kind}, {concurrency}")
                    result = run_load(
                        service, path.format(model=model.id), picture, concurrency, args.seconds
                    )
                    name = f"{index + 1}: {kind}" if len(services) > 1 else kind
                    found.setdefault((name, concurrency), []).append(result)
    return {key: median_of(rounds) for key, rounds in found.items()}


def main():
    args = parse_arguments()
    model = Model(args.model, MODELS / args.model, PICTURE.get(args.model, "chelsea.png"))
    settings = dict(setting.split("=", 1) for setting in args.settings)
    services, workers = [], []
    print(json.dumps(machine.describe()))
    try:
        python = environment.interpreter(args.python, False)
        for index in range(args.threads):
            arguments = [model.folder, PICTURES / model.picture, "--threads", 1]
            workers.append(
                Worker(python, "plain_ort", *arguments, name=f"throughput-plain-{index}")
            )
        with ModelsFolder([model]) as folder:
            for index, binary in enumerate(args.binaries):
                name = f"throughput-{index}"
                services.append(Service(binary, folder, args.threads, name, settings))
            found = measure(args, model, services, workers)
    except Failure as failure:
        print(f"bench.throughput: {failure}", file=sys.stderr)
        return 1
    finally:
        for process in [*services, *workers]:
            process.stop()
    print(
        "| requests | at once | per second | of plain forward | of plain with picture | p50, ms "
        "| p95, ms | CPU per request, ms | client, of a core |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    plain = {action: found[f"plain: {action}", len(workers)] for action in ("forward", "picture")}
    for (what, concurrency), result in found.items():
        row(what, concurrency, result, plain["forward"], plain["picture"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
