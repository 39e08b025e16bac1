"""Writes the figures of bench.compare as a page of tables, with the chart of comparison_chart."""

from camlens_tools.bench import comparison_chart as chart

NAMES = {
    "plain": "plain ONNX Runtime, default options",
    "plain, no spinning": "plain ONNX Runtime, threads without spinning",
    "openvino": "OpenVINO, 32 bits",
    "ncnn": "ncnn, 32 bits",
    "plain, batches of 8": "plain ONNX Runtime, the live channels' passes in batches of 8",
    "camlens predict": "**camlens** predict, whole HTTP request",
    "camlens gradcam": "**camlens** Grad-CAM, whole HTTP request",
    "camlens gradcam++": "**camlens** Grad-CAM++, whole HTTP request",
    "camlens gradcam++ overlay": "**camlens** Grad-CAM++, whole HTTP request, overlay PNG",
    "camlens scorecam": "**camlens** Score-CAM, whole HTTP request",
    "torch forward": "torch, forward alone (`no_grad`)",
    "torch-cam gradcam": "torch-cam, Grad-CAM",
    "torch-cam gradcam++": "torch-cam, Grad-CAM++",
    "pytorch-grad-cam gradcam": "pytorch-grad-cam, Grad-CAM",
    "pytorch-grad-cam gradcam++": "pytorch-grad-cam, Grad-CAM++",
}
TITLES = {
    "vgg16-mri": "`vgg16-mri` (65 MB, 240×240)",
    "vgg16": "full-size VGG16 (553 MB, 224×224)",
    "efficientnet-lite0": "`efficientnet-lite0` (18 MB, 224×224)",
}


def write(found, folder):
    """Writes results.md and results.svg; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    page, picture = folder / "results.md", folder / "results.svg"
    picture.write_text(chart.draw(found), encoding="utf-8")
    page.write_text("\n".join(lines(found)) + "\n", encoding="utf-8")
    return [page, picture]


def lines(found):
    machine = found["machine"]
    yield "# Benchmark results"
    yield ""
    yield "Written by `make bench`; do not edit. [bench/README.md](../../bench/README.md) explains"
    yield "what is compared and why."
    yield ""
    yield "![Time of each contestant as a multiple of a plain ONNX Runtime pass](results.svg)"
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| Date | {machine['date']} |"
    yield f"| Command | `{found['command'].strip()}` |"
    yield (
        f"| Machine | {machine['cpu']}, {machine['cpus']} CPUs, {machine['memory_gib']} GiB; "
        f"{machine['system']} |"
    )
    yield f"| Threads | {found['threads']}, for every contestant |"
    yield (
        "| Versions | "
        f"{', '.join(f'{name} {version}' for name, version in found['versions'].items())}, "
        f"Python {machine['python']} |"
    )
    yield (
        f"| Load average | {load(found['load_at_start'])} at the start, "
        f"{load(found['load_at_end'])} at the end |"
    )
    for note in dict.fromkeys(found["notes"]):
        yield f"| Note | {note} |"
    for model, speed in found["speed"].items():
        yield ""
        yield f"## One image: {TITLES[model]}"
        yield ""
        yield from speed_table(speed)
    if found["score_cam"]:
        yield ""
        yield "## Score-CAM"
        yield ""
        yield from score_cam_table(found["score_cam"], found["all_channels"])
    if found["speed"]:
        yield ""
        yield "## Time by stage of a request"
        yield ""
        yield from timing_table(found["speed"])
    if found["memory"]:
        yield ""
        yield "## Memory"
        yield ""
        yield from memory_tables(found["memory"])


def load(averages):
    return " ".join(f"{average:.1f}" for average in averages)


def speed_table(speed):
    yield "| contestant | median, ms | quartiles | ratio to plain | quartiles | ratio of CPU time |"
    yield "|---|---:|---:|---:|---:|---:|"
    for key in NAMES:
        if key in speed["summary"]:
            ms, ratio = speed["summary"][key]["ms"], speed["summary"][key]["ratio"]
            yield (
                f"| {NAMES[key]} | {ms['median']:.1f} | {ms['low']:.1f} – {ms['high']:.1f} "
                f"| {ratio['median']:.2f} | {ratio['low']:.2f} – {ratio['high']:.2f} "
                f"| {speed['summary'][key]['cpu_ratio']['median']:.2f} |"
            )
    yield ""
    yield f"1.00 is {NAMES[speed['denominator']]}, the faster of the two. {quiet(speed)}"


def quiet(part):
    others = max(item["others"] for item in part["rounds"])
    count = len(part["rounds"])
    return (
        f"Rounds: {count}. In the most disturbed turn, other processes used {others:.0%} of the "
        f"CPU. Disturbed rounds (over 5 %), repeated where time allowed: {part['disturbed']}."
    )


def score_cam_table(parts, all_channels):
    yield "| model | contestant | passes | median, s | ratio to plain | ratio of CPU time |"
    yield "|---|---|---:|---:|---:|---:|"
    for model, part in parts.items():
        masked = part["passes"]["masked"]
        for key in ("plain, batches of 8", "camlens scorecam"):
            entry = part["summary"][key]
            passes = masked + part["passes"]["forward"] if key.startswith("camlens") else masked
            yield (
                f"| {model} | {NAMES[key]} | {passes} | {entry['ms']['median'] / 1e3:.2f} "
                f"| {entry['ratio']['median']:.3f} | {entry['cpu_ratio']['median']:.3f} |"
            )
        if "peer" in part:
            peer = part["peer"]
            yield (
                f"| {model} | pytorch-grad-cam, Score-CAM | {part['channels'] + 1} | "
                f"{peer['ms'] / 1e3:.2f} "
                f"| {peer['ratio']:.2f} | |"
            )
    for model, part in parts.items():
        masked, channels = part["passes"]["masked"], part["channels"]
        which = (
            f"{masked} of {channels} channels need a pass; the others are 0 everywhere"
            if all_channels
            else f"only {masked} of {channels} channels, as asked for"
        )
        yield ""
        yield f"{model}: {which}. {quiet(part)}"


def timing_table(speeds):
    steps = list(
        dict.fromkeys(
            step
            for speed in speeds.values()
            for entry in speed["server_timing_ms"].values()
            for step in entry
        )
    )
    steps = [step for step in steps if step != "rest"] + ["rest"]
    yield f"| model | request | {' | '.join(steps)} |"
    yield "|---|---|" + "---:|" * len(steps)
    for model, speed in speeds.items():
        for key, entry in speed["server_timing_ms"].items():
            cells = " | ".join(f"{entry.get(step, 0):.1f}" for step in steps)
            yield f"| {model} | {key.replace('camlens ', '')} | {cells} |"
    yield ""
    yield (
        "Milliseconds: medians of `timing_ms` in the responses. The rest is HTTP, queueing and "
        "writing the response."
    )


def memory_tables(memory):
    yield (
        "| model | file | camlens, RSS | plain session, RSS | ratio | peak: camlens, plain, ratio |"
    )
    yield "|---|---:|---:|---:|---:|---:|"
    for model, entry in memory.items():
        ours, plain = entry["camlens"]["single"], entry["plain"]["single"]
        yield (
            f"| {model} | {entry['file_mib']:.0f} | {ours['VmRSS']:.0f} | {plain['VmRSS']:.0f} "
            f"| {ours['VmRSS'] / plain['VmRSS']:.2f} | {ours['VmHWM']:.0f}, {plain['VmHWM']:.0f}, "
            f"{ours['VmHWM'] / plain['VmHWM']:.2f} |"
        )
    yield ""
    yield (
        "MiB. camlens: the whole process with only that model, after 5 Grad-CAM++ requests. "
        "Plain session: what the same ONNX Runtime library and one session of the original model "
        "add to a process, after 5 passes. Each figure is the median of three processes. The peak "
        "covers the process's whole life, loading included."
    )
    yield ""
    yield (
        "| model | camlens RSS: private | camlens RSS: mapped files | camlens PSS "
        "| RSS after a batch of 8: camlens, plain, ratio |"
    )
    yield "|---|---:|---:|---:|---:|"
    for model, entry in memory.items():
        ours, batch, plain = (
            entry["camlens"]["single"],
            entry["camlens"]["batch"],
            entry["plain"]["batch"],
        )
        yield (
            f"| {model} | {ours['RssAnon']:.0f} | {ours['RssFile']:.0f} | {ours.get('Pss', 0):.0f} "
            f"| {batch['VmRSS']:.0f}, {plain['VmRSS']:.0f}, {batch['VmRSS'] / plain['VmRSS']:.2f} |"
        )
    yield ""
    yield (
        "The mapped files are the libraries and the model's weights, which the kernel can evict "
        "and read again. Score-CAM runs batches of 8."
    )
