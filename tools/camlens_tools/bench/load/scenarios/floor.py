"""The floor: 512 MiB for both models, with Score-CAM on both."""

import http.client
import itertools
import time
from collections import Counter

from camlens_tools.bench.common import Failure
from camlens_tools.bench.load import inputs
from camlens_tools.bench.load.memory_group import MemoryGroup
from camlens_tools.bench.load.report import Promise, Section
from camlens_tools.bench.load.traffic import closed_loop, post
from camlens_tools.bench.load.watch import status
from camlens_tools.paths import PICTURES

LIMIT_MIB = 512
CLIENTS = 4
# Until every kind of request has been answered so often.
ROUNDS = 3
LIMIT_S = 600
READY_S = 120
MODELS = (("efficientnet-lite0", inputs.PHOTO), ("vgg16-mri", PICTURES / "phantom.png"))
METHODS = ("gradcam", "gradcam%2B%2B", "scorecam")
KINDS = len(MODELS) * len(METHODS)


def requests():
    """Every method on every model, in turn, for ever."""
    kinds = []
    for model, picture in MODELS:
        for method in METHODS:
            path = f"/v1/explain?model={model}&method={method}"
            content_type = "image/png" if picture.suffix == ".png" else "image/jpeg"
            label = f"{model}, {method.replace('%2B', '+')}"
            kinds.append((label, post(path, picture.read_bytes(), content_type)))
    return itertools.cycle(kinds)


def wait_for_models(server):
    """Requests for a model that still loads would be refused, which is not what is asked here."""
    connection = http.client.HTTPConnection(*server.address, timeout=10)
    deadline = time.monotonic() + READY_S
    for model, _ in MODELS:
        while True:
            connection.request("GET", f"/v2/models/{model}/ready")
            response = connection.getresponse()
            response.read()
            if response.status == 200:
                break
            if time.monotonic() > deadline:
                raise Failure(f"{model} was not ready after {READY_S} s")
            time.sleep(0.1)


def measure(context):
    with MemoryGroup(LIMIT_MIB) as group:
        server = context.camlens(prepare=group.enter)
        try:
            wait_for_models(server)
            answered = Counter()
            rounds = max(1, round(ROUNDS * context.scale))
            run = closed_loop(
                server.address,
                requests(),
                CLIENTS,
                LIMIT_S,
                patience_s=LIMIT_S,
                on_response=lambda response: answered.update([response.label]),
                is_over=lambda: len(answered) == KINDS and min(answered.values()) >= rounds,
            )
            is_alive = server.process.poll() is None
            memory = status(server.pid) if is_alive else None
            budget = server.metrics().get("camlens_request_memory_budget_bytes") if is_alive else 0
            group_peak = group.peak_mib()
            is_limited = group.is_limited
        finally:
            server.stop()
    rows = []
    for label in dict(itertools.islice(requests(), KINDS)):
        of_label = [response for response in run.responses if response.label == label]
        answered = [response.ms for response in of_label if response.status == 200]
        slowest = f"{max(answered):.0f}" if answered else "–"
        rows.append([label, len(of_label), len(answered), slowest])
    all_answered = all(row[1] == row[2] > 0 for row in rows)
    limit = (
        f"A control group limits the service to {LIMIT_MIB} MiB; its peak, with the file cache, "
        f"is {group_peak:.0f} MiB."
        if is_limited and group_peak
        else f"This machine allows no control group, so nothing limits the service to {LIMIT_MIB} "
        "MiB: its own peak decides."
    )
    peak = f"peak RSS {memory['VmHWM']:.0f} MiB" if memory else "killed"
    fits = is_alive and (is_limited or memory["VmHWM"] <= LIMIT_MIB)
    return Section(
        f"The floor: {LIMIT_MIB} MiB",
        [
            f"{CLIENTS} clients ask both models by turns. {limit} The budget of requests, which "
            f"camlens has chosen, is {(budget or 0) / 2**20:.0f} MiB.",
        ],
        ["model and method", "requests", "answered", "slowest, ms"],
        1,
        rows,
        [
            Promise(
                f"{LIMIT_MIB} MiB serve both models, Score-CAM included, at {CLIENTS} clients",
                f"{run.statuses()}; {peak}",
                all_answered and fits,
            ),
        ],
    )
