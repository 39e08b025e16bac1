"""Runs contestants in turns: each once a round, in a new order each round, one at a time.

On a shared machine, other processes disturb a measurement. Every turn is therefore
watched: what share of the CPU did other processes use meanwhile? A round with a disturbed turn is
repeated, a limited number of times, and the report says how many were. The contestant's own CPU
time is counted beside the wall clock, because waiting for a core does not add to it.

Some machines change their speed within a second. Short turns can therefore have a companion: a call
of another contestant right before each turn, to which the turn is compared.
"""

import os
import pathlib
import random
import statistics
import time
from collections import namedtuple

# Time for the previous contestant's threads to sleep: by default ONNX Runtime's spin for up to 65
# ms.
SETTLE_S = 0.2
# On a virtual machine, a core that slept needs some tens of milliseconds to reach full speed.
WARM_S = 0.05
# Shorter calls are repeated, and their median counts.
COUNTED_S = 0.1
# A turn counts as disturbed when other processes take more than this share of all CPU time.
DISTURBED = 0.05
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

Contestant = namedtuple("Contestant", "key pid call")


class Watch:
    """Measures the CPU time of all processes except `pids` and this one."""

    def __init__(self, pids):
        self.pids = [*pids, os.getpid()]
        self.start()

    def start(self):
        self.busy, self.ours, self.clock = machine_ticks(), self.our_ticks(), time.monotonic()

    def our_ticks(self):
        total = 0
        for pid in self.pids:
            # The name, in parentheses, may contain spaces, so count fields after it.
            fields = (
                pathlib.Path(f"/proc/{pid}/stat")
                .read_text(encoding="utf-8")
                .rpartition(")")[2]
                .split()
            )
            total += int(fields[11]) + int(fields[12])
        return total

    def share_of_others(self):
        """Their share of all CPU time since `start`. A tick is 10 ms, so turns must be longer."""
        elapsed = max(time.monotonic() - self.clock, 1e-3) * (os.cpu_count() or 1) * TICKS_PER_S
        others = (machine_ticks() - self.busy) - (self.our_ticks() - self.ours)
        return max(0.0, others / elapsed)


def cpu_ms(pid):
    """CPU time of all threads of a process so far, from the kernel's nanosecond counters."""
    tasks = pathlib.Path(f"/proc/{pid}/task")
    return (
        sum(
            int((task / "schedstat").read_text(encoding="ascii").split()[0])
            for task in tasks.iterdir()
        )
        / 1e6
    )


def machine_ticks():
    """Busy ticks of all CPUs, including those stolen by the hypervisor."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(
            int, file.readline().split()[1:9]
        )
    return user + nice + system + irq + softirq + steal


def alternate(contestants, rounds, watch, say, warm=True, attempts=3, companion=None):
    """Returns (rounds, how many were disturbed).

    A round is {"ms", "inside", "beside", "cpu": each {contestant: ms}, "others": share}. A turn is,
    if `warm`, calls that fill the caches and wake the cores, then one or more calls that count. A
    call returns its milliseconds, or (milliseconds, of which inside the model). `beside` is the
    time of the contestant `companion`, if there is one, right before the turn. When `attempts`
    times the wanted rounds did not bring enough quiet ones, the least disturbed others fill up.
    """
    order, generator = list(contestants), random.Random(0)
    quiet, disturbed = [], []
    while len(quiet) < rounds and len(quiet) + len(disturbed) < rounds * attempts:
        generator.shuffle(order)
        item = {"ms": {}, "inside": {}, "beside": {}, "cpu": {}, "others": 0.0}
        for contestant in order:
            time.sleep(SETTLE_S)
            watch.start()
            if companion:
                item["beside"][contestant.key] = turn(companion, warm)[0]
                time.sleep(SETTLE_S)
            ms, inside, cpu = turn(contestant, warm)
            item["cpu"][contestant.key] = cpu
            item["ms"][contestant.key] = ms
            if inside is not None:
                item["inside"][contestant.key] = inside
            item["others"] = max(item["others"], watch.share_of_others())
        (quiet if item["others"] <= DISTURBED else disturbed).append(item)
        say(f"round {len(quiet)}/{rounds}, {len(disturbed)} disturbed")
    disturbed.sort(key=lambda item: item["others"])
    return quiet + disturbed[: rounds - len(quiet)], len(disturbed)


def turn(contestant, warm):
    """The median milliseconds of a turn's calls, of the part inside if known, and its CPU time."""
    if warm:
        repeated(contestant.call, WARM_S)
    before = cpu_ms(contestant.pid)
    taken = repeated(contestant.call, COUNTED_S)
    cpu = (cpu_ms(contestant.pid) - before) / len(taken)
    ms, inside = zip(*(one if isinstance(one, tuple) else (one, None) for one in taken))
    return statistics.median(ms), None if None in inside else statistics.median(inside), cpu


def repeated(call, seconds):
    """The results of calls, at least one, until so many seconds have passed."""
    end = time.monotonic() + seconds
    given = [call()]
    while time.monotonic() < end:
        given.append(call())
    return given


def spread(values):
    """Median and quartiles."""
    values = list(values)
    if len(values) == 1:
        return {"median": values[0], "low": values[0], "high": values[0]}
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "low": low, "high": high}


def summary(rounds, denominator):
    """Spreads of every contestant's milliseconds and ratios.

    Ratios are to its companion, or else to the contestant `denominator` of the same round.
    """

    def figures(key):
        ratios = {
            "ms": spread(item["ms"][key] for item in rounds),
            "ratio": spread(item["ms"][key] / reference_ms(item, key) for item in rounds),
            "cpu_ratio": spread(item["cpu"][key] / item["cpu"][denominator] for item in rounds),
        }
        if key in rounds[0]["inside"]:
            ratios["inside_ratio"] = spread(
                item["inside"][key] / reference_ms(item, key) for item in rounds
            )
        return ratios

    def reference_ms(item, key):
        return item["beside"].get(key, item["ms"][denominator])

    return {key: figures(key) for key in rounds[0]["ms"]}
