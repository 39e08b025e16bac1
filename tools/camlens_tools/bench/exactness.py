"""Counts the maps that differ from 64-bit arithmetic, and times them, with and without kernels.

    python3 tools bench.exactness                        the built camlens
    python3 tools bench.exactness --binary A --binary B  two builds, side by side

The maps are those of reference/vgg16_mri.py: 3 pictures, 4 layers, 2 classes, 4 methods, and the
article's. For each contestant (camlens with `fast_kernels` on and off, for each binary, and torch
in 32 bits) the table gives the number of maps whose largest difference from the 64-bit reference
exceeds 1e-4, and beside it the time of a Grad-CAM++ as a multiple of plain ONNX Runtime's forward
pass, in alternating turns. Maps are compared after division by their maximum.

Writes docs/exactness.md, or bench/out/exactness.md for several binaries or without times. Exit
codes: 0 done, 1 something failed.
"""

import argparse
import io
import json
import os
import pathlib
import sys
import tempfile
import urllib.parse

from camlens_tools.bench import environment, exactness_report, machine, rounds
from camlens_tools.bench.common import (
    Failure,
    Model,
    ModelsFolder,
    progress,
    public_command,
    say,
)
from camlens_tools.bench.processes import Service, Worker
from camlens_tools.paths import BENCH_OUT, BINARY, ROOT

# A map differs visibly, in a decimal that is printed, above this.
LIMIT = 1e-4
KERNELS = {"camlens": "true", "camlens, fast_kernels = false": "false"}
TORCH = "torch, 32 bits"


def query(request, **options):
    return "/v1/explain?" + urllib.parse.urlencode(
        {
            "model": "vgg16-mri",
            "method": request.method,
            "layer": request.layer,
            "target": request.target,
            "convention": request.convention,
            "normalize": "max",
            **options,
        }
    )


def camlens_map(service, request, picture):
    import numpy as np

    _, body = service.post(query(request, output="npy", size="layer"), picture)
    return np.load(io.BytesIO(body)).astype(np.float64)


def differences(reference, found):
    """[(request, largest difference, positions that differ by more than the limit)]."""
    import numpy as np

    rows = []
    for request, exact in reference.items():
        distance = np.abs(found[request] - exact)
        rows.append((request, float(distance.max()), int((distance > LIMIT).sum())))
    return rows


def start_services(args, folder):
    """{name: Service}, one for each binary and kind of kernels."""
    services = {}
    try:
        for index, binary in enumerate(args.binary):
            for name, fast in KERNELS.items():
                if len(args.binary) > 1:
                    name = name.replace("camlens", f"camlens {chr(ord('A') + index)}", 1)
                services[name] = Service(
                    binary,
                    folder,
                    args.threads,
                    name=f"camlens-exactness-{len(services)}",
                    settings={"CAMLENS_FAST_KERNELS": fast},
                )
    except BaseException:
        stop(services)
        raise
    return services


def stop(services):
    for service in services.values():
        service.stop()


def compare(services, pictures):
    """{contestant: rows of differences}, over all pictures."""
    from camlens_tools.reference import vgg16_mri

    exact, single = vgg16_mri.double(), vgg16_mri.single()
    found = {name: [] for name in [*services, TORCH]}
    for name, path in pictures.items():
        say(f"{name}: maps in 64 bits, and everyone's")
        reference = exact.maps(name, path, exact.classes(path))
        picture = path.read_bytes()
        for contestant, service in services.items():
            theirs = {request: camlens_map(service, request, picture) for request in reference}
            found[contestant] += differences(reference, theirs)
        classes = list(dict.fromkeys(request.target for request in reference))
        found[TORCH] += differences(reference, single.maps(name, path, classes))
    return found


def time_requests(services, model, args, python):
    """{layer: rounds.summary} of Grad-CAM++ at each layer, beside a plain pass."""
    from camlens_tools.reference import vgg16_mri

    workers, found = [], {}
    picture = model.picture.read_bytes()
    try:
        for script in ("plain_ort", "onnx_in_torch"):
            options = [model.folder, model.picture, "--threads", args.threads]
            workers.append(Worker(python, script, *options, name=f"{script}-exactness"))
        plain, torch = workers
        target = vgg16_mri.double().classes(model.picture)[0]
        pids = [*(service.pid for service in services.values()), *(w.pid for w in workers)]
        for layer in vgg16_mri.LAYERS:
            request = vgg16_mri.Request("", layer, target, "gradcam++", "paper")
            tensor = vgg16_mri.tensor_name(layer)
            contestants = [
                rounds.Contestant("plain", plain.pid, lambda: plain.ask("forward")),
                rounds.Contestant(
                    TORCH, torch.pid, lambda tensor=tensor: torch.ask("gradient", tensor=tensor)
                ),
            ]
            for name, service in services.items():
                path = query(request, output="json", size="layer", top_k=1)
                contestants.append(
                    rounds.Contestant(
                        name,
                        service.pid,
                        lambda service=service, path=path: passes_ms(service, path, picture),
                    )
                )
            say(f"{layer}: {args.rounds} rounds of {len(contestants)} contestants")
            counted, disturbed = rounds.alternate(
                contestants, args.rounds, rounds.Watch(pids), progress, attempts=args.patience
            )
            found[layer] = {"summary": rounds.summary(counted, "plain"), "disturbed": disturbed}
    finally:
        for worker in workers:
            worker.stop()
    return found


def passes_ms(service, path, picture):
    """A request's milliseconds, and of them those of the passes and the map."""
    ms, body = service.post(path, picture)
    timing = json.loads(body)["timing_ms"]
    return ms, timing["forward"] + timing["explain"]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--binary", type=pathlib.Path, action="append", help="a camlens to measure; repeatable")
    add("--python", default=os.environ.get("BENCH_PYTHON"), help="a Python with torch and onnx")
    add("--rounds", type=int, default=11, help="rounds of each layer's times; 0: no times")
    add("--patience", type=int, default=2, help="at most this many times the rounds")
    add("--threads", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    args.binary = args.binary or [BINARY]
    return args


def main():
    args = parse_arguments()
    for binary in args.binary:
        if not binary.is_file():
            raise Failure(f"{binary} is missing: `make build` makes it")
    python = environment.with_torch(args.python)
    environment.continue_in(python, "bench.exactness")
    from camlens_tools.reference import vgg16_mri

    with tempfile.TemporaryDirectory(prefix="camlens-bench-") as folder:
        pictures = vgg16_mri.write_pictures(pathlib.Path(folder))
        model = Model("vgg16-mri", vgg16_mri.FOLDER, pictures["chelsea"])
        with ModelsFolder([model]) as models:
            services = start_services(args, models)
        try:
            found = {
                "command": public_command("bench.exactness", sys.argv[1:]),
                "machine": machine.describe(),
                "threads": args.threads,
                "limit": LIMIT,
                "binaries": [machine.camlens_version(binary, ROOT) for binary in args.binary],
                "differences": compare(services, pictures),
                "rounds": args.rounds,
                "times": time_requests(services, model, args, python) if args.rounds else {},
            }
        finally:
            stop(services)
    BENCH_OUT.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=1, default=str)
    (BENCH_OUT / "exactness.json").write_text(text, encoding="utf-8")
    for path in exactness_report.write(found, is_default=len(args.binary) == 1 and args.rounds > 0):
        say(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        say(str(failure))
        sys.exit(1)
