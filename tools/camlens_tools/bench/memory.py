"""Measures the memory of the service with one model, and of one plain ONNX Runtime session."""

import json
import sys

from camlens_tools.bench.common import ModelsFolder, run_module, say
from camlens_tools.bench.processes import Service
from camlens_tools.paths import RUNTIME_LIBRARY


def measure(model, args):
    """Medians of three processes each.

    The same process takes a different amount each time, depending on which thread allocates first.
    """
    say(f"{model.id}: memory")
    plain = [plain_session(model, args) for _ in range(1 if args.quick else 3)]
    ours = [service(model, args) for _ in plain]

    def median(processes):
        return sorted(processes, key=lambda one: one["single"]["VmRSS"])[len(processes) // 2]

    return {
        "file_mib": (model.folder / "model.onnx").stat().st_size / 2**20,
        "camlens": median(ours),
        "plain": median(plain),
        "all": {"camlens": ours, "plain": plain},
    }


def plain_session(model, args):
    manifest = (model.folder / "model.toml").read_text(encoding="utf-8")
    size = next(line for line in manifest.splitlines() if line.startswith("size"))
    height, width = json.loads(size.split("=")[1])
    shape = [1, 3, height, width] if 'layout = "nchw"' in manifest else [1, height, width, 3]
    output = run_module(
        "bench.workers.plain_memory",
        RUNTIME_LIBRARY,
        model.folder / "model.onnx",
        ",".join(map(str, shape)),
        "--threads",
        args.threads,
        python=sys.executable,
    )
    return json.loads(output)


def service(model, args):
    picture = model.picture.read_bytes()
    with ModelsFolder([model]) as folder:
        camlens = Service(args.binary, folder, args.threads, name=f"memory-{model.id}")
    try:
        path = f"/v1/explain?model={model.id}&output=json&method="
        for _ in range(5):
            camlens.post(path + "gradcam%2B%2B", picture)
        single = camlens.memory_mib()
        camlens.post(path + "scorecam&max_channels=8", picture)
        return {"single": single, "batch": camlens.memory_mib(), "ready_s": camlens.ready_s}
    finally:
        camlens.stop()
