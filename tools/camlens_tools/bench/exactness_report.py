"""Writes docs/exactness.md from the figures of bench.exactness."""

from camlens_tools.paths import BENCH_OUT, DOCS

# Rows of the list of the worst maps.
WORST = 40

INTRODUCTION = """\
How far camlens's maps are from 64-bit arithmetic, and what that costs.

The model is `vgg16-mri`. Three pictures (a photograph, a fundus photograph with a black background,
a photograph within a white border) × 4 layers × 2 classes × Grad-CAM, Grad-CAM++, LayerCAM and
HiResCAM, and Grad-CAM and Grad-CAM++ by `convention=article` at the article's layer: {total} maps.
The reference is the ONNX file in torch with every number in 64 bits, differentiated by autograd
(`tools/camlens_tools/reference`). Maps are divided by their maximum; a map's error is the largest
difference at any position. Where values in a pooling window are equal in exact arithmetic, the
first takes the gradient, as in ONNX Runtime and PyTorch.

No arithmetic of 32 bits can be below 1e-4 everywhere: a rounding error changes which ReLUs are open
and which value of a pooling window is the largest, and such a change moves a whole gradient. The
row of `fast_kernels = false` shows ONNX Runtime's own convolutions.
"""

REMAINING = """\
Which maps these are depends on single values that lie within rounding of 0 or of their neighbours.
Computing the nearly equal values of a pooling window again in 64 bits settles those choices for the
window's own input; errors that the input carries from earlier layers remain, and decide the rest.
Two levels of sums, exact transform points and 64-bit choices were kept. Sums added pairwise cost
5 % and changed nothing. ReLU gates are not computed again: of three wrong gates, one could have
been decided.
"""


def layers_of(found):
    rows = next(iter(found["differences"].values()))
    return list(dict.fromkeys(request.layer for request, *_ in rows))


def off(rows, limit, **wanted):
    """How many maps exceed the limit, of those whose request has the wanted fields."""
    return sum(
        difference > limit
        for request, difference, _ in rows
        if all(getattr(request, field) == value for field, value in wanted.items())
    )


def times(found, contestant, layer):
    """Medians of the request, and of the passes and the map alone, as multiples of a plain pass."""
    if layer not in found["times"]:
        return ""
    entry = found["times"][layer]["summary"][contestant]
    inside = entry.get("inside_ratio")
    return f"{entry['ratio']['median']:.2f}" + (f" ({inside['median']:.2f})" if inside else "")


def main_table(found):
    layers, limit = layers_of(found), found["limit"]
    total = len(next(iter(found["differences"].values())))
    columns = [f"maps off by more than {limit:.0e}, of {total}", "largest error"]
    columns += [f"time at {layer}" for layer in layers]
    yield "| | " + " | ".join(columns) + " |"
    yield "|---" + "|---:" * len(columns) + "|"
    for contestant, rows in found["differences"].items():
        cells = [f"**{off(rows, limit)}**", f"{max(row[1] for row in rows):.1e}"]
        cells += [times(found, contestant, layer) for layer in layers]
        yield f"| {contestant} | " + " | ".join(cells) + " |"


def layer_table(found):
    layers, limit = layers_of(found), found["limit"]
    yield "| maps off, at | " + " | ".join(layers) + " |"
    yield "|---" + "|---:" * len(layers) + "|"
    for contestant, rows in found["differences"].items():
        cells = [str(off(rows, limit, layer=layer)) for layer in layers]
        yield f"| {contestant} | " + " | ".join(cells) + " |"


def worst_table(found):
    """The maps in which any contestant exceeds the limit, the worst of the first one first."""
    contestants = list(found["differences"])
    by_request = {}
    for contestant, rows in found["differences"].items():
        for request, difference, positions in rows:
            by_request.setdefault(request, {})[contestant] = (difference, positions)
    exceeding = [
        (request, cells)
        for request, cells in by_request.items()
        if max(difference for difference, _ in cells.values()) > found["limit"]
    ]
    exceeding.sort(key=lambda pair: -pair[1][contestants[0]][0])
    yield "| map | " + " | ".join(contestants) + " |"
    yield "|---" + "|---:" * len(contestants) + "|"
    for request, cells in exceeding[:WORST]:
        name = f"{request.picture}, {request.layer}, class {request.target}, {request.method}"
        if request.convention != "paper":
            name += f", {request.convention}"
        texts = [f"{cells[c][0]:.1e} ({cells[c][1]})" for c in contestants]
        yield f"| {name} | " + " | ".join(texts) + " |"
    if len(exceeding) > WORST:
        yield ""
        yield f"{len(exceeding) - WORST} more maps exceed it, with smaller errors."


def twice_as_far(found, contestant, other):
    """The maps in which one contestant exceeds the limit and twice the other's error."""
    others = {request: difference for request, difference, _ in found["differences"][other]}
    return [
        f"{request.picture}, {request.layer}, class {request.target}, {request.method}"
        for request, difference, _ in found["differences"][contestant]
        if difference > max(found["limit"], 2 * others[request])
    ]


def pair_lines(found):
    """camlens's kernels and ONNX Runtime's own convolutions, map by map."""
    contestants = list(found["differences"])
    kernels = next(name for name in contestants if "fast_kernels" not in name)
    plain = next(name for name in contestants if "fast_kernels" in name)
    worse, better = twice_as_far(found, kernels, plain), twice_as_far(found, plain, kernels)
    yield (
        f"With the kernels, {len(worse)} maps are above the limit and off by more than twice as "
        f"much as with `fast_kernels = false`; the reverse is true of {len(better)} maps."
    )
    if worse:
        yield ""
        yield "The former are: " + "; ".join(worse) + "."
    yield from ("", *REMAINING.splitlines(), "")


def page(found):
    machine = found["machine"]
    total = len(next(iter(found["differences"].values())))
    binaries = ", ".join(
        f"{chr(ord('A') + index)} is {version}" if len(found["binaries"]) > 1 else version
        for index, version in enumerate(found["binaries"])
    )
    lines = ["# Exactness", "", *INTRODUCTION.format(total=total).splitlines(), ""]
    lines += [
        f"`{found['command']}` on {machine['cpu']}, {machine['cpus']} CPUs, {machine['date']}, "
        f"{found['threads']} threads. camlens: {binaries}.",
        "",
        *main_table(found),
        "",
    ]
    if found["times"]:
        disturbed = sum(entry["disturbed"] for entry in found["times"].values())
        lines += [
            f"Times are those of a Grad-CAM++ at that layer, as a multiple of plain ONNX Runtime's "
            f"forward pass in the same round, medians of {found['rounds']} rounds in alternating "
            f"turns ({disturbed} disturbed rounds were repeated or, if too many, used): "
            f"the whole request, and in parentheses the passes and the map alone.",
            "",
        ]
    lines += ["## By layer", "", *layer_table(found), ""]
    lines += ["## Map by map", "", *pair_lines(found)]
    lines += ["## The worst maps", ""]
    lines += ["The largest difference, and the number of positions above the limit.", ""]
    lines += worst_table(found)
    return "\n".join(lines).rstrip() + "\n"


def write(found, is_default):
    """Yields the path of the page: in docs/ for a default run, else in bench/out."""
    path = (DOCS if is_default else BENCH_OUT) / "exactness.md"
    path.write_text(page(found), encoding="utf-8")
    yield path
