"""Compares camlens with a plain ONNX Runtime forward pass and with its peers, in one run.

    python3 tools bench.compare                 plain ONNX Runtime only
    python3 tools bench.compare --peers         installs torch, pytorch-grad-cam and torch-cam, too
    python3 tools bench.compare --python PATH   uses a Python that has them (or BENCH_PYTHON)
    python3 tools bench.compare --quick         a smoke run: few rounds, the report in bench/out

Writes docs/bench/results.md, docs/bench/results.svg and bench/out/raw.json. bench/README.md
describes what is compared with what, and why.

Exit codes: 0 done, 1 something failed, 2 the command line is wrong, 130 interrupted.
"""

import argparse
import json
import os
import pathlib
import sys

from camlens_tools.bench import comparison_report, environment, machine, memory
from camlens_tools.bench.common import Failure, Model, Skipped, public_command, run_module, say
from camlens_tools.bench.contestants import Contestants
from camlens_tools.paths import BENCH_DOCS, BENCH_OUT, BINARY, MODELS, PICTURES, ROOT


def full_size_vgg16(args, python):
    """The folder of the 553 MB model: the named one, models/vgg16, or one with random weights."""
    if args.vgg16:
        if not (args.vgg16 / "model.onnx").is_file():
            raise Failure(f"{args.vgg16} has no model.onnx")
        return args.vgg16.absolute()
    made = BENCH_OUT / "vgg16"
    for folder in (MODELS / "vgg16", made):
        if (folder / "model.onnx").is_file() and (folder / "model.toml").is_file():
            return folder
    if not environment.has(python, "torchvision, onnx"):
        raise Skipped(
            "it is missing, and so is torchvision, which could make it (`--peers` installs it)"
        )
    say("making the full-size VGG16 with random weights, 553 MB")
    options = ["--framework", "torchvision", "--weights", "none", "--out", made]
    run_module("models.export_vgg16", *options, python=python, error=Skipped)
    return made


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], epilog="bench/README.md describes the method."
    )
    add = parser.add_argument
    add("--peers", action="store_true", help="install the peers into .venv-bench")
    python = os.environ.get("BENCH_PYTHON")
    add("--python", default=python, help="use this Python, install nothing (or BENCH_PYTHON)")
    add(
        "--vgg16",
        type=pathlib.Path,
        default=os.environ.get("BENCH_VGG16"),
        metavar="DIR",
        help="folder of the full-size VGG16 (or BENCH_VGG16)",
    )
    add("--binary", type=pathlib.Path, default=BINARY, help="the camlens to measure")
    add("--rounds", type=int, help="rounds that count (21; --quick: 3)")
    add("--score-rounds", type=int, help="rounds of Score-CAM (3; --quick: 1; 0: none)")
    patience = "run at most this many times the rounds to find quiet ones (2)"
    add("--patience", type=int, default=2, help=patience)
    add("--max-channels", type=int, help="Score-CAM's channels (all; --quick: 16)")
    add("--full", action="store_true", help="Score-CAM on the full-size VGG16, too")
    add("--threads", type=int, default=len(os.sched_getaffinity(0)), help="for every contestant")
    parts = ["speed", "memory"]
    add("--only", choices=parts, help="just this part; the report goes to bench/out")
    add("--quick", action="store_true", help="a smoke run; the report goes to bench/out")
    args = parser.parse_args()
    defaults = {"rounds": (21, 3), "score_rounds": (3, 1), "max_channels": (None, 16)}
    for name, (full, quick) in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, quick if args.quick else full)
    counts = (args.rounds, args.threads, args.patience, args.max_channels or 1)
    if min(counts) < 1 or args.score_rounds < 0:
        parser.error("rounds, patience, threads and channels must be at least 1")
    return args


def main():
    args = parse_arguments()
    if not args.binary.is_file():
        raise Failure(f"{args.binary} is missing: `make build` makes it")
    python = environment.interpreter(args.python, args.peers)
    found = {
        "machine": machine.describe(),
        "threads": args.threads,
        "load_at_start": os.getloadavg(),
        "command": public_command("bench.compare", sys.argv[1:]),
        "notes": [],
        "versions": {"camlens": machine.camlens_version(args.binary, ROOT)},
        "all_channels": not args.max_channels,
        "speed": {},
        "score_cam": {},
        "memory": {},
    }
    mri = Model("vgg16-mri", MODELS / "vgg16-mri", PICTURES / "phantom.png")
    lite0 = Model("efficientnet-lite0", MODELS / "efficientnet-lite0", PICTURES / "chelsea.png")
    vgg16 = []
    try:
        vgg16 = [Model("vgg16", full_size_vgg16(args, python), PICTURES / "chelsea.png")]
        if "--weights none" in (vgg16[0].folder / "model.toml").read_text(encoding="utf-8"):
            found["notes"].append(
                "the full-size VGG16 has random weights, which cost the same time"
            )
    except Skipped as skipped:
        found["notes"].append(f"the full-size VGG16 is skipped: {skipped}")

    for model in [mri, *vgg16] if args.only != "memory" else []:
        contestants = Contestants(model, python, args)
        try:
            one_pass = found["speed"][model.id] = contestants.one_pass(args)
            if args.score_rounds and (model is mri or args.full):
                score_cam = contestants.score_cam(args, one_pass["denominator"])
                found["score_cam"][model.id] = score_cam
        finally:
            contestants.stop()
        found["notes"] += contestants.notes
        found["versions"].update(contestants.versions)
    for model in [mri, lite0, *vgg16] if args.only != "speed" else []:
        found["memory"][model.id] = memory.measure(model, args)

    found["load_at_end"] = os.getloadavg()
    BENCH_OUT.mkdir(exist_ok=True)
    (BENCH_OUT / "raw.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    for note in dict.fromkeys(found["notes"]):
        say(note)
    for path in comparison_report.write(
        found, BENCH_OUT if args.quick or args.only else BENCH_DOCS
    ):
        say(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    try:
        main()
    except (Failure, Skipped) as failure:
        print(f"bench: {failure}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        sys.exit(130)
