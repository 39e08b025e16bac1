"""Measures exported files in ONNX Runtime, beside the plain model, in the same alternating run.

    python3 tools bench.exported [--binary CAMLENS] [--model ID …] [--rounds N] [--threads N]

Every contestant is a session of this process with the same threads. The service with
`fast_kernels = false` runs the same operators, so its time is the floor. Times are multiples of the
plain model's in the same round, medians of the rounds.

Exit codes: 0 measured, 1 something failed.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from camlens_tools.bench import environment, machine
from camlens_tools.bench.common import Failure, Model, ModelsFolder, say
from camlens_tools.bench.processes import Service
from camlens_tools.paths import BINARY, MODELS, PICTURES, ROOT

PICTURE = {"efficientnet-lite0": "chelsea.png", "vgg16-mri": "phantom.png"}
# What is exported. Score-CAM and Ablation-CAM run the model once a channel, which takes minutes.
FILES = {
    "Grad-CAM": ("gradcam",),
    "Grad-CAM++": ("gradcam++",),
    "six gradient methods": (
        "gradcam",
        "gradcam++",
        "layercam",
        "hirescam",
        "xgradcam",
        "gradcam-elementwise",
    ),
    "Eigen-CAM": ("eigencam",),
    "Recipro-CAM": ("reciprocam",),
}
TURN_S = 0.3


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--binary", type=pathlib.Path, default=BINARY)
    parser.add_argument("--model", action="append", choices=sorted(PICTURE))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser.parse_args()


def session(path, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # As in a server: threads that spin would take the cores from the next contestant.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options)


def timed(call):
    """The median milliseconds of calls during a turn, after one that warms up."""
    call()
    times = []
    end = time.perf_counter() + TURN_S
    while not times or time.perf_counter() < end:
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times)


def runner(opened, image):
    name = opened.get_inputs()[0].name
    return lambda: opened.run(None, {name: image})


def measure(args, model):
    import numpy as np

    folder = MODELS / model
    plain = session(folder / "model.onnx", args.threads)
    shape = [one if isinstance(one, int) else 1 for one in plain.get_inputs()[0].shape]
    image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    calls = {"the plain model": runner(plain, image)}
    with tempfile.TemporaryDirectory(prefix="camlens-exported-") as name:
        for title, methods in FILES.items():
            path = pathlib.Path(name) / "cam.onnx"
            command = [args.binary, "export", model, "--method", ",".join(methods), "-o", path]
            done = subprocess.run(
                [*map(str, command), "--quiet"],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise Failure(f"{title}: {done.stderr.strip()}")
            # The session holds what it needs of the file.
            calls[title] = runner(session(path, args.threads), image)
    picture = (PICTURES / PICTURE[model]).read_bytes()
    with ModelsFolder([Model(model, folder, None)]) as models:
        service = Service(
            args.binary, models, args.threads, settings={"CAMLENS_FAST_KERNELS": "false"}
        )
        query = f"/v1/explain?model={model}&output=npy&method=gradcam"
        calls["the service without its kernels, Grad-CAM"] = lambda: service.post(query, picture)
        try:
            rounds = []
            for number in range(args.rounds):
                rounds.append({title: timed(call) for title, call in calls.items()})
                say(f"{model}: round {number + 1} of {args.rounds}")
        finally:
            service.stop()
    for title in calls:
        ratios = [one[title] / one["the plain model"] for one in rounds]
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
        ms = statistics.median(one[title] for one in rounds)
        print(f"| {model} | {title} | {middle:.2f} | {low:.2f}–{high:.2f} | {ms:.1f} |", flush=True)


def main():
    args = parse_arguments()
    python = environment.interpreter(os.environ.get("BENCH_PYTHON"), False)
    environment.continue_in(python, "bench.exported")
    found = machine.describe()
    print(f"{found['cpu']}, {found['cpus']} CPUs, {args.threads} threads, {found['date']}\n")
    print("| model | file | × plain | quartiles | ms |\n|---|---|---:|---:|---:|", flush=True)
    try:
        for model in args.model or sorted(PICTURE):
            measure(args, model)
    except Failure as failure:
        print(f"bench.exported: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
