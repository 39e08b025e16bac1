"""Taking turns: every contestant once a round, in a new order each round, one at a time.

On a shared machine a figure is worth what the quiet around it was worth. Each turn is therefore
watched: what share of the CPU other processes took while it ran. A round with a disturbed turn
is repeated, a limited number of times, and the report says how many were. The CPU time that a
contestant itself took is counted beside the clock's: waiting for a core has no part in it.

Some machines change their speed within a second. Short turns can therefore have a companion, which is asked
right before each of them, and to which they are held.
"""

import os
import pathlib
import random
import statistics
import time
from collections import namedtuple

SETTLE_S = 0.2  # until the threads of the one before sleep: ONNX Runtime's, by default, spin on for up to 65 ms
WARM_S = 0.05  # a core that slept takes some tens of milliseconds to run at its speed again, on a virtual machine anyway
COUNTED_S = 0.1  # calls that are shorter are repeated, and their median counts
DISTURBED = 0.05  # the share of all CPU time taken by others from which a turn counts as disturbed
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

Contestant = namedtuple("Contestant", "key pid call")


class Watch:
    """Counts the CPU time that went to others than `pids` and this process."""

    def __init__(self, pids):
        self.pids = [*pids, os.getpid()]
        self.start()

    def start(self):
        self.busy, self.ours, self.clock = machine_ticks(), self.our_ticks(), time.monotonic()

    def our_ticks(self):
        total = 0
        for pid in self.pids:
            # The name, in brackets, may hold spaces; the fields are counted after it.
            fields = (
                pathlib.Path(f"/proc/{pid}/stat")
                .read_text(encoding="utf-8")
                .rpartition(")")[2]
                .split()
            )
            total += int(fields[11]) + int(fields[12])
        return total

    def share_of_others(self):
        """Of what all CPUs could have given since `start`; the tick is 10 ms, so keep turns longer."""
        elapsed = max(time.monotonic() - self.clock, 1e-3) * (os.cpu_count() or 1) * TICKS_PER_S
        others = (machine_ticks() - self.busy) - (self.our_ticks() - self.ours)
        return max(0.0, others / elapsed)


def cpu_ms(pid):
    """CPU time of all threads of a process so far; the kernel counts it in nanoseconds."""
    tasks = pathlib.Path(f"/proc/{pid}/task")
    return (
        sum(
            int((task / "schedstat").read_text(encoding="ascii").split()[0])
            for task in tasks.iterdir()
        )
        / 1e6
    )


def machine_ticks():
    """Busy ticks of all CPUs, those stolen by the hypervisor included."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(
            int, file.readline().split()[1:9]
        )
    return user + nice + system + irq + softirq + steal


def alternate(contestants, rounds, watch, say, warm=True, attempts=3, companion=None):
    """Returns the rounds, each `{"ms": {key: ms}, "inside": {key: ms}, "beside": {key: ms}, "cpu": {key: ms}, "others": share}`,
    and how many were disturbed.

    A turn is, if `warm`, calls that fill the caches and wake the cores, and one or several that count. A call gives milliseconds, or them and how many
    of them were spent `inside`. `beside` is what the contestant `companion`, if there is one, took right before the turn.
    When `attempts` times the wanted rounds did not bring enough quiet ones, the least disturbed of the others fill up.
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
    """The calls that count: their milliseconds, those inside them if they tell, and their CPU time."""
    if warm:
        repeated(contestant.call, WARM_S)
    before = cpu_ms(contestant.pid)
    taken = repeated(contestant.call, COUNTED_S)
    cpu = (cpu_ms(contestant.pid) - before) / len(taken)
    ms, inside = zip(*(one if isinstance(one, tuple) else (one, None) for one in taken))
    return statistics.median(ms), None if None in inside else statistics.median(inside), cpu


def repeated(call, seconds):
    """What calls give, one at least, until so many seconds have passed."""
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
    """For every contestant its milliseconds, and its ratios to its companion, or else to the denominator of the same round."""

    def told(key):
        ratios = {
            "ms": spread(item["ms"][key] for item in rounds),
            "ratio": spread(item["ms"][key] / held_to(item, key) for item in rounds),
            "cpu_ratio": spread(item["cpu"][key] / item["cpu"][denominator] for item in rounds),
        }
        if key in rounds[0]["inside"]:
            ratios["inside_ratio"] = spread(
                item["inside"][key] / held_to(item, key) for item in rounds
            )
        return ratios

    def held_to(item, key):
        return item["beside"].get(key, item["ms"][denominator])

    return {key: told(key) for key in rounds[0]["ms"]}
