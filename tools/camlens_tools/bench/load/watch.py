"""Watches a process: memory, open file descriptors and threads, as the kernel counts them."""

import os
import pathlib
import threading
import time
from collections import namedtuple

Sample = namedtuple("Sample", "seconds rss_mib anonymous_mib descriptors threads")


def status(pid):
    """The figures of /proc/PID/status in MiB, and the number of threads."""
    fields = {}
    for line in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "VmHWM", "RssAnon"):
            fields[name] = int(value.split()[0]) / 1024
        elif name == "Threads":
            fields[name] = int(value)
    return fields


class Watch(threading.Thread):
    """Samples a process until it is stopped; used with `with`."""

    def __init__(self, pid, interval_s=1.0):
        super().__init__(daemon=True)
        self.pid, self.interval_s = pid, interval_s
        self.samples = []
        self.started = time.perf_counter()
        self.ended = threading.Event()

    def sample(self):
        fields = status(self.pid)
        self.samples.append(
            Sample(
                time.perf_counter() - self.started,
                fields["VmRSS"],
                fields["RssAnon"],
                len(os.listdir(f"/proc/{self.pid}/fd")),
                fields["Threads"],
            )
        )

    def run(self):
        while not self.ended.is_set():
            try:
                self.sample()
            except (OSError, KeyError):
                return  # the process has ended
            self.ended.wait(self.interval_s)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()

    def peak_mib(self):
        return max(sample.rss_mib for sample in self.samples)
