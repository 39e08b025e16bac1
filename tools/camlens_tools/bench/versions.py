"""Compares two builds of camlens in one alternating run, to show that a change costs no speed.

    python3 tools bench.versions OLD NEW [--rounds N]

OLD and NEW are binaries. Both serve the same models at the same time, and each round sends the same
request to one and then to the other, in turns of who is first. The table gives the median of NEW's
time as a multiple of OLD's, with quartiles of the ratio within a round. A second OLD service runs
as a control: its ratio shows the noise of the machine.

Exit codes: 0 done, 1 something failed.
"""

import argparse
import json
import statistics
import sys
import urllib.parse

from camlens_tools.bench import machine
from camlens_tools.bench.common import Failure, progress
from camlens_tools.bench.processes import Service
from camlens_tools.paths import MODELS, PICTURES

# Name, model, picture, options, and how many times as many rounds as the slowest case.
CASES = (
    ("Grad-CAM++, VGG16-MRI", "vgg16-mri", "phantom.png", {"method": "gradcam++"}, 8),
    (
        "Score-CAM of 64 channels, VGG16-MRI",
        "vgg16-mri",
        "phantom.png",
        {"method": "scorecam", "max_channels": 64},
        1,
    ),
    (
        "Grad-CAM at the stem, EfficientNet-Lite0",
        "efficientnet-lite0",
        "chelsea.png",
        {"method": "gradcam", "layer": "conv_stem"},
        8,
    ),
    ("Grad-CAM, EfficientNet-Lite0", "efficientnet-lite0", "chelsea.png", {"method": "gradcam"}, 8),
)


def passes_ms(service, path, picture):
    """Milliseconds of the passes and the map, without decoding and rendering; and the map."""
    _, body = service.post(path, picture)
    response = json.loads(body)
    timing = response["timing_ms"]
    return timing["forward"] + timing["explain"], response["heatmap"]["data"]


def largest_difference(a, b):
    return max(abs(x - y) for row, other in zip(a, b) for x, y in zip(row, other))


def measure(services, case, rounds):
    """The ratios to the first service's time, by name, and the largest difference of the maps."""
    _, model, picture, options, factor = case
    path = "/v1/explain?" + urllib.parse.urlencode({**options, "model": model, "output": "json"})
    picture = (PICTURES / picture).read_bytes()
    maps = {service.name: passes_ms(service, path, picture)[1] for service in services}
    ratios = {service.name: [] for service in services[1:]}
    for index in range(rounds * factor):
        shift = index % len(services)
        order = services[shift:] + services[:shift]
        times = {service.name: passes_ms(service, path, picture)[0] for service in order}
        for name, found in ratios.items():
            found.append(times[name] / times[services[0].name])
    reference = maps[services[0].name]
    return ratios, {name: largest_difference(reference, maps[name]) for name in ratios}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("old", help="the binary to compare with")
    parser.add_argument("new", help="the binary to measure")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the slowest case")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main():
    args = parse_arguments()
    services = []
    try:
        for name, binary in (("old", args.old), ("new", args.new), ("control", args.old)):
            services.append(Service(binary, MODELS, args.threads, name=name))
        print(json.dumps(machine.describe()))
        print("| case | new / old | quartiles | old / old | quartiles | largest difference |")
        print("|---|---:|---|---:|---|---:|")
        for case in CASES:
            progress(case[0])
            ratios, differences = measure(services, case, args.rounds)
            cells = []
            for name in ("new", "control"):
                low, middle, high = statistics.quantiles(ratios[name], n=4)
                cells += [f"{middle:.3f}", f"{low:.3f} to {high:.3f}"]
            print(f"| {case[0]} | {' | '.join(cells)} | {differences['new']:.1e} |", flush=True)
    except Failure as failure:
        print(f"bench.versions: {failure}", file=sys.stderr)
        return 1
    finally:
        for service in services:
            service.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
