"""The page of the load figures: promises first, then one section a scenario."""

from collections import namedtuple

from camlens_tools.bench import machine
from camlens_tools.bench.common import public_command
from camlens_tools.paths import ROOT

# `is_met` is None where the scenario could not decide it.
Promise = namedtuple("Promise", "promise figure is_met")
# The first `text_columns` columns are text, the others figures.
Section = namedtuple("Section", "title notes columns text_columns rows promises")

# The marks around the promises in docs/guide/operating.md.
BEGIN, END = "<!-- load -->", "<!-- /load -->"

VERDICTS = {True: "met", False: "**not met**", None: "not decided"}


def table(columns, text_columns, rows):
    yield f"| {' | '.join(columns)} |"
    marks = ["---" if index < text_columns else "---:" for index in range(len(columns))]
    yield f"|{'|'.join(marks)}|"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"


def promises(sections):
    found = [promise for section in sections for promise in section.promises]
    rows = [(promise, figure, VERDICTS[is_met]) for promise, figure, is_met in found]
    yield from table(["promise", "figure", "met?"], 3, rows)


def write_promises(path, sections):
    """Replaces the table between the page's marks."""
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    rows = "\n".join(promises(sections))
    path.write_text(f"{before}{BEGIN}\n\n{rows}\n\n{END}{after}", encoding="utf-8")


def section_lines(section):
    yield f"## {section.title}"
    yield ""
    for note in section.notes:
        yield note
        yield ""
    yield from table(section.columns, section.text_columns, section.rows)
    yield ""


def page(sections, binary, arguments):
    described = machine.describe()
    lines = [
        "# Under load",
        "",
        f"`{public_command('bench.load', arguments)}` (`make load`) on {described['cpu']}, "
        f"{described['cpus']} CPUs, {described['memory_gib']} GiB, {described['system']}, "
        f"{described['date']}; camlens {machine.camlens_version(binary, ROOT)}.",
        "",
        "Clients and server share the cores. The plain server is "
        "[examples/plain_server.rs](../../examples/plain_server.rs): axum and ONNX Runtime with "
        "one session, and no limit of any kind. It computes no maps, so predictions are compared.",
        "",
        "Promises are those of [operating.md](../guide/operating.md).",
        "",
        *promises(sections),
        "",
    ]
    for section in sections:
        lines += section_lines(section)
    return "\n".join(lines).rstrip() + "\n"
