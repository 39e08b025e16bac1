"""Describes the machine and the binary that the figures come from."""

import os
import pathlib
import platform
import subprocess
import time


def describe():
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = int(pathlib.Path("/proc/meminfo").read_text(encoding="ascii").split()[1]) / 2**20
    flags = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    widest = next(
        (name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags), None
    )
    return {
        "cpu": cpu + (f" ({widest})" if widest else ""),
        "cpus": os.cpu_count(),
        "memory_gib": round(memory),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }


def camlens_version(binary, root):
    """The binary's version, and the commit of the checkout that it was built from."""

    def first_line(*command):
        run = subprocess.run(command, check=False, capture_output=True, text=True, cwd=root)
        return (
            run.stdout.strip().splitlines()[0] if run.returncode == 0 and run.stdout.strip() else ""
        )

    version = first_line(str(binary), "--version").replace("camlens", "").strip() or "?"
    commit = first_line("git", "rev-parse", "--short", "HEAD")
    return f"{version} ({commit})" if commit else version
