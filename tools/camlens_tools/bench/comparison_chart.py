"""Draws every contestant's time as a multiple of a plain ONNX Runtime pass, as one SVG of bars.

Written by hand, so it needs no library and follows the reader's light or dark theme.
"""

from xml.sax.saxutils import escape

WIDTH, LABELS, RIGHT = 860, 250, 70
BAR, GAP, TITLE = 18, 8, 42
STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .title { font-size: 17px; font-weight: 600 }
  .group { font-weight: 600 }
  .quiet { fill: #59636e; font-size: 12px }
  .ours { fill: #0b7a75 } .plain { fill: #8c959f } .peer { fill: #d08a2e }
  .value { font-weight: 600; font-variant-numeric: tabular-nums }
  .rule { stroke: #d1d9e0 } .one { stroke: #59636e; stroke-dasharray: 3 3 }
  .whisker { stroke: #1f2328; stroke-width: 1.5; opacity: .65 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 }
    .ours { fill: #2fb8ac } .plain { fill: #767f89 } .peer { fill: #dba14e }
    .rule { stroke: #3d444d } .one { stroke: #9198a1 } .whisker { stroke: #e6edf3 }
  }"""
BARS = {
    "camlens predict": ("camlens, prediction only", "ours"),
    "camlens gradcam": ("camlens, Grad-CAM", "ours"),
    "camlens gradcam++": ("camlens, Grad-CAM++", "ours"),
    "torch forward": ("torch, forward only", "plain"),
    "torch-cam gradcam": ("torch-cam, Grad-CAM", "peer"),
    "torch-cam gradcam++": ("torch-cam, Grad-CAM++", "peer"),
    "pytorch-grad-cam gradcam": ("pytorch-grad-cam, Grad-CAM", "peer"),
    "pytorch-grad-cam gradcam++": ("pytorch-grad-cam, Grad-CAM++", "peer"),
}
GROUPS = {"vgg16-mri": "VGG16 of brain MRI, 240×240", "vgg16": "VGG16, full size, 224×224"}


def draw(found):
    groups = bar_groups(found)
    longest = max([bar["high"] for _, _, bars in groups for bar in bars], default=1)
    step = next(
        step for step in (0.5, 1, 2, 5, 10, 50, 1000) if longest / step <= 9 or step == 1000
    )
    scale = (WIDTH - LABELS - RIGHT) / max(longest, 1.2)
    body, y = [], 78
    for title, unit, bars in groups:
        body.append(f'<text class="group" x="16" y="{y + 14}">{escape(title)}</text>')
        body.append(f'<text class="quiet" x="{LABELS}" y="{y + 14}">1 = {escape(unit)}</text>')
        y += 26
        bottom = y + len(bars) * (BAR + GAP) - GAP
        tick = 0.0
        while tick <= longest:
            x = LABELS + tick * scale
            kind = "one" if tick == 1 else "rule"
            body.append(
                f'<line class="{kind}" x1="{x:.1f}" y1="{y - 3}" x2="{x:.1f}" y2="{bottom + 3}"/>'
            )
            tick += step
        for bar in bars:
            body += one_bar(bar, y, scale)
            y += BAR + GAP
        y += 16
    height = y + 2
    command = f"{found['threads']} threads, {found['machine']['cpu']}, {found['machine']['date']}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" role="img" '
            'aria-labelledby="title about">',
            '<title id="title">Time as a multiple of a plain ONNX Runtime pass</title>',
            f'<desc id="about">{escape(described(groups))}</desc>',
            f"<style>{STYLE}\n</style>",
            '<text class="title" x="16" y="30">Time of one explanation, as a multiple of plain '
            "ONNX Runtime</text>",
            '<text class="quiet" x="16" y="52">shorter is better; camlens: the whole HTTP '
            "request; "
            f"medians, whiskers are quartiles; {escape(command)}</text>",
            *body,
            "</svg>",
            "",
        ]
    )


def one_bar(bar, y, scale):
    end = LABELS + bar["median"] * scale
    low, high = LABELS + bar["low"] * scale, LABELS + bar["high"] * scale
    middle = y + BAR / 2
    yield f'<text x="{LABELS - 10}" y="{y + 13}" text-anchor="end">{escape(bar["label"])}</text>'
    yield (
        f'<rect class="{bar["kind"]}" x="{LABELS}" y="{y}" width="{bar["median"] * scale:.1f}" '
        f'height="{BAR}" rx="2"/>'
    )
    if high - low > 3:
        yield f'<line class="whisker" x1="{low:.1f}" y1="{middle}" x2="{high:.1f}" y2="{middle}"/>'
    x = max(end, high) + 8
    yield f'<text class="value" x="{x:.1f}" y="{y + 13}">{bar["median"]:.2f}</text>'


def bar_groups(found):
    """`[(title, meaning of 1, [bar, ...])]`."""
    groups = []
    for model, speed in found["speed"].items():
        bars = [
            {"label": label, "kind": kind, **speed["summary"][key]["ratio"]}
            for key, (label, kind) in BARS.items()
            if key in speed["summary"]
        ]
        groups.append((GROUPS[model], "a plain forward pass", bars))
    for model, part in found["score_cam"].items():
        bars = [
            {
                "label": "camlens, Score-CAM",
                "kind": "ours",
                **part["summary"]["camlens scorecam"]["ratio"],
            }
        ]
        if "peer" in part:
            ratio = part["peer"]["ratio"]
            bars.append(
                {
                    "label": "pytorch-grad-cam, Score-CAM",
                    "kind": "peer",
                    "median": ratio,
                    "low": ratio,
                    "high": ratio,
                }
            )
        groups.append(
            (
                GROUPS[model],
                f"plain passes of its {part['passes']['masked']} live channels, 8 at a time",
                bars,
            )
        )
    return groups


def described(groups):
    return " ".join(
        f"{title}, 1 is {unit}: "
        + ", ".join(f"{bar['label']} {bar['median']:.2f}" for bar in bars)
        + "."
        for title, unit, bars in groups
    )
