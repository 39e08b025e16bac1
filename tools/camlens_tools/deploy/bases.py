"""The base images that the Dockerfile names, made from Debian's packages by debootstrap.

For machines that reach Debian's mirrors and no image registry. The images have what the official
ones have as far as the Dockerfile uses it: Debian without anything, the same with Rust and a C
compiler, and the same with Python and pip.
"""

import re
import shutil
import subprocess
from pathlib import Path

from camlens_tools.bench.common import Failure
from camlens_tools.deploy.common import say
from camlens_tools.paths import ROOT

# The certificates of this machine, which may trust a proxy of its own.
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
APT = "apt-get update -qq && apt-get install -qq --no-install-recommends -y"
FREE = "apt-get clean && rm -rf /var/lib/apt/lists/*"


def names():
    """The names in the Dockerfile's FROM lines, in order: Rust, Python, Debian."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    release = re.search(r"(?m)^ARG DEBIAN=(\w+)$", text)[1]
    found = re.findall(r"(?m)^FROM (\S+:\S+)", text)
    found = [name.replace("${DEBIAN}", release) for name in dict.fromkeys(found)]
    prefixes = ["rust:", "python:", "debian:"]
    by_prefix = [next((n for n in found if n.startswith(p)), None) for p in prefixes]
    if None in by_prefix or len(found) != len(prefixes):
        raise Failure(f"the Dockerfile stands on {found}, which this script does not make")
    return release, *by_prefix


def make(buildah):
    release, rust, python, debian = names()
    have = buildah.run("images", "--all", "--format={{.Name}}:{{.Tag}}")
    if debian not in have:
        make_debian(buildah, release, debian)
    if rust not in have:
        make_rust(buildah, debian, rust)
    if python not in have:
        make_python(buildah, debian, python)


def make_debian(buildah, release, name):
    say(f"debootstrap makes {name}")
    if not shutil.which("debootstrap"):
        raise Failure("there is no debootstrap (Debian: apt install debootstrap)")
    folder = buildah.scratch / release
    command = ["debootstrap", "--variant=minbase", "--include=ca-certificates", release, folder]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    if run.returncode != 0:
        raise Failure(f"debootstrap: {run.stdout.strip().splitlines()[-1:]}")
    shutil.rmtree(folder / "var" / "cache" / "apt" / "archives")
    shutil.copyfile(CERTIFICATES, folder / CERTIFICATES.relative_to("/"))
    container = buildah.run("from", "scratch")
    buildah.run("add", "--quiet", container, folder, "/")
    buildah.run("config", "--env=PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", container)
    shutil.rmtree(folder)
    commit(buildah, container, name)


def make_rust(buildah, debian, name):
    sysroot, found = rustc("--print", "sysroot"), rustc("--version").split()[1]
    version = name.removeprefix("rust:").split("-")[0]
    if not found.startswith(version):
        raise Failure(f"the Dockerfile asks for Rust {version}, and this machine has {found}")
    say(f"{name} is Debian with gcc and the toolchain of this machine")
    container = buildah.run("from", "--pull=never", debian)
    install(buildah, container, "gcc libc6-dev")
    for part in ("bin", "lib"):
        buildah.run("add", "--quiet", container, Path(sysroot) / part, f"/usr/local/{part}")
    buildah.run("config", "--env=CARGO_HOME=/usr/local/cargo", container)
    commit(buildah, container, name)


def rustc(*arguments):
    run = subprocess.run(["rustc", *arguments], check=True, capture_output=True, cwd=ROOT)
    return run.stdout.decode().strip()


def make_python(buildah, debian, name):
    say(f"{name} is Debian with its Python and pip")
    container = buildah.run("from", "--pull=never", debian)
    install(buildah, container, "python3 python3-pip python-is-python3")
    # Debian's pip installs into virtual environments alone.
    remove = "rm /usr/lib/python3*/EXTERNALLY-MANAGED"
    buildah.run("run", "--isolation=chroot", container, "--", "sh", "-c", remove)
    commit(buildah, container, name)


def install(buildah, container, packages):
    command = f"{APT} {packages} && {FREE}"
    buildah.run("run", "--isolation=chroot", container, "--", "sh", "-c", command)


def commit(buildah, container, name):
    buildah.run("commit", "--quiet", "--rm", container, name)
