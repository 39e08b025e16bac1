"""Writes the figures of bench.scorecam as a page of tables."""

import statistics


def page(found, budgets):
    lines = ["# Score-CAM over natural pictures", "", *conditions(found), ""]
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
    yield "One round for each picture; the plain loop's sample runs before and after camlens."
    yield "[bench/README.md](../../bench/README.md) describes the method."


def speed_table(rows):
    yield (
        "| picture | live channels | plain loop | camlens | ratio | 32 passes | ratio "
        "| correlation: true, estimated (9 of 10) |"
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
    yield "Each optimisation alone, as a part of the plain loop:"
    yield ""
    yield (
        "| picture | live channels only | Winograd only | both "
        "| and only where the masked image is not zero |"
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
    yield "The libraries on the same picture, in the same run:"
    yield ""
    yield "| picture | library | time | of the plain loop | camlens is faster |"
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
        f"Of the plain loop: median {statistics.median(ratios):.3f}, worst {ratios[-1]:.3f}; "
        f"from 32 passes {statistics.median(budget):.3f}, worst {budget[-1]:.3f}. "
        f"The service's resident memory afterwards: {memory['VmRSS']:.0f} MiB, "
        f"at most {memory['VmHWM']:.0f} MiB."
    )


def curve_table(rows, budgets):
    yield f"## How far an estimate is off: efficientnet-lite0, {len(rows)} pictures and crops"
    yield ""
    yield "![Passes against correlation](scorecam.svg)"
    yield ""
    yield "Pearson's correlation with the map of all passes. `estimated` is the response's own"
    yield "figure. `at_least` is the correlation that it expects to exceed nine times in ten."
    yield ""
    yield (
        "| passes | true: median, lowest | estimated: median | true ≥ at_least "
        "| the N strongest channels: median, lowest |"
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
