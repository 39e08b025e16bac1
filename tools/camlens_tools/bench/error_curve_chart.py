"""Draws the error curve of estimated Score-CAM: masked passes against correlation."""

import statistics

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 360, 60, 200, 24, 44
# (key of the rows, statistic, label, colour, dash pattern)
LINES = [
    ("true", statistics.median, "budget, median", "#1f77b4", ""),
    ("true", min, "budget, lowest", "#1f77b4", "5 4"),
    ("strongest", statistics.median, "strongest channels, median", "#d62728", ""),
    ("strongest", min, "strongest channels, lowest", "#d62728", "5 4"),
]


def draw(rows, budgets):
    """Returns the SVG. Each row has the correlations `true` and `strongest` for every budget."""
    points = [
        [of([row[str(budget)][key] for row in rows]) for budget in budgets] for key, of, *_ in LINES
    ]
    low = min(0.5, int(min(map(min, points)) * 10) / 10)

    def x(index):
        return LEFT + (WIDTH - LEFT - RIGHT) * index / (len(budgets) - 1)

    def y(value):
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value) / (1 - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for step in range(round((1 - low) * 10) + 1):
        value = 1 - step / 10
        parts.append(
            f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
            f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.1f}</text>'
        )
    for index, budget in enumerate(budgets):
        parts.append(
            f'<text x="{x(index):.1f}" y="{HEIGHT - BOTTOM + 18}" '
            f'text-anchor="middle">{budget}</text>'
        )
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">masked '
        "passes</text>"
    )
    parts.append(f'<text x="14" y="{TOP - 8}">correlation with the map of all passes</text>')
    # Labels are beside the ends of their lines, at least one text line apart.
    labels = sorted(range(len(LINES)), key=lambda line: y(points[line][-1]))
    at = TOP
    for line in labels:
        _, _, title, colour, dash = LINES[line]
        path = "L".join(
            f"{x(index):.1f} {y(value):.1f}" for index, value in enumerate(points[line])
        )
        parts.append(
            f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2" '
            f'stroke-dasharray="{dash}"/>'
        )
        at = max(at, y(points[line][-1]) + 4)
        parts.append(f'<text x="{WIDTH - RIGHT + 8}" y="{at:.1f}" fill="{colour}">{title}</text>')
        at += 17
    return "\n".join(parts) + "\n</svg>\n"
