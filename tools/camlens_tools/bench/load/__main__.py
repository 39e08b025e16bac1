"""Measures the service under load, beside a plain server, and compares it with its promises.

    python3 tools bench.load BINARY PLAIN_SERVER [--scenario NAME …] [--scale 0.1] [--threads N]

It prints its tables. Without --scenario and at full scale it writes docs/bench/load.md and the
promises in docs/guide/operating.md, otherwise bench/out/load.md. A promise that is not met fails
nothing: the page says so.

Exit codes: 0 measured, 1 something failed.
"""

import argparse
import importlib
import os
import sys

from camlens_tools.bench.common import Failure, say
from camlens_tools.bench.load import report
from camlens_tools.bench.load.context import Context
from camlens_tools.paths import BENCH_DOCS, BENCH_OUT, DOCS

SCENARIOS = (
    "capacity",
    "classes",
    "overload",
    "slow_bodies",
    "slow_readers",
    "idle_connections",
    "bombs",
    "floor",
)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("binary", metavar="BINARY")
    parser.add_argument("plain", metavar="PLAIN_SERVER", help="examples/plain_server.rs, built")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS)
    parser.add_argument("--scale", type=float, default=1, help="of every duration; 1 is whole")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser.parse_args()


def main():
    args = parse_arguments()
    context = Context(args.binary, args.plain, args.threads, args.scale)
    sections = []
    for name in args.scenario or SCENARIOS:
        say(name)
        scenario = importlib.import_module(f"camlens_tools.bench.load.scenarios.{name}")
        try:
            section = scenario.measure(context)
        except Failure as failure:
            print(f"bench.load: {name}: {failure}", file=sys.stderr)
            return 1
        sections.append(section)
        print("\n".join(report.section_lines(section)))
        if section.promises:
            print("\n".join(report.promises([section])) + "\n")
        sys.stdout.flush()
    is_whole = not args.scenario and args.scale == 1
    folder = BENCH_DOCS if is_whole else BENCH_OUT
    folder.mkdir(parents=True, exist_ok=True)
    page = report.page(sections, args.binary, sys.argv[1:])
    (folder / "load.md").write_text(page, encoding="utf-8")
    if is_whole:
        report.write_promises(DOCS / "guide" / "operating.md", sections)
    say(f"wrote {folder / 'load.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
