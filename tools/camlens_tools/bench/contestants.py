"""The contestants of one model: the service, plain ONNX Runtime, other engines, the libraries."""

import json
import urllib.parse

from camlens_tools.bench import rounds
from camlens_tools.bench.common import Failure, ModelsFolder, Skipped, progress, say
from camlens_tools.bench.processes import Service, Worker

# The requests to camlens: path and options.
REQUESTS = {
    "camlens predict": ("/v1/predict", {}),
    "camlens gradcam": ("/v1/explain", {"method": "gradcam", "output": "json"}),
    "camlens gradcam++": ("/v1/explain", {"method": "gradcam++", "output": "json"}),
    "camlens gradcam++ overlay": ("/v1/explain", {"method": "gradcam++", "output": "overlay"}),
}
PLAIN = {"plain": [], "plain, no spinning": ["--no-spinning"]}
ENGINES = ["openvino", "ncnn"]


class Contestants:
    """One process for each contestant, started once, each waiting for its turn."""

    def __init__(self, model, python, args):
        self.model, self.notes, self.workers = model, [], []
        self.picture = model.picture.read_bytes()
        self.timings = {key: [] for key in REQUESTS}
        self.versions = {}
        say(f"{model.id}: starting the contestants")
        try:
            with ModelsFolder([model]) as folder:
                name = f"camlens-{model.id}"
                self.service = Service(args.binary, folder, args.threads, name=name)
        except FileNotFoundError as error:
            raise Failure(f"{error.filename}: no such file; `make build` makes it") from error
        try:
            self.start_workers(python, args)
        except BaseException:
            self.stop()
            raise

    def start_workers(self, python, args):
        common = [self.model.folder, self.model.picture, "--threads", args.threads]

        def start(script, *options, name):
            name = f"{name}-{self.model.id}"
            worker = Worker(python, script, *common, *options, name=name)
            self.workers.append(worker)
            return worker

        self.plain = {}
        for key, options in PLAIN.items():
            name = key.replace(", ", "-").replace(" ", "-")
            self.plain[key] = start("plain_ort", *options, name=name)
        hello = self.plain["plain"].hello
        self.versions["onnxruntime"] = hello["onnxruntime"]
        _, response = self.request("camlens predict")
        top = response["predictions"][0]["index"]
        if top != hello["top"]:
            self.notes.append(
                f"{self.model.id}: camlens predicts class {top}, plain ONNX Runtime {hello['top']}"
            )
        self.engines = {}
        for engine in ENGINES:
            try:
                self.engines[engine] = start("engines", "--engine", engine, name=engine)
                self.versions.update(self.engines[engine].hello["versions"])
            except Skipped as skipped:
                self.notes.append(f"{self.model.id}: {engine} skipped, {skipped}")
        self.peers = None
        try:
            self.peers = start("peers", name="peers")
            self.versions.update(self.peers.hello["versions"])
            for name in self.peers.hello["missing"]:
                self.notes.append(f"{self.model.id}: {name} skipped, not installed")
        except Skipped as skipped:
            self.notes.append(
                f"{self.model.id}: peers skipped, {skipped} (`--peers` installs them)"
            )

    def watch(self):
        return rounds.Watch([self.service.pid, *(worker.pid for worker in self.workers)])

    def request(self, key, **options):
        """Sends a request; returns its milliseconds, and the response if it is JSON."""
        path, defaults = REQUESTS.get(key, ("/v1/explain", {}))
        query = urllib.parse.urlencode({"model": self.model.id, **defaults, **options})
        ms, body = self.service.post(f"{path}?{query}", self.picture)
        response = json.loads(body) if body[:1] == b"{" else None
        if response and key in self.timings:
            steps = response["timing_ms"]
            self.timings[key].append(dict(steps, rest=ms - sum(steps.values())))
        return ms, response

    def one_pass(self, args):
        """Compares everything that costs about one pass."""
        contestants = [
            rounds.Contestant(key, worker.pid, lambda worker=worker: worker.ask("forward"))
            for key, worker in {**self.plain, **self.engines}.items()
        ]
        contestants += [
            rounds.Contestant(key, self.service.pid, lambda key=key: self.request(key)[0])
            for key in REQUESTS
        ]
        if self.peers:
            actions = self.peers.hello["actions"]
            contestants += [self.peer(action) for action in actions if "scorecam" not in action]
        say(f"{self.model.id}: {args.rounds} rounds of {len(contestants)} contestants")
        self.timings = {key: [] for key in REQUESTS}
        counted, disturbed = rounds.alternate(
            contestants, args.rounds, self.watch(), progress, attempts=args.patience
        )

        def median_ms(key):
            return rounds.spread(item["ms"][key] for item in counted)["median"]

        denominator = min(PLAIN, key=median_ms)
        return {
            "rounds": counted,
            "disturbed": disturbed,
            "denominator": denominator,
            "summary": rounds.summary(counted, denominator),
            "server_timing_ms": self.server_timing(),
        }

    def peer(self, action):
        key = "torch forward" if action == "forward" else action
        return rounds.Contestant(key, self.peers.pid, lambda: self.peers.ask(action))

    def server_timing(self):
        """Medians of the service's own timings of its steps, and of the rest of the request."""
        return {
            key: {
                step: rounds.spread(timing.get(step, 0.0) for timing in timings)["median"]
                for step in timings[0]
            }
            for key, timings in self.timings.items()
            if timings
        }

    def score_cam(self, args, plain):
        """Compares Score-CAM with plain passes of its live channels, and with the library's.

        The plain passes are batches of 8, as many as camlens runs; the library passes all channels.
        """
        options = {"max_channels": args.max_channels} if args.max_channels else {}
        options.update(method="scorecam", output="json")
        say(f"{self.model.id}: Score-CAM, rounds: {args.score_rounds}")
        _, first = self.request("scorecam", **dict(options, max_channels=8))
        channels = first["passes"]["masked"] + first["passes"]["skipped"]
        passes = {}

        def ours():
            ms, response = self.request("scorecam", **options)
            passes.update(response["passes"])
            return ms

        def plain_batches():
            return self.plain[plain].ask("masked", count=passes["masked"])

        ours()  # allocates the batch's memory, and counts the live channels
        denominator = "plain, batches of 8"
        contestants = [
            rounds.Contestant("camlens scorecam", self.service.pid, ours),
            rounds.Contestant(denominator, self.plain[plain].pid, plain_batches),
        ]
        counted, disturbed = rounds.alternate(
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
            "rounds": counted,
            "disturbed": disturbed,
            "denominator": denominator,
            "summary": rounds.summary(counted, denominator),
        }
        action = "pytorch-grad-cam scorecam"
        if self.peers and action in self.peers.hello["actions"] and not args.max_channels:
            # It takes many minutes, so it runs once, with plain batches just before and after.
            before = plain_batches()
            theirs = self.peers.ask(action)
            after = plain_batches()
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
