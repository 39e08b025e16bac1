"""A memory control group for a process, where this machine and this user may make one."""

import os
import pathlib
import time

ROOT = pathlib.Path("/sys/fs/cgroup")


def own_folder():
    """The folder of this process's own memory group and the file of its limit; None without one."""
    for line in pathlib.Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return ROOT / "memory" / path.lstrip("/"), "memory.limit_in_bytes"
        if not controllers and (ROOT / "cgroup.controllers").exists():
            return ROOT / path.lstrip("/"), "memory.max"
    return None


class MemoryGroup:
    """A group below this process's own, with a limit; used with `with`.

    `enter` puts the calling process into it. Where no group can be made, `is_limited` is false and
    `enter` does nothing.
    """

    def __init__(self, limit_mib):
        self.limit_mib = limit_mib
        self.folder, self.is_limited = None, False

    def __enter__(self):
        found = own_folder()
        if not found:
            return self
        parent, limit = found
        try:
            self.folder = parent / f"camlens-load-{os.getpid()}"
            self.folder.mkdir()
            (self.folder / limit).write_text(str(self.limit_mib << 20), encoding="ascii")
            self.is_limited = True
        except OSError:
            self.remove()
        return self

    def __exit__(self, *_):
        self.remove()

    def enter(self):
        if self.is_limited:
            (self.folder / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")

    def read(self, *names):
        """The first of these files that exists, as a number; None without one."""
        for name in names:
            try:
                return int((self.folder / name).read_text(encoding="ascii"))
            except (OSError, TypeError, ValueError):
                continue
        return None

    def peak_mib(self):
        peak = self.read("memory.max_usage_in_bytes", "memory.peak")
        return None if peak is None else peak / 2**20

    def remove(self):
        """Removes the group, once its last process has gone."""
        for _ in range(50):
            try:
                if self.folder and self.folder.exists():
                    self.folder.rmdir()
                break
            except OSError:
                time.sleep(0.1)
        self.folder, self.is_limited = None, False
