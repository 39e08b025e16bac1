#!/usr/bin/env python3
"""Measures camlens beside a plain ONNX Runtime forward pass and beside its peers, in one run.

    bench.py                 plain ONNX Runtime only
    bench.py --peers         installs torch, pytorch-grad-cam and torch-cam for itself, and asks them too
    bench.py --python PATH   uses a Python that has what is needed (or BENCH_PYTHON)
    bench.py --quick         a smoke run: few rounds, the report under bench/out

Writes docs/bench/results.md, docs/bench/results.svg and bench/out/raw.json. bench/README.md says
what is compared with what, and why.

Exit codes: 0 done, 1 something failed, 2 the command line is wrong, 130 interrupted.
"""

import argparse
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import urllib.parse
from collections import namedtuple

from camlens_tools.bench import comparison_report as report
from camlens_tools.bench import environment, machine, rounds
from camlens_tools.bench.processes import HERE, ROOT, Failure, Service, Skipped, Worker

OUT = HERE / "out"
PICTURES = ROOT / "downloads" / "images"
BINARY = ROOT / "target" / "release" / "camlens"

Model = namedtuple("Model", "id folder picture")

# Of our answers: what is asked, and with which options.
OURS = {
    "camlens predict": ("/v1/predict", {}),
    "camlens gradcam": ("/v1/explain", {"method": "gradcam", "output": "json"}),
    "camlens gradcam++": ("/v1/explain", {"method": "gradcam++", "output": "json"}),
    "camlens gradcam++ overlay": ("/v1/explain", {"method": "gradcam++", "output": "overlay"}),
}
PLAIN = {"plain": [], "plain, no spinning": ["--no-spinning"]}
ENGINES = ["openvino", "ncnn"]


def say(line):
    print("bench: " + line, flush=True)


def progress(line):
    if sys.stderr.isatty():
        print(f"\r\033[K  {line}", end="", file=sys.stderr, flush=True)


class Bench:
    """One model's contestants, all started, each waiting for its turn."""

    def __init__(self, model, python, args):
        self.model, self.notes, self.workers = model, [], []
        self.picture = model.picture.read_bytes()
        self.timings = {key: [] for key in OURS}
        self.versions = {}
        say(f"{model.id}: starting the contestants")
        try:
            with models_folder([model]) as folder:
                self.service = Service(
                    args.binary, folder, args.threads, name=f"camlens-{model.id}"
                )
        except FileNotFoundError as error:
            raise Failure(f"{error.filename}: no such file; `make build` makes it") from error
        try:
            self.start_workers(python, args)
        except BaseException:
            self.stop()
            raise

    def start_workers(self, python, args):
        common = [self.model.folder, self.model.picture, "--threads", args.threads]
        self.plain = {}
        for key, options in PLAIN.items():
            self.plain[key] = self.started(
                Worker(
                    python,
                    "plain_ort.py",
                    *common,
                    *options,
                    name=f"{key.replace(', ', '-').replace(' ', '-')}-{self.model.id}",
                )
            )
        hello = self.plain["plain"].hello
        self.versions["onnxruntime"] = hello["onnxruntime"]
        _, answer = self.ask("camlens predict")
        if answer["predictions"][0]["index"] != hello["top"]:
            self.notes.append(
                f"{self.model.id}: camlens predicts class {answer['predictions'][0]['index']}, "
                f"plain ONNX Runtime {hello['top']}"
            )
        self.engines = {}
        for engine in ENGINES:
            try:
                worker = self.started(
                    Worker(
                        python,
                        "engines.py",
                        *common,
                        "--engine",
                        engine,
                        name=f"{engine}-{self.model.id}",
                    )
                )
                self.engines[engine] = worker
                self.versions.update(worker.hello["versions"])
            except Skipped as skipped:
                self.notes.append(f"{self.model.id}: {engine} skipped, {skipped}")
        self.peers = None
        try:
            self.peers = self.started(
                Worker(python, "peers.py", *common, name=f"peers-{self.model.id}")
            )
            self.versions.update(self.peers.hello["versions"])
            self.notes += [
                f"{self.model.id}: {name} skipped, not installed"
                for name in self.peers.hello["missing"]
            ]
        except Skipped as skipped:
            self.notes.append(
                f"{self.model.id}: peers skipped, {skipped} (`--peers` installs them)"
            )

    def started(self, worker):
        self.workers.append(worker)
        return worker

    def watch(self):
        return rounds.Watch([self.service.pid, *(worker.pid for worker in self.workers)])

    def ask(self, key, **options):
        path, told = OURS.get(key, ("/v1/explain", {}))
        query = urllib.parse.urlencode({"model": self.model.id, **told, **options})
        ms, body = self.service.post(f"{path}?{query}", self.picture)
        answer = json.loads(body) if body[:1] == b"{" else None
        if answer and key in self.timings:
            steps = answer["timing_ms"]
            self.timings[key].append(dict(steps, rest=ms - sum(steps.values())))
        return ms, answer

    def fast(self, args):
        """Everything that costs about one pass."""
        contestants = [
            rounds.Contestant(key, worker.pid, lambda worker=worker: worker.ask("forward"))
            for key, worker in self.plain.items()
        ]
        contestants += [
            rounds.Contestant(key, worker.pid, lambda worker=worker: worker.ask("forward"))
            for key, worker in self.engines.items()
        ]
        contestants += [
            rounds.Contestant(key, self.service.pid, lambda key=key: self.ask(key)[0])
            for key in OURS
        ]
        if self.peers:
            contestants += [
                self.peer(action)
                for action in self.peers.hello["actions"]
                if "scorecam" not in action
            ]
        say(f"{self.model.id}: {args.rounds} rounds of {len(contestants)} contestants")
        self.timings = {key: [] for key in OURS}
        taken, disturbed = rounds.alternate(
            contestants, args.rounds, self.watch(), progress, attempts=args.patience
        )
        plain = min(
            PLAIN, key=lambda key: rounds.spread(item["ms"][key] for item in taken)["median"]
        )
        return {
            "rounds": taken,
            "disturbed": disturbed,
            "denominator": plain,
            "summary": rounds.summary(taken, plain),
            "server_timing_ms": self.server_timing(),
        }

    def peer(self, action):
        key = "torch forward" if action == "forward" else action
        return rounds.Contestant(key, self.peers.pid, lambda: self.peers.ask(action))

    def server_timing(self):
        """Medians of what the service says of its own steps, and of the rest of the request."""
        return {
            key: {
                step: rounds.spread(timing.get(step, 0.0) for timing in timings)["median"]
                for step in timings[0]
            }
            for key, timings in self.timings.items()
            if timings
        }

    def score_cam(self, args, plain):
        """Ours against batches of 8 of as many channels as ours passes, and against the peer's 512."""
        options = {"max_channels": args.max_channels} if args.max_channels else {}
        options.update(method="scorecam", output="json")
        say(f"{self.model.id}: Score-CAM, rounds: {args.score_rounds}")
        _, first = self.ask("scorecam", **dict(options, max_channels=8))
        channels = first["passes"]["masked"] + first["passes"]["skipped"]
        passes = {}

        def ours():
            ms, answer = self.ask("scorecam", **options)
            passes.update(answer["passes"])
            return ms

        ours()  # warms the batch's memory up, and says how many channels are alive
        contestants = [
            rounds.Contestant("camlens scorecam", self.service.pid, ours),
            rounds.Contestant(
                "plain, batches of 8",
                self.plain[plain].pid,
                lambda: self.plain[plain].ask("masked", count=passes["masked"]),
            ),
        ]
        taken, disturbed = rounds.alternate(
            contestants,
            args.score_rounds,
            self.watch(),
            progress,
            warm=False,
            attempts=args.patience,
        )
        found = {
            "passes": passes,
            "channels": channels,
            "rounds": taken,
            "disturbed": disturbed,
            "denominator": "plain, batches of 8",
        }
        found["summary"] = rounds.summary(taken, found["denominator"])
        action = "pytorch-grad-cam scorecam"
        if self.peers and action in self.peers.hello["actions"] and not args.max_channels:
            # Many minutes; once, with a yardstick of its own just before and just after.
            before = self.plain[plain].ask("masked", count=passes["masked"])
            theirs = self.peers.ask(action)
            after = self.plain[plain].ask("masked", count=passes["masked"])
            found["peer"] = {
                "ms": theirs,
                "plain_ms": (before + after) / 2,
                "ratio": 2 * theirs / (before + after),
            }
        return found

    def stop(self):
        self.service.stop()
        for worker in self.workers:
            worker.stop()


class models_folder:
    """A temporary models folder of links, so that the service loads these models and no others."""

    def __init__(self, models):
        self.models = models

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="camlens-bench-")
        for model in self.models:
            os.symlink(model.folder.resolve(), pathlib.Path(self.folder.name) / model.id)
        return self.folder.name

    def __exit__(self, *_):
        self.folder.cleanup()


def memory(model, args):
    """The service with this model alone, and a process with one plain session of it: the middle one of three each.

    The same process twice does not take the same: it depends on which thread asked malloc first.
    """
    say(f"{model.id}: memory")
    plain = [plain_memory(model, args) for _ in range(1 if args.quick else 3)]
    ours = [our_memory(model, args) for _ in plain]

    def middle(taken):
        return sorted(taken, key=lambda one: one["single"]["VmRSS"])[len(taken) // 2]

    return {
        "file_mib": (model.folder / "model.onnx").stat().st_size / 2**20,
        "camlens": middle(ours),
        "plain": middle(plain),
        "all": {"camlens": ours, "plain": plain},
    }


def plain_memory(model, args):
    manifest = (model.folder / "model.toml").read_text(encoding="utf-8")
    height, width = json.loads(
        next(line.split("=")[1] for line in manifest.splitlines() if line.startswith("size"))
    )
    sides = [1, 3, height, width] if 'layout = "nchw"' in manifest else [1, height, width, 3]
    command = [
        sys.executable,
        str(HERE / "workers" / "plain_memory.py"),
        str(ROOT / "runtime" / "libonnxruntime.so"),
        str(model.folder / "model.onnx"),
        ",".join(map(str, sides)),
        "--threads",
        str(args.threads),
    ]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    if run.returncode != 0:
        raise Failure(
            f"plain_memory.py, {model.id}: {(run.stderr.strip().splitlines() or [run.returncode])[-1]}"
        )
    return json.loads(run.stdout)


def our_memory(model, args):
    picture = model.picture.read_bytes()
    with models_folder([model]) as folder:
        service = Service(args.binary, folder, args.threads, name=f"memory-{model.id}")
    try:
        path = f"/v1/explain?model={model.id}&output=json&method="
        for _ in range(5):
            service.post(path + "gradcam%2B%2B", picture)
        single = service.memory_mib()
        service.post(path + "scorecam&max_channels=8", picture)
        return {"single": single, "batch": service.memory_mib(), "ready_s": service.ready_s}
    finally:
        service.stop()


def full_size_vgg16(args, python):
    """The folder of the 553 MB model: named, in models/, or made here with random weights."""
    if args.vgg16:
        if not (args.vgg16 / "model.onnx").is_file():
            raise Failure(f"{args.vgg16} has no model.onnx")
        return args.vgg16.absolute()
    made = OUT / "vgg16"
    for folder in (ROOT / "models" / "vgg16", made):
        if (folder / "model.onnx").is_file() and (folder / "model.toml").is_file():
            return folder
    if not environment.has(python, "torchvision, onnx"):
        raise Skipped(
            "it is not there, and torchvision, which makes it, is not installed (`--peers` installs it)"
        )
    say("making the full-size VGG16 with random weights, 553 MB")
    run = subprocess.run(
        [
            str(python),
            str(ROOT / "scripts" / "export_vgg16.py"),
            "--framework",
            "torchvision",
            "--weights",
            "none",
            "--out",
            str(made),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    if run.returncode != 0:
        raise Skipped(
            f"export_vgg16.py: {(run.stderr.strip().splitlines() or [run.returncode])[-1]}"
        )
    return made


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], epilog="Everything is said in bench/README.md."
    )
    parser.add_argument("--peers", action="store_true", help="install the peers into .venv-bench")
    parser.add_argument(
        "--python", default=os.environ.get("BENCH_PYTHON"), help="use this Python, install nothing"
    )
    parser.add_argument(
        "--vgg16",
        type=pathlib.Path,
        default=os.environ.get("BENCH_VGG16"),
        metavar="DIR",
        help="folder of the full-size VGG16 (or BENCH_VGG16)",
    )
    parser.add_argument(
        "--binary", type=pathlib.Path, default=BINARY, help="the camlens to measure"
    )
    parser.add_argument("--rounds", type=int, help="rounds that count (21; --quick: 3)")
    parser.add_argument(
        "--score-rounds", type=int, help="rounds of Score-CAM (3; --quick: 1; 0: none)"
    )
    parser.add_argument(
        "--patience", type=int, default=2, help="times the rounds, at most, to find quiet ones (2)"
    )
    parser.add_argument("--max-channels", type=int, help="Score-CAM's channels (all; --quick: 16)")
    parser.add_argument("--full", action="store_true", help="Score-CAM on the full-size VGG16, too")
    parser.add_argument(
        "--threads", type=int, default=len(os.sched_getaffinity(0)), help="for every contestant"
    )
    parser.add_argument(
        "--only", choices=["speed", "memory"], help="just this part; the report goes to bench/out"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a smoke run; the report goes to bench/out"
    )
    args = parser.parse_args()
    quick = args.quick
    for name, usual, short in (
        ("rounds", 21, 3),
        ("score_rounds", 3, 1),
        ("max_channels", None, 16),
    ):
        if getattr(args, name) is None:
            setattr(args, name, short if quick else usual)
    if (
        args.rounds < 1
        or args.score_rounds < 0
        or args.threads < 1
        or args.patience < 1
        or (args.max_channels or 1) < 1
    ):
        parser.error("rounds, patience, threads and channels are counted from 1")
    return args


def main():
    args = parse()
    if not args.binary.is_file():
        raise Failure(f"{args.binary} is missing: `make build` makes it")
    python = environment.interpreter(args.python, args.peers)
    lite0 = Model(
        "efficientnet-lite0", ROOT / "models" / "efficientnet-lite0", PICTURES / "chelsea.png"
    )
    mri = Model("vgg16-mri", ROOT / "models" / "vgg16-mri", PICTURES / "phantom.png")
    found = {
        "machine": machine.describe(),
        "threads": args.threads,
        "load_at_start": os.getloadavg(),
        "command": "bench/bench.py " + shlex.join(public(sys.argv[1:])),
        "notes": [],
        "versions": {},
        "all_channels": not args.max_channels,
        "speed": {},
        "score_cam": {},
        "memory": {},
    }
    found["versions"]["camlens"] = machine.camlens_version(args.binary, ROOT)
    models = [mri]
    try:
        models.append(Model("vgg16", full_size_vgg16(args, python), PICTURES / "chelsea.png"))
        if "--weights none" in (models[1].folder / "model.toml").read_text(encoding="utf-8"):
            found["notes"].append(
                "the full-size VGG16 has random weights, which cost the same time"
            )
    except Skipped as skipped:
        found["notes"].append(f"the full-size VGG16 is skipped: {skipped}")

    for model in models if args.only != "memory" else []:
        bench = Bench(model, python, args)
        try:
            fast = found["speed"][model.id] = bench.fast(args)
            if args.score_rounds and (model is mri or args.full):
                found["score_cam"][model.id] = bench.score_cam(args, fast["denominator"])
        finally:
            bench.stop()
        found["notes"] += bench.notes
        found["versions"].update(bench.versions)
    for model in [mri, lite0, *models[1:]] if args.only != "speed" else []:
        found["memory"][model.id] = memory(model, args)

    found["load_at_end"] = os.getloadavg()
    OUT.mkdir(exist_ok=True)
    (OUT / "raw.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    for note in dict.fromkeys(found["notes"]):
        say(note)
    folder = OUT if args.quick or args.only else ROOT / "docs" / "bench"
    for path in report.write(found, folder):
        say(f"wrote {path.relative_to(ROOT)}")


def public(arguments):
    """The command line without this machine's paths: the report is for other people."""
    return [pathlib.Path(argument).name if "/" in argument else argument for argument in arguments]


if __name__ == "__main__":
    try:
        main()
    except (Failure, Skipped) as failure:
        print(f"bench: {failure}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        sys.exit(130)
