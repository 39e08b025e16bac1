"""Writes the figures of bench.scorecam as a page of tables."""

import statistics


def page(found, budgets):
    lines = ["# Score-CAM on natural images", "", *conditions(found), ""]
    for model, part in found["speed"].items():
        lines += [f"## `{model}`", "", *speed_table(part["rows"])]
        lines += ["", *optimisation_table(part["rows"])]
        lines += ["", *peer_table(part["rows"])]
        lines += [*speed_summary(part), ""]
    if found["curve"]:
        lines += curve_table(found["curve"], budgets)
    return "\n".join(lines).rstrip() + "\n"


def conditions(found):
    machine = found["machine"]
    keys = [key for key in ("command", "curve_command") if key in found]
    commands = ", ".join(f"`{command}`" for command in dict.fromkeys(found[key] for key in keys))
    yield (
        f"{commands} on {machine['cpu']}, {machine['cpus']} CPUs, {machine['date']}, "
        f"{found['threads']} threads."
    )
    yield ""
    yield "One round per image; a sample of the plain loop runs before and after camlens."
    yield "[bench/README.md](../../bench/README.md) describes the method."


def speed_table(rows):
    yield (
        "| image | live channels | plain loop | camlens, all passes | ratio to loop "
        "| camlens, 32 passes | ratio to loop "
        "| correlation of 32 passes: actual, estimated (lower bound, 90 %) |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---|"
    for row in rows:
        loop_ms = row["loop_ms"]
        yield (
            f"| {row['picture']} | {row['live']} of {row['channels']} | {loop_ms / 1e3:.1f} s "
            f"| {row['ours_ms'] / 1e3:.1f} s | **{row['ours_ms'] / loop_ms:.3f}** "
            f"| {row['budget_ms'] / 1e3:.2f} s | **{row['budget_ms'] / loop_ms:.3f}** "
            f"| {row['true']:.3f}, {row['estimated']:.3f} ({row['at_least']:.3f}) |"
        )


def optimisation_table(rows):
    yield "Time with each optimisation, relative to the plain loop:"
    yield ""
    yield (
        "| image | live channels only | Winograd only | both "
        "| both, and zeros of the masked image skipped |"
    )
    yield "|---|---:|---:|---:|---:|"
    for row in rows:
        both_ms = row["winograd_only_ms"] * row["live"] / row["channels"]
        parts = [row["live_only_ms"], row["winograd_only_ms"], both_ms, row["ours_ms"]]
        ratios = " | ".join(f"{part / row['loop_ms']:.3f}" for part in parts)
        yield f"| {row['picture']} | {ratios} |"


def peer_table(rows):
    compared = [(row, *item) for row in rows for item in row["peers"].items()]
    if not compared:
        return
    yield "The libraries on the same image, in the same run:"
    yield ""
    yield "| image | library | time | ratio to loop | camlens is faster by |"
    yield "|---|---|---:|---:|---:|"
    for row, library, peer in compared:
        times = peer["ratio"] / (row["ours_ms"] / row["loop_ms"])
        yield (
            f"| {row['picture']} | {library} | {peer['ms'] / 1e3:.0f} s | {peer['ratio']:.2f} "
            f"| {times:.1f} times |"
        )
    yield ""


def speed_summary(part):
    rows, memory = part["rows"], part["memory_mib"]
    ratios = sorted(row["ours_ms"] / row["loop_ms"] for row in rows)
    budget = sorted(row["budget_ms"] / row["loop_ms"] for row in rows)
    yield (
        f"Ratio to the plain loop: median {statistics.median(ratios):.3f}, "
        f"worst {ratios[-1]:.3f}; "
        f"with 32 passes median {statistics.median(budget):.3f}, worst {budget[-1]:.3f}. "
        f"Resident memory of the service: {memory['VmRSS']:.0f} MiB afterwards, "
        f"{memory['VmHWM']:.0f} MiB at its peak."
    )


def curve_table(rows, budgets):
    yield f"## Accuracy of the estimate: efficientnet-lite0, {len(rows)} images and crops"
    yield ""
    yield "![Correlation by number of passes](scorecam.svg)"
    yield ""
    yield "Pearson's correlation with the map of all passes. The estimated correlation is the"
    yield "response's own figure. `at_least` is the response's lower bound, which the actual"
    yield "correlation should exceed nine times in ten."
    yield ""
    yield (
        "| passes | actual: median, lowest | estimated: median | actual ≥ `at_least` "
        "| only the N strongest channels: median, lowest |"
    )
    yield "|---:|---|---|---|---|"
    for budget in map(str, budgets):
        true = [row[budget]["true"] for row in rows]
        strongest = [row[budget]["strongest"] for row in rows]
        estimated = [row[budget]["correlation"] for row in rows]
        exceeded = sum(row[budget]["true"] >= row[budget]["at_least"] for row in rows)
        yield (
            f"| {budget} | **{statistics.median(true):.3f}**, {min(true):.3f} "
            f"| {statistics.median(estimated):.3f} | {exceeded} of {len(rows)} "
            f"| {statistics.median(strongest):.3f}, {min(strongest):.3f} |"
        )
