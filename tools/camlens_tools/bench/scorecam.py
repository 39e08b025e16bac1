"""Measures Score-CAM over natural pictures, with and without its optimisations.

    python3 tools bench.scorecam [--python PATH] [--vgg16 FOLDER] [--pictures NAME,...] [--curve N]

For each model and picture, in one run:
- The plain loop: ONNX Runtime's own package on the untouched file, in batches of 8, one pass for
  each channel of the layer. 32 passes are timed just before and just after camlens, and scaled to
  all channels.
- camlens: the whole HTTP request with all optimisations.
- Each optimisation alone, from 32 passes. `live channels only` is the service with
  `engine.fast_kernels` off, so that ONNX Runtime convolves. `Winograd only` is the service with
  `engine.skip_zeros` off, scaled to all channels, dead ones included; `both` is that scaled to the
  live ones.
- With `--peers N`, for the first N pictures on the full VGG16: pytorch-grad-cam and torch-cam in
  all their passes, which takes minutes each.
- `budget 32`: the map from 32 passes, its true correlation with the map of all passes, and the
  correlation that the response estimates.

The error curve: for `--curve` pictures and crops on efficientnet-lite0, the true correlation of
`budget` and of `max_channels` (the channels that vary most) with the map of all passes.

Writes docs/bench/scorecam.md with its chart, and bench/out/scorecam.json. Exit codes: 0 done,
1 something failed.
"""

import argparse
import io
import json
import os
import pathlib
import statistics
import sys
import urllib.parse

from camlens_tools import modules
from camlens_tools.bench import environment

try:
    import numpy as np
    from PIL import Image
except ImportError:
    # Continue in the benchmark's own environment, which has them.
    python = environment.interpreter(os.environ.get("BENCH_PYTHON"), False)
    command = modules.command("bench.scorecam", *sys.argv[1:], python=python)
    os.execve(python, command, modules.environment())

from camlens_tools.bench import error_curve_chart, machine, scorecam_report
from camlens_tools.bench.common import Failure, Model, ModelsFolder, public_command, say
from camlens_tools.bench.processes import Service, Worker
from camlens_tools.paths import BENCH_DOCS, BENCH_OUT, BINARY, MODELS, PICTURES, ROOT

NATURAL = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png"]
CROPS = {"whole": (0, 0, 1, 1), "upper left": (0, 0, 0.6, 0.6), "lower right": (0.4, 0.4, 1, 1)}
BUDGETS = [16, 32, 64, 128]
SAMPLE = 32
# The settings of the services that run without one optimisation.
WITHOUT = {
    "kernels": {"CAMLENS_FAST_KERNELS": "false"},
    "skipping": {"CAMLENS_SKIP_ZEROS": "false"},
}


def score_cam(service, model, picture, **options):
    """Requests a Score-CAM; returns (milliseconds, response)."""
    fixed = {"model": model, "method": "scorecam", "output": "json", "normalize": "none"}
    query = urllib.parse.urlencode({**fixed, **options})
    ms, body = service.post(f"/v1/explain?{query}", picture)
    return ms, json.loads(body)


def correlation(a, b):
    """Pearson's correlation of the maps of two responses."""
    maps = [np.array(response["heatmap"]["data"]).ravel() for response in (a, b)]
    return float(np.corrcoef(*maps)[0, 1])


def measure_speed(model, python, args):
    services = {}
    try:
        with ModelsFolder([model]) as folder:
            for name, settings in {"all": None, **WITHOUT}.items():
                services[name] = Service(
                    args.binary,
                    folder,
                    args.threads,
                    name=f"scorecam-{name}-{model.id}",
                    settings=settings,
                )
        rows = []
        for index, name in enumerate(args.pictures):
            peers = index < args.peers and model.id == "vgg16"
            rows.append(measure_picture(model, PICTURES / name, services, python, args, peers))
        memory = services["all"].memory_mib()
    finally:
        for service in services.values():
            service.stop()
    return {"rows": rows, "memory_mib": memory}


def measure_picture(model, path, services, python, args, with_peers):
    """One row of the report."""
    picture = path.read_bytes()
    options = [model.folder, path, "--threads", args.threads]
    plain = Worker(python, "plain_ort", *options, name=f"plain-{model.id}")

    def plain_sample():
        return plain.ask("masked", count=SAMPLE)

    def request(service, **options):
        return score_cam(services[service], model.id, picture, **options)

    try:
        for service in services:
            request(service, max_channels=8)
        forward_ms = statistics.median(plain.ask("forward") for _ in range(5))
        before = plain_sample()
        ours_ms, response = request("all")
        after = plain_sample()
        no_kernels_ms, sampled = request("kernels", max_channels=SAMPLE)
        no_skipping_ms, _ = request("skipping", max_channels=SAMPLE)
        budget_ms, estimated = request("all", budget=32)
        channels = response["passes"]["masked"] + response["passes"]["skipped"]
        peers = peer_ratios(options, python, plain_sample, channels) if with_peers else {}
    finally:
        plain.stop()
    live, sample = response["passes"]["masked"], sampled["passes"]["masked"]
    loop_ms = (before + after) / 2 / SAMPLE * channels
    say(
        f"{model.id} {path.name}: {ours_ms / 1e3:.1f} s, {ours_ms / loop_ms:.3f} of the plain "
        "loop; "
        f"32 passes {budget_ms / loop_ms:.3f}"
    )
    return {
        "picture": path.name,
        "channels": channels,
        "live": live,
        "forward_ms": forward_ms,
        "loop_ms": loop_ms,
        "ours_ms": ours_ms,
        "live_only_ms": no_kernels_ms / sample * live,
        "winograd_only_ms": no_skipping_ms / sample * channels,
        "budget_ms": budget_ms,
        "peers": peers,
        "true": correlation(response, estimated),
        "estimated": estimated["heatmap"]["estimate"]["correlation"],
        "at_least": estimated["heatmap"]["estimate"]["at_least"],
    }


def peer_ratios(options, python, plain_sample, channels):
    """The libraries' times, and their ratios to the plain loop just before and after."""
    found = {}
    worker = Worker(python, "peers", *options, name="scorecam-peers")
    try:
        for action in (action for action in worker.hello["actions"] if action.endswith("scorecam")):
            before = plain_sample()
            ms = worker.ask(action)
            loop_ms = (before + plain_sample()) / 2 / SAMPLE * channels
            library = action.split()[0]
            found[library] = {"ms": ms, "ratio": ms / loop_ms}
            say(f"{library}: {ms / 1e3:.0f} s, {ms / loop_ms:.2f} of the plain loop")
    finally:
        worker.stop()
    return found


def measure_curve(model, args):
    """True correlations by number of passes, for pictures and crops.

    The service's cache holds the passes that an earlier request ran.
    """
    with ModelsFolder([model]) as folder:
        service = Service(
            args.binary,
            folder,
            args.threads,
            name="scorecam-curve",
            settings={"CAMLENS_CACHE_BYTES": str(1 << 30)},
        )
    rows = []
    try:
        pictures = [path for path in sorted(PICTURES.iterdir()) if path.stem != "phantom"]
        for path in pictures:
            for crop, box in CROPS.items():
                if len(rows) < args.curve:
                    row = curve_row(service, model, png_crop(path, box))
                    rows.append({"picture": f"{path.name}, {crop}", **row})
                    true, strongest = row["32"]["true"], row["32"]["strongest"]
                    say(f"{path.name}, {crop}: 32 passes {true:.3f}, strongest 32 {strongest:.3f}")
    finally:
        service.stop()
    return rows


def png_crop(path, box):
    """A part of a picture, as PNG; `box` is (left, top, right, bottom) in 0..1."""
    with Image.open(path) as opened:
        whole = opened.convert("RGB")
    sides = [*whole.size, *whole.size]
    out = io.BytesIO()
    whole.crop([int(edge * side) for edge, side in zip(box, sides)]).save(out, "PNG")
    return out.getvalue()


def curve_row(service, model, picture):
    _, full = score_cam(service, model.id, picture)
    row = {"passes": full["passes"]["masked"]}
    for budget in BUDGETS:
        _, estimated = score_cam(service, model.id, picture, budget=budget)
        _, strongest = score_cam(service, model.id, picture, max_channels=budget)
        # A budget of all passes gives no estimate.
        exact = {"correlation": 1.0, "at_least": 1.0}
        row[str(budget)] = {
            "true": correlation(full, estimated),
            **estimated["heatmap"].get("estimate", exact),
            "strongest": correlation(full, strongest),
        }
    return row


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--python", default=sys.executable, help="a Python with onnxruntime")
    vgg16 = "folder of a full-size VGG16, such as models.imagenet_vgg16 makes"
    add("--vgg16", type=pathlib.Path, help=vgg16)
    add("--pictures", type=lambda names: names.split(","), default=NATURAL)
    add("--curve", type=int, default=36, help="pictures of the error curve (36)")
    peers = "run the libraries on N pictures, too (0)"
    add("--peers", type=int, default=0, metavar="N", help=peers)
    only = "just this part; the other one keeps its last measurement"
    add("--only", choices=["speed", "curve"], help=only)
    add("--threads", type=int, default=2)
    add("--binary", type=pathlib.Path, default=BINARY)
    return parser.parse_args()


def main():
    args = parse_arguments()
    models = [Model("vgg16-mri", MODELS / "vgg16-mri", None)]
    if args.vgg16:
        models.insert(0, Model("vgg16", args.vgg16.absolute(), None))
    command = public_command("bench.scorecam", sys.argv[1:])
    BENCH_OUT.mkdir(exist_ok=True)
    stored = BENCH_OUT / "scorecam.json"
    found = {"speed": {}, "curve": []}
    if args.only and stored.is_file():
        found = json.loads(stored.read_text(encoding="utf-8"))
    found |= {"machine": machine.describe(), "threads": args.threads}
    if args.only != "curve":
        found["command"] = command
        found["speed"] = {model.id: measure_speed(model, args.python, args) for model in models}
    if args.only != "speed":
        found["curve_command"] = command
        lite0 = Model("efficientnet-lite0", MODELS / "efficientnet-lite0", None)
        found["curve"] = measure_curve(lite0, args)
    stored.write_text(json.dumps(found, indent=1), encoding="utf-8")
    if found["curve"]:
        chart = error_curve_chart.draw(found["curve"], BUDGETS)
        (BENCH_DOCS / "scorecam.svg").write_text(chart, encoding="utf-8")
    path = BENCH_DOCS / "scorecam.md"
    path.write_text(scorecam_report.page(found, BUDGETS), encoding="utf-8")
    say(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        say(str(failure))
        sys.exit(1)
