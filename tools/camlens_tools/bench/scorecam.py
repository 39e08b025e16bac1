#!/usr/bin/env python3
"""Measures Score-CAM over natural pictures: ours, ours without each lever, and a plain loop over ONNX Runtime.

    scorecam.py [--python PATH] [--vgg16 FOLDER] [--pictures NAME,NAME] [--curve N]

For each model and picture, in one run:
- the plain loop: ONNX Runtime's own package on the untouched file, batches of 8, as many passes as the layer has
  channels. `--sample` passes are timed just before and just after ours, and counted up to all channels;
- `camlens`: the whole HTTP request, all levers;
- each lever alone: `live channels only` is the service with `engine.fast_kernels` off, so that ONNX Runtime convolves; `Winograd
  only` is it with `engine.skip_zeros` off, counted up to all channels, dead ones too; `both` to the live ones (samples);
- with `--peers N`, for the first N pictures on the full VGG16, pytorch-grad-cam and torch-cam in all their passes (minutes each);
- `budget 32`: from 32 passes, and how far its map truly is from that of all passes beside what it was told.

The error curve: for `--curve` pictures and crops on efficientnet-lite0 the true correlation of
`budget` and of `max_channels` (the channels that vary most) with the map of all passes. Writes
docs/bench/scorecam.md with its chart, and bench/out/scorecam.json. Exit codes: 0 done, 1 something failed.
"""

import argparse
import io
import json
import os
import pathlib
import statistics
import sys
import urllib.parse

from camlens_tools.bench import environment

try:
    import numpy as np
    from PIL import Image
except ImportError:
    # The benchmark's own environment has them.
    python = str(environment.interpreter(os.environ.get("BENCH_PYTHON"), False))
    os.execv(python, [python, *sys.argv])

from camlens_tools.bench import error_curve_chart as chart
from camlens_tools.bench import machine
from camlens_tools.bench.compare import BINARY, OUT, PICTURES, Model, models_folder, say
from camlens_tools.bench.processes import ROOT, Failure, Service, Worker

NATURAL = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png"]
CROPS = {"whole": (0, 0, 1, 1), "upper left": (0, 0, 0.6, 0.6), "lower right": (0.4, 0.4, 1, 1)}
BUDGETS = [16, 32, 64, 128]
SAMPLE = 32


def ask(service, model, picture, **options):
    query = urllib.parse.urlencode(
        {"model": model, "method": "scorecam", "output": "json", "normalize": "none", **options}
    )
    ms, body = service.post(f"/v1/explain?{query}", picture)
    return ms, json.loads(body)


def correlation(a, b):
    maps = [np.array(answer["heatmap"]["data"]).ravel() for answer in (a, b)]
    return float(np.corrcoef(*maps)[0, 1])


def png(image):
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def speed(model, python, args):
    rows = []
    with models_folder([model]) as folder:
        ours = Service(args.binary, folder, args.threads, name=f"scorecam-{model.id}")
        slow = Service(
            args.binary,
            folder,
            args.threads,
            name=f"scorecam-slow-{model.id}",
            settings={"CAMLENS_FAST_KERNELS": "false"},
        )
        dense = Service(
            args.binary,
            folder,
            args.threads,
            name=f"scorecam-dense-{model.id}",
            settings={"CAMLENS_SKIP_ZEROS": "false"},
        )
    try:
        for index, name in enumerate(args.pictures):
            path = PICTURES / name
            picture = path.read_bytes()
            plain = Worker(
                python,
                "plain_ort.py",
                model.folder,
                path,
                "--threads",
                args.threads,
                name=f"plain-{model.id}",
            )
            try:
                ask(ours, model.id, picture, max_channels=8)
                ask(slow, model.id, picture, max_channels=8)
                ask(dense, model.id, picture, max_channels=8)
                forward = statistics.median(plain.ask("forward") for _ in range(5))
                before = plain.ask("masked", count=SAMPLE)
                ms, answer = ask(ours, model.id, picture)
                after = plain.ask("masked", count=SAMPLE)
                slow_ms, some = ask(slow, model.id, picture, max_channels=SAMPLE)
                dense_ms, _ = ask(dense, model.id, picture, max_channels=SAMPLE)
                quick_ms, quick = ask(ours, model.id, picture, budget=32)
                peers = {}
                if index < args.peers and model.id == "vgg16":
                    yardstick = lambda: plain.ask("masked", count=SAMPLE)
                    peers = peer_ratios(model, path, python, args, yardstick, answer["passes"])
            finally:
                plain.stop()
            channels = answer["passes"]["masked"] + answer["passes"]["skipped"]
            loop = (before + after) / 2 / SAMPLE * channels
            written = slow_ms / some["passes"]["masked"] * answer["passes"]["masked"]
            winograd = dense_ms / some["passes"]["masked"] * channels
            told = quick["heatmap"]["estimate"]
            rows.append(
                {
                    "picture": name,
                    "channels": channels,
                    "live": answer["passes"]["masked"],
                    "forward_ms": forward,
                    "loop_ms": loop,
                    "ours_ms": ms,
                    "written_ms": written,
                    "winograd_ms": winograd,
                    "quick_ms": quick_ms,
                    "peers": peers,
                    "true": correlation(answer, quick),
                    "told": told["correlation"],
                    "at_least": told["at_least"],
                }
            )
            say(
                f"{model.id} {name}: {ms / 1e3:.1f} s, {ms / loop:.3f} of the plain loop; 32 passes {quick_ms / loop:.3f}"
            )
        memory = ours.memory_mib()
    finally:
        ours.stop()
        slow.stop()
        dense.stop()
    return {"rows": rows, "memory_mib": memory}


def peer_ratios(model, path, python, args, yardstick, passes):
    """What the libraries take for the picture, and as a multiple of the plain loop around them."""
    found, channels = {}, passes["masked"] + passes["skipped"]
    worker = Worker(
        python, "peers.py", model.folder, path, "--threads", args.threads, name="scorecam-peers"
    )
    try:
        for action in (action for action in worker.hello["actions"] if action.endswith("scorecam")):
            before = yardstick()
            ms = worker.ask(action)
            loop = (before + yardstick()) / 2 / SAMPLE * channels
            library = action.split()[0]
            found[library] = {"ms": ms, "ratio": ms / loop}
            say(f"{path.name}: {library} {ms / 1e3:.0f} s, {ms / loop:.2f} of the plain loop")
    finally:
        worker.stop()
    return found


def curve(model, args):
    """True correlations by number of passes; a cache answers what an earlier request has passed."""
    with models_folder([model]) as folder:
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
            with Image.open(path) as opened:
                whole = opened.convert("RGB")
            for crop, (left, top, right, bottom) in CROPS.items():
                if len(rows) == args.curve:
                    break
                width, height = whole.size
                picture = png(
                    whole.crop(
                        (
                            int(left * width),
                            int(top * height),
                            int(right * width),
                            int(bottom * height),
                        )
                    )
                )
                _, everything = ask(service, model.id, picture)
                row = {"picture": f"{path.name}, {crop}", "passes": everything["passes"]["masked"]}
                for budget in BUDGETS:
                    _, some = ask(service, model.id, picture, budget=budget)
                    _, strongest = ask(service, model.id, picture, max_channels=budget)
                    estimate = some["heatmap"].get(
                        "estimate", {"correlation": 1.0, "at_least": 1.0}
                    )
                    row[str(budget)] = {
                        "true": correlation(everything, some),
                        **estimate,
                        "strongest": correlation(everything, strongest),
                    }
                rows.append(row)
                say(
                    f"{row['picture']}: 32 passes {row['32']['true']:.3f}, the strongest 32 {row['32']['strongest']:.3f}"
                )
    finally:
        service.stop()
    return rows


def report(found):
    told = found["machine"]
    commands = dict.fromkeys(found[key] for key in ("command", "curve_command") if key in found)
    lines = [
        "# Score-CAM over natural pictures",
        "",
        f"{', '.join(f'`{command}`' for command in commands)} on {told['cpu']}, {told['cpus']} CPUs, {told['date']}, {found['threads']} threads. Made by bench/scorecam.py, which says",
        "what is measured; one round a picture, the plain loop's sample before and after ours.",
        "",
    ]
    for model, part in found["speed"].items():
        rows = part["rows"]
        lines += [
            f"## `{model}`",
            "",
            "| picture | live channels | plain loop | camlens | ratio | 32 passes | ratio | correlation: true, told (9 of 10) |",
            "|---|---:|---:|---:|---:|---:|---:|---|",
        ]
        for row in rows:
            lines.append(
                f"| {row['picture']} | {row['live']} of {row['channels']} | {row['loop_ms'] / 1e3:.1f} s | "
                f"{row['ours_ms'] / 1e3:.1f} s | **{row['ours_ms'] / row['loop_ms']:.3f}** | "
                f"{row['quick_ms'] / 1e3:.2f} s | "
                f"**{row['quick_ms'] / row['loop_ms']:.3f}** | {row['true']:.3f}, {row['told']:.3f} ({row['at_least']:.3f}) |"
            )
        lines += [
            "",
            "What each lever does alone, as a part of the plain loop:",
            "",
            "| picture | live channels only | Winograd only | both | and only where the masked image is not zero |",
            "|---|---:|---:|---:|---:|",
        ]
        for row in rows:
            both = row["winograd_ms"] * row["live"] / row["channels"]
            parts = [row["written_ms"], row["winograd_ms"], both, row["ours_ms"]]
            lines.append(
                f"| {row['picture']} | "
                + " | ".join(f"{part / row['loop_ms']:.3f}" for part in parts)
                + " |"
            )
        compared = [(row, *item) for row in rows for item in row["peers"].items()]
        if compared:
            lines += [
                "",
                "The libraries on the same picture, in the same run:",
                "",
                "| picture | library | time | of the plain loop | camlens is faster |",
                "|---|---|---:|---:|---:|",
            ]
        for row, library, peer in compared:
            lines.append(
                f"| {row['picture']} | {library} | {peer['ms'] / 1e3:.0f} s | {peer['ratio']:.2f} | "
                f"{peer['ratio'] / (row['ours_ms'] / row['loop_ms']):.1f} times |"
            )
        ratios = sorted(row["ours_ms"] / row["loop_ms"] for row in rows)
        quick = sorted(row["quick_ms"] / row["loop_ms"] for row in rows)
        lines += [
            "",
            f"Of the plain loop: median {statistics.median(ratios):.3f}, worst {ratios[-1]:.3f}; "
            f"from 32 passes {statistics.median(quick):.3f}, worst {quick[-1]:.3f}. "
            f"The service's resident memory afterwards: {part['memory_mib']['VmRSS']:.0f} MiB, "
            f"at most {part['memory_mib']['VmHWM']:.0f} MiB.",
            "",
        ]
    if found["curve"]:
        rows = found["curve"]
        lines += [
            f"## How far an estimate is off: efficientnet-lite0, {len(rows)} pictures and crops",
            "",
            "![Passes against correlation](scorecam.svg)",
            "",
            "Pearson's correlation with the map of all passes. `told` is what the answer says of itself; the last",
            "column is how often the truth was at least what is told to be exceeded nine times in ten.",
            "",
            "| passes | true: median, lowest | told: median | truth ≥ at_least | the N strongest channels: median, lowest |",
            "|---:|---|---|---|---|",
        ]
        for budget in map(str, BUDGETS):
            true = [row[budget]["true"] for row in rows]
            strongest = [row[budget]["strongest"] for row in rows]
            told = [row[budget]["correlation"] for row in rows]
            right = sum(row[budget]["true"] >= row[budget]["at_least"] for row in rows)
            lines.append(
                f"| {budget} | **{statistics.median(true):.3f}**, {min(true):.3f} | {statistics.median(told):.3f} | "
                f"{right} of {len(rows)} | {statistics.median(strongest):.3f}, {min(strongest):.3f} |"
            )
    return "\n".join(lines).rstrip() + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--python", default=sys.executable, help="a Python with onnxruntime")
    parser.add_argument(
        "--vgg16",
        type=pathlib.Path,
        help="folder of a full-size VGG16, of bench/imagenet_vgg16.py for one",
    )
    parser.add_argument("--pictures", type=lambda names: names.split(","), default=NATURAL)
    parser.add_argument("--curve", type=int, default=36, help="pictures of the error curve (36)")
    parser.add_argument(
        "--peers", type=int, default=0, metavar="N", help="run the libraries on N pictures, too (0)"
    )
    parser.add_argument(
        "--only",
        choices=["speed", "curve"],
        help="just this part; the other one stays as it was last measured",
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--binary", type=pathlib.Path, default=BINARY)
    args = parser.parse_args()
    models = [Model("vgg16-mri", ROOT / "models" / "vgg16-mri", None)]
    if args.vgg16:
        models.insert(0, Model("vgg16", args.vgg16.absolute(), None))
    command = " ".join(
        [
            "bench/scorecam.py",
            *(pathlib.Path(word).name if "/" in word else word for word in sys.argv[1:]),
        ]
    )
    OUT.mkdir(exist_ok=True)
    kept = OUT / "scorecam.json"
    found = (
        json.loads(kept.read_text(encoding="utf-8"))
        if args.only and kept.is_file()
        else {"speed": {}, "curve": []}
    )
    if args.only != "curve":
        found |= {"command": command, "machine": machine.describe(), "threads": args.threads}
        found["speed"] = {model.id: speed(model, args.python, args) for model in models}
    if args.only != "speed":
        lite0 = Model("efficientnet-lite0", ROOT / "models" / "efficientnet-lite0", None)
        found |= {"curve_command": command, "machine": machine.describe(), "threads": args.threads}
        found["curve"] = curve(lite0, args)
    kept.write_text(json.dumps(found, indent=1), encoding="utf-8")
    if found["curve"]:
        (ROOT / "docs" / "bench" / "scorecam.svg").write_text(
            chart.draw(found["curve"], BUDGETS), encoding="utf-8"
        )
    path = ROOT / "docs" / "bench" / "scorecam.md"
    path.write_text(report(found), encoding="utf-8")
    say(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        say(str(failure))
        sys.exit(1)
