#!/usr/bin/env python3
"""Measures what a gradient costs beside a plain pass: Grad-CAM at the default layer and at the first stage.

    architectures.py [--python PATH] [--rounds N] [NAME ...]

torchvision's architectures with random weights, exported once into bench/out. Contestants, in turns:
- plain ONNX Runtime, one pass of the untouched file on a tensor that is ready; it is asked again right before
  every other turn, which is held to that, since the machine's speed may change from one second to the next;
- camlens, the whole HTTP request (PNG in, JSON out): predict, and Grad-CAM at two layers. The page also
  says what of it the passes and the map took, by the answer's own `timing_ms`: decoding and resizing a
  picture takes as long as a pass of a small network;
- torch: a pass without gradients, and a pass with autograd's gradient of the class at the same layers.

Writes docs/bench/architectures.md. Exit codes: 0 done, 1 something failed.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import urllib.parse

from camlens_tools.bench import environment, machine, rounds
from camlens_tools.bench.compare import BINARY, OUT, PICTURES, Model, models_folder, progress, say
from camlens_tools.bench.processes import HERE, ROOT, Failure, Service, Worker

# torchvision's name: the modules of the default layer and of the first stage, and camlens's names of their outputs.
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
MANIFEST = (
    'file = "model.onnx"\n[input]\nsize = [224, 224]\nlayout = "nchw"\ncolor = "rgb"\nscale = 0.003921568627\n'
    'mean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]\nfit = "stretch"\nresize = "bilinear"\n'
)
PICTURE = PICTURES / "chelsea.png"


def exported(name, python):
    """The folder of an architecture's model, made once."""
    folder = OUT / "architectures" / name
    if not (folder / "model.onnx").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        say(f"exporting {name}")
        command = [
            str(python),
            str(HERE / "workers" / "torch_gradient.py"),
            name,
            str(PICTURE),
            "--export",
            str(folder / "model.onnx"),
        ]
        run = subprocess.run(command, check=False, capture_output=True, text=True)
        if run.returncode != 0:
            raise Failure(f"{name}: {(run.stderr.strip().splitlines() or [run.returncode])[-1]}")
    (folder / "model.toml").write_text(MANIFEST, encoding="utf-8")
    return Model(name, folder, PICTURE)


def measure(name, python, args):
    model, layers = exported(name, python), ARCHITECTURES[name]
    picture, workers = PICTURE.read_bytes(), []

    def request(path, **options):
        query = urllib.parse.urlencode({"model": name, **options})
        ms, body = service.post(f"{path}?{query}", picture)
        took = json.loads(body)["timing_ms"]
        return ms, took["forward"] + took.get("explain", 0.0)

    with models_folder([model]) as folder:
        service = Service(args.binary, folder, args.threads, name=f"camlens-{name}")
    try:
        common = ["--threads", args.threads]
        plain = Worker(python, "plain_ort.py", model.folder, PICTURE, *common, name=f"plain-{name}")
        workers.append(plain)
        torch = Worker(python, "torch_gradient.py", name, PICTURE, *common, name=f"torch-{name}")
        workers.append(torch)
        contestants = [
            rounds.Contestant("plain", plain.pid, lambda: plain.ask("forward")),
            rounds.Contestant("camlens predict", service.pid, lambda: request("/v1/predict")),
            rounds.Contestant("torch forward", torch.pid, lambda: torch.ask("forward")),
        ]
        for which, (module, layer) in layers.items():
            key = f"camlens Grad-CAM, {which}"
            options = {"method": "gradcam", "output": "json", "layer": layer}
            contestants += [
                rounds.Contestant(
                    key, service.pid, lambda options=options: request("/v1/explain", **options)
                ),
                rounds.Contestant(
                    f"torch gradient, {which}",
                    torch.pid,
                    lambda module=module: torch.ask("gradient", module=module),
                ),
            ]
        watch = rounds.Watch([service.pid, *(worker.pid for worker in workers)])
        say(f"{name}: {args.rounds} rounds of {len(contestants)} contestants")
        taken, disturbed = rounds.alternate(
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
        "summary": rounds.summary(taken, "plain"),
        "disturbed": disturbed,
        "versions": torch.hello["versions"],
    }


def report(found):
    told = found["machine"]
    lines = [
        "# What a gradient costs",
        "",
        f"`{found['command']}` on {told['cpu']}, {told['cpus']} CPUs, {told['date']}, {found['threads']} threads, "
        f"{found['rounds']} rounds. Made by bench/architectures.py, which says what is measured: ratios to a",
        "plain pass of ONNX Runtime right before, medians. `passes and map` leaves out decoding the picture, HTTP and JSON.",
        "",
    ]
    for name, part in found["architectures"].items():
        lines += [
            f"## {name}",
            "",
            "| contestant | median, ms | ratio to plain | passes and map |",
            "|---|---:|---:|---:|",
        ]
        for key, entry in sorted(part["summary"].items()):
            within = f"**{entry['inside_ratio']['median']:.2f}**" if "inside_ratio" in entry else ""
            lines.append(
                f"| {key} | {entry['ms']['median']:.1f} | {entry['ratio']['median']:.2f} | {within} |"
            )
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(ARCHITECTURES)}; all"
    )
    parser.add_argument(
        "--python",
        default=os.environ.get("BENCH_PYTHON"),
        help="a Python with onnxruntime and torchvision",
    )
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--patience", type=int, default=2)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--binary", type=pathlib.Path, default=BINARY)
    args = parser.parse_args()
    unknown = set(args.names) - set(ARCHITECTURES)
    if unknown:
        parser.error(f"no such architecture: {', '.join(sorted(unknown))}")
    python = environment.interpreter(args.python, True)
    if not environment.has(python, "torch, torchvision, onnx"):
        raise Failure(f"{python} lacks torch, torchvision or onnx (bench/requirements-peers.txt)")
    names = args.names or list(ARCHITECTURES)
    words = [pathlib.Path(word).name if "/" in word else word for word in sys.argv[1:]]
    found = {
        "command": " ".join(["bench/architectures.py", *words]),
        "machine": machine.describe(),
        "threads": args.threads,
        "rounds": args.rounds,
        "architectures": {name: measure(name, python, args) for name in names},
    }
    (OUT / "architectures.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    path = (ROOT / "docs" / "bench" if names == list(ARCHITECTURES) else OUT) / "architectures.md"
    path.write_text(report(found), encoding="utf-8")
    say(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        say(str(failure))
        sys.exit(1)
