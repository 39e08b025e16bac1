"""Builds the image with buildah, starts it, and asks it one request (make image).

    sudo python3 tools deploy.image [--bases debootstrap|pull] [--storage DIR]

Needs root, Debian's buildah, and for `--bases debootstrap` (the default) debootstrap and rustup's
toolchain of rust-toolchain.toml; the base images are then made from Debian's packages under the
names that the Dockerfile asks for. `--bases pull` takes them from the registry that buildah is
configured for. Everything lies in a temporary folder, or in DIR, which stays.

The image is started as a container platform would start it: as its user, with a read-only root,
without capabilities, and without a writable /tmp. Prints one line for each promise that holds. Exit
codes: 0, or 1 for a promise that does not hold.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from camlens_tools.bench.common import Failure
from camlens_tools.deploy import bases, sbom
from camlens_tools.deploy.common import (
    MODEL,
    READY_TIMEOUT_S,
    eventually,
    explain,
    free_port,
    request,
    require,
    say,
)
from camlens_tools.deploy.container import Buildah, RootFilesystem
from camlens_tools.paths import ROOT

IMAGE = "camlens:built"
USER = "10001:10001"
# Docker's: it kills a container this long after the signal to stop.
STOP_S = 10
BINARY = "usr/local/bin/camlens"
MAX_BINARY_BYTES = 25_000_000


def check_config(config):
    require(config["User"] == USER, f"the image runs as {USER}")
    require(config.get("StopSignal") in ("SIGTERM", "15"), "its stop signal is SIGTERM")
    require(
        config["Healthcheck"]["Test"] == ["CMD", "camlens", "health"],
        "its health check is `camlens health`",
    )


def check_files(root):
    size = (root / BINARY).stat().st_size
    sections = subprocess.run(
        ["readelf", "--section-headers", "--wide", str(root / BINARY)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    require(
        ".symtab" not in sections and ".debug_info" not in sections and size < MAX_BINARY_BYTES,
        f"the binary is stripped and has {size / 1e6:.1f} MB",
    )
    require(not [path for path in root.glob("tmp/*")], "the build left nothing in /tmp")


def check_service(root, config):
    port = free_port()
    environment = dict(entry.split("=", 1) for entry in config["Env"])
    environment["CAMLENS_LISTEN"] = f"127.0.0.1:{port}"
    if "CAMLENS_ADMIN_LISTEN" in environment:
        environment["CAMLENS_ADMIN_LISTEN"] = f"127.0.0.1:{free_port()}"
    command = config["Entrypoint"] + config["Cmd"]
    require(
        root.run(["sh", "-c", "(touch /tmp/x || touch /opt/camlens/x) 2>/dev/null"], config).wait()
        != 0,
        "its user cannot write, not even to /tmp",
    )
    service = root.run(command, config, environment)
    try:
        started = time.monotonic()
        if not eventually(lambda: is_ready(service, port), READY_TIMEOUT_S, 0.1):
            raise Failure("the image's service is not ready")
        say(f"ok: the service is ready after {time.monotonic() - started:.1f} s")
        check_process(service.pid)
        health = root.run(config["Healthcheck"]["Test"][1:], config, environment).wait()
        require(health == 0, "its health check says that it is healthy")
        status, headers, body = explain(port, MODEL.picture.read_bytes(), accept="image/png")
        require(
            status == 200 and body.startswith(b"\x89PNG") and headers["camlens-model"] == MODEL.id,
            f"it explains a picture: {len(body)} bytes of PNG",
        )
        check_drain(service, port)
    finally:
        service.kill()
        service.wait()


def is_ready(service, port):
    if service.poll() is not None:
        raise Failure(f"the image's service ended with {service.returncode}")
    try:
        return request(port, "GET", "/health/ready", timeout=5)[0] == 200
    except OSError:
        return False


def check_process(pid):
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    uid, groups = fields["Uid"].split()[0], fields["Groups"].split()
    capabilities = int(fields["CapBnd"], 16) | int(fields["CapEff"], 16)
    require(
        (uid, groups, capabilities, fields["NoNewPrivs"]) == ("10001", [], 0, "1"),
        "it runs as uid 10001, without groups and capabilities",
    )


def check_drain(service, port):
    """A shutdown in the middle of the longest work ends before Docker kills."""
    statuses = []

    def work():
        query = "&method=scorecam&layer=conv_head"
        statuses.append(explain(port, MODEL.picture.read_bytes(), query)[0])

    client = threading.Thread(target=work)
    client.start()
    time.sleep(1)
    stopped = time.monotonic()
    service.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        service.wait(STOP_S)
    seconds = time.monotonic() - stopped
    client.join()
    require(
        service.returncode == 0 and statuses[0] in (200, 503),
        f"stopped in the middle of a Score-CAM it ends in order after {seconds:.1f} s, "
        f"and the client gets {statuses[0]}",
    )


def build(buildah, how):
    if how == "debootstrap":
        bases.make(buildah)
    started = time.monotonic()
    # Buildah's own format has no health check.
    buildah.run(
        "build",
        "--format=docker",
        "--isolation=chroot",
        "--pull=never" if how == "debootstrap" else "--pull=true",
        f"--tag={IMAGE}",
        str(ROOT),
        quiet=False,
    )
    say(f"ok: buildah built the Dockerfile in {(time.monotonic() - started) / 60:.0f} minutes")


def examine(buildah):
    inspected = json.loads(buildah.run("inspect", "--type=image", IMAGE))
    config = inspected["Docker"]["config"]
    check_config(config)
    with buildah.mounted(IMAGE) as mounted:
        check_files(mounted)
        say(f"ok: {sbom.check(mounted / 'opt/camlens/sbom.cdx.json')}")
        check_service(RootFilesystem(mounted), config)


def main():
    parser = argparse.ArgumentParser(
        prog=sys.argv[0],
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--bases", choices=["debootstrap", "pull"], default="debootstrap")
    parser.add_argument("--storage", type=Path, help="where images lie; kept, with its cache")
    args = parser.parse_args()
    if os.geteuid() != 0:
        raise Failure("building and starting an image takes root")
    folder = args.storage or Path(tempfile.mkdtemp(prefix="camlens-image-"))
    buildah = Buildah(folder)
    try:
        build(buildah, args.bases)
        examine(buildah)
    finally:
        if not args.storage:
            buildah.remove_everything()
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"deploy: {failure}")
