"""Measures the cost of a gradient: Grad-CAM at the default layer and at the first stage.

    python3 tools bench.architectures [--python PATH] [--rounds N] [NAME ...]

Uses torchvision's architectures with random weights, exported once into bench/out. The contestants
take turns:
- Plain ONNX Runtime: one pass of the untouched file on a prepared tensor. It runs again right
  before every other turn, which is compared with that pass, because a machine's speed may change
  from one second to the next.
- camlens, the whole HTTP request (PNG in, JSON out): predict, and Grad-CAM at two layers. The
  report also states how much of it the passes and the map took, from the response's own
  `timing_ms`: decoding and resizing a picture takes as long as a pass of a small network.
- torch: a pass without gradients, and a pass with autograd's gradient of the class at the same
  layers.

Writes docs/bench/architectures.md. Exit codes: 0 done, 1 something failed.
"""

import argparse
import json
import os
import pathlib
import sys
import urllib.parse

from camlens_tools.bench import environment, machine, rounds
from camlens_tools.bench.common import (
    Failure,
    Model,
    ModelsFolder,
    progress,
    public_command,
    run_module,
    say,
)
from camlens_tools.bench.processes import Service, Worker
from camlens_tools.paths import BENCH_DOCS, BENCH_OUT, BINARY, PICTURES, ROOT

# For each of torchvision's names, two layers: (module, camlens's name of its output).
ARCHITECTURES = {
    "resnet50": {
        "default": ("layer4", "layer4.2.relu_2"),
        "first stage": ("layer1", "layer1.2.relu_2"),
    },
    "mobilenet_v3_large": {
        "default": ("features.16", "features.16.2"),
        "first stage": ("features.1", "features.1"),
    },
    "efficientnet_b0": {
        "default": ("features.8", "features.8.2"),
        "first stage": ("features.1", "features.1.0.block.block.2.block.2.0"),
    },
    "vit_b_16": {
        "default": ("encoder.layers.encoder_layer_11.ln_1", "encoder.layers.encoder_layer_11.ln_1"),
        "first stage": ("encoder.layers.encoder_layer_0", "encoder.layers.encoder_layer_0.add_1"),
    },
}
MANIFEST = """\
file = "model.onnx"
[input]
size = [224, 224]
layout = "nchw"
color = "rgb"
scale = 0.003921568627
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
fit = "stretch"
resize = "bilinear"
"""
PICTURE = PICTURES / "chelsea.png"


def exported(name, python):
    """The model of an architecture, exported on first use."""
    folder = BENCH_OUT / "architectures" / name
    if not (folder / "model.onnx").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        say(f"exporting {name}")
        options = [name, PICTURE, "--export", folder / "model.onnx"]
        run_module("bench.workers.torch_gradient", *options, python=python)
    (folder / "model.toml").write_text(MANIFEST, encoding="utf-8")
    return Model(name, folder, PICTURE)


def measure(name, python, args):
    model, layers = exported(name, python), ARCHITECTURES[name]
    picture, workers = PICTURE.read_bytes(), []

    def request(path, **options):
        query = urllib.parse.urlencode({"model": name, **options})
        ms, body = service.post(f"{path}?{query}", picture)
        timing = json.loads(body)["timing_ms"]
        return ms, timing["forward"] + timing.get("explain", 0.0)

    with ModelsFolder([model]) as folder:
        service = Service(args.binary, folder, args.threads, name=f"camlens-{name}")
    try:
        options = [PICTURE, "--threads", args.threads]
        plain = Worker(python, "plain_ort", model.folder, *options, name=f"plain-{name}")
        workers.append(plain)
        torch = Worker(python, "torch_gradient", name, *options, name=f"torch-{name}")
        workers.append(torch)

        def grad_cam(layer):
            return request("/v1/explain", method="gradcam", output="json", layer=layer)

        contestants = [
            rounds.Contestant("plain", plain.pid, lambda: plain.ask("forward")),
            rounds.Contestant("camlens predict", service.pid, lambda: request("/v1/predict")),
            rounds.Contestant("torch forward", torch.pid, lambda: torch.ask("forward")),
        ]
        for which, (module, layer) in layers.items():
            contestants += [
                rounds.Contestant(
                    f"camlens Grad-CAM, {which}",
                    service.pid,
                    lambda layer=layer: grad_cam(layer),
                ),
                rounds.Contestant(
                    f"torch gradient, {which}",
                    torch.pid,
                    lambda module=module: torch.ask("gradient", module=module),
                ),
            ]
        watch = rounds.Watch([service.pid, *(worker.pid for worker in workers)])
        say(f"{name}: {args.rounds} rounds of {len(contestants)} contestants")
        counted, disturbed = rounds.alternate(
            contestants,
            args.rounds,
            watch,
            progress,
            attempts=args.patience,
            companion=contestants[0],
        )
    finally:
        service.stop()
        for worker in workers:
            worker.stop()
    return {
        "summary": rounds.summary(counted, "plain"),
        "disturbed": disturbed,
        "versions": torch.hello["versions"],
    }


def report(found):
    machine = found["machine"]
    lines = [
        "# What a gradient costs",
        "",
        f"`{found['command']}` on {machine['cpu']}, {machine['cpus']} CPUs, {machine['date']}, "
        f"{found['threads']} threads, {found['rounds']} rounds.",
        "",
        "All figures are medians. A ratio compares a contestant with a plain ONNX Runtime pass",
        "that ran immediately before it. `passes and map` excludes image decoding, HTTP and JSON.",
        "[bench/README.md](../../bench/README.md) describes the method.",
        "",
    ]
    for name, part in found["architectures"].items():
        lines += [f"## {name}", ""]
        lines.append("| contestant | median, ms | ratio to plain | passes and map |")
        lines.append("|---|---:|---:|---:|")
        for key, entry in sorted(part["summary"].items()):
            ms, ratio = entry["ms"]["median"], entry["ratio"]["median"]
            inside = entry.get("inside_ratio")
            inside = f"**{inside['median']:.2f}**" if inside else ""
            lines.append(f"| {key} | {ms:.1f} | {ratio:.2f} | {inside} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help=f"of {', '.join(ARCHITECTURES)}; all")
    python = os.environ.get("BENCH_PYTHON")
    add("--python", default=python, help="a Python with onnxruntime and torchvision")
    add("--rounds", type=int, default=11)
    add("--patience", type=int, default=2)
    add("--threads", type=int, default=len(os.sched_getaffinity(0)))
    add("--binary", type=pathlib.Path, default=BINARY)
    args = parser.parse_args()
    unknown = set(args.names) - set(ARCHITECTURES)
    if unknown:
        parser.error(f"no such architecture: {', '.join(sorted(unknown))}")
    return args


def main():
    args = parse_arguments()
    python = environment.interpreter(args.python, True)
    if not environment.has(python, "torch, torchvision, onnx"):
        raise Failure(
            f"{python} lacks torch, torchvision or onnx (tools/requirements/bench-peers.txt)"
        )
    names = args.names or list(ARCHITECTURES)
    found = {
        "command": public_command("bench.architectures", sys.argv[1:]),
        "machine": machine.describe(),
        "threads": args.threads,
        "rounds": args.rounds,
        "architectures": {name: measure(name, python, args) for name in names},
    }
    (BENCH_OUT / "architectures.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    folder = BENCH_DOCS if names == list(ARCHITECTURES) else BENCH_OUT
    path = folder / "architectures.md"
    path.write_text(report(found), encoding="utf-8")
    say(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        say(str(failure))
        sys.exit(1)
