"""Debian's nginx, configured as in deploy/compose, in front of instances on this machine."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from camlens_tools.bench.common import Failure
from camlens_tools.deploy.common import COMPOSE, eventually, free_port, request

SOURCE = COMPOSE / "nginx"
SERVER = re.compile(r"server [\w.-]+:8080 (.*);")


def executable():
    # Debian installs it where only root's PATH looks.
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not found:
        raise Failure("there is no nginx (Debian: apt install nginx-light)")
    return found


def version():
    output = subprocess.run([executable(), "-v"], check=True, capture_output=True, text=True).stderr
    return tuple(int(part) for part in re.search(r"nginx/([\d.]+)", output)[1].split("."))


def replace(text, old, new):
    """Like str.replace, but for something that is there."""
    if old not in text:
        raise Failure(f"deploy/compose/nginx no longer has {old!r}")
    return text.replace(old, new)


def write_configuration(folder, port, instance_ports, change=lambda text: text):
    """Copies the configuration; only addresses and paths differ from what Compose uses.

    `change` may alter nginx.conf further, for a control of a test.
    """
    server = (SOURCE / "nginx.conf").read_text(encoding="utf-8")
    server = replace(server, "listen 8080 reuseport", f"listen 127.0.0.1:{port}")
    server = replace(server, "/tmp/", f"{folder}/")
    server = replace(server, "/dev/stdout", f"{folder}/access.log")
    upstream = (SOURCE / "upstream.conf").read_text(encoding="utf-8")
    parameters = SERVER.findall(upstream)
    # `resolve` follows the names of Docker's network; there are none here, and Debian's nginx is
    # older than the parameter (1.27.3).
    lines = [
        f"server 127.0.0.1:{instance_port} {replace(parameters[0], ' resolve', '')};"
        for instance_port in instance_ports
    ]
    replacements = iter(lines)
    upstream = SERVER.sub(lambda _: next(replacements, ""), upstream)
    upstream = re.sub(r"(?m)^resolver .*;$", "", upstream)
    (folder / "nginx.conf").write_text(change(server), encoding="utf-8")
    (folder / "upstream.conf").write_text(upstream, encoding="utf-8")
    return folder / "nginx.conf"


def check():
    """Runs `nginx -t`; returns what was checked."""
    with tempfile.TemporaryDirectory(prefix="camlens-nginx-") as folder:
        path = write_configuration(Path(folder), 8080, [8081, 8082])
        run = subprocess.run(
            [executable(), "-t", "-c", str(path)], check=False, capture_output=True, text=True
        )
        if run.returncode != 0:
            raise Failure(f"nginx -t: {run.stderr.strip()}")
    return f"nginx {'.'.join(map(str, version()))} -t accepts compose/nginx"


class Proxy:
    """A running nginx."""

    def __init__(self, instances, change=lambda text: text):
        self.folder = Path(tempfile.mkdtemp(prefix="camlens-nginx-"))
        # nginx's workers are not root.
        self.folder.chmod(0o755)
        self.port = free_port()
        ports = [instance.port for instance in instances]
        path = write_configuration(self.folder, self.port, ports, change)
        self.log = open(self.folder / "error.log", "wb")
        self.process = subprocess.Popen(
            [executable(), "-c", str(path), "-g", "daemon off;"],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )

    def __enter__(self):
        if not eventually(self.answers, 10):
            raise Failure(f"nginx did not start: {self.errors()}")
        return self

    def __exit__(self, *exception):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()
        shutil.rmtree(self.folder)

    def answers(self):
        try:
            return request(self.port, "GET", "/health/live", timeout=5)[0] > 0
        except OSError:
            return False

    def errors(self):
        return (self.folder / "error.log").read_text(encoding="utf-8").strip()[-500:]
