"""Measures `camlens batch` beside a loop over bare passes of the same program, and its memory.

    python3 tools bench.batch BINARY BARE_PASSES [--images N] [--rounds N] [--model ID …]
                              [--memory N]

BARE_PASSES is examples/bare_passes.rs, built. The images are JPEG files of 500 pixels, cut out of
the demo pictures, each another part. Each round runs the loops and the batch once, in turns. With
--memory a further run over N images reports the resident memory on its way.

Exit codes: 0 measured, 1 something failed.
"""

import argparse
import io
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time

from camlens_tools.bench import environment, machine
from camlens_tools.bench.common import Failure, say
from camlens_tools.paths import MODELS, PICTURES, ROOT

SIDE = 500
DISTINCT = 500
BARE_S = 8


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("binary", metavar="BINARY")
    parser.add_argument("bare", metavar="BARE_PASSES", help="examples/bare_passes.rs, built")
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", action="append")
    parser.add_argument("--memory", type=int, default=0, metavar="N")
    return parser.parse_args()


def make_images(folder, count):
    """Writes JPEG files. Beyond the first ones they are links to these under other names."""
    from PIL import Image

    chance = random.Random(1)
    sources = [Image.open(path).convert("RGB") for path in sorted(PICTURES.glob("*.png"))]
    sources = [source for source in sources if min(source.size) >= 300]
    for number in range(count):
        path = folder / f"{number:06}.jpg"
        if number >= DISTINCT:
            os.link(folder / f"{number % DISTINCT:06}.jpg", path)
            continue
        source = chance.choice(sources)
        side = chance.randrange(250, min(source.size))
        left = chance.randrange(source.width - side + 1)
        top = chance.randrange(source.height - side + 1)
        part = source.resize((SIDE, SIDE), box=(left, top, left + side, top + side))
        encoded = io.BytesIO()
        part.save(encoded, "JPEG", quality=90)
        path.write_bytes(encoded.getvalue())


def run_batch(args, model, images, watch=None):
    """Images per second, as the command says after its model is loaded."""
    with tempfile.TemporaryDirectory(prefix="camlens-batch-") as out:
        command = [args.binary, "batch", images, "-o", out + "/maps", "--model", MODELS / model]
        process = subprocess.Popen(
            command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        while watch and process.poll() is None:
            watch(process.pid)
            time.sleep(1)
        _, told = process.communicate()
    found = re.search(r"in this run, ([\d.]+) images/s", told)
    if process.returncode != 0 or not found:
        raise Failure(f"camlens batch ended with {process.returncode}: {told[-500:]}")
    return float(found[1])


def run_bare(args, model, loops):
    command = [args.bare, MODELS / model, str(BARE_S), str(loops)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise Failure(f"bare_passes: {run.stderr.strip()[-500:]}")
    return float(run.stdout)


def resident_mib(pid):
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"VmRSS:\s+(\d+)", status)
    return int(found[1]) / 1024 if found else None


def measure(args, model, images):
    loops = {"one loop": 1, "loops side by side": os.cpu_count() + 1}
    rounds = []
    for number in range(args.rounds):
        found = {name: run_bare(args, model, count) for name, count in loops.items()}
        found["batch"] = run_batch(args, model, images)
        rounds.append(found)
        say(
            f"{model}, round {number + 1}: " + ", ".join(f"{k} {v:.1f}/s" for k, v in found.items())
        )
    names = rounds[0]
    per_s = {name: statistics.median(one[name] for one in rounds) for name in names}
    for name in loops:
        ratio = statistics.median(one["batch"] / one[name] for one in rounds)
        print(
            f"| {model} | {name} | {per_s[name]:.1f} | {per_s['batch']:.1f} | {ratio:.2f} |",
            flush=True,
        )


def measure_memory(args, model, images):
    seen = []

    def watch(pid):
        mib = resident_mib(pid)
        if mib:
            seen.append(mib)

    per_s = run_batch(args, model, images, watch)
    tenth = max(len(seen) // 10, 1)
    parts = [statistics.median(seen[at : at + tenth]) for at in range(0, len(seen), tenth)]
    print(
        f"memory of {model} over {args.memory} images ({per_s:.1f}/s), MiB, each tenth of the run: "
        + ", ".join(f"{part:.0f}" for part in parts[:10]),
        flush=True,
    )


def main():
    args = parse_arguments()
    python = environment.interpreter(os.environ.get("BENCH_PYTHON"), False)
    environment.continue_in(python, "bench.batch")
    models = args.model or ["efficientnet-lite0", "vgg16-mri"]
    found = machine.describe()
    print(f"{found['cpu']}, {found['cpus']} CPUs, {found['date']}\n", flush=True)
    print(
        "| model | bare passes | passes/s | images/s of batch | ratio |\n|---|---|---:|---:|---:|"
    )
    try:
        with tempfile.TemporaryDirectory(prefix="camlens-images-") as folder:
            images = pathlib.Path(folder)
            make_images(images, args.images)
            for model in models:
                measure(args, model, images)
        if args.memory:
            with tempfile.TemporaryDirectory(prefix="camlens-images-") as folder:
                make_images(pathlib.Path(folder), args.memory)
                measure_memory(args, models[0], folder)
    except Failure as failure:
        print(f"bench.batch: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
