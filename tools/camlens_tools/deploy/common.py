"""Shared by the deployment checks: where the files are, output, and a running camlens."""

import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from camlens_tools.bench.common import Failure, Model, ModelsFolder
from camlens_tools.paths import BINARY, MODELS, PICTURES, ROOT, RUNTIME_LIBRARY

DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose"
VENV = ROOT / ".venv-deploy"
READY_TIMEOUT_S = 120
STOP_TIMEOUT_S = 30
REQUEST_TIMEOUT_S = 120

# The small model: the checks are about HTTP, not about the model.
MODEL = Model("efficientnet-lite0", MODELS / "efficientnet-lite0", PICTURES / "chelsea.png")


def say(line):
    print("deploy: " + line, flush=True)


def require(condition, claim):
    """Prints a claim that holds; ends the run with one that does not."""
    if not condition:
        raise Failure(f"NOT TRUE: {claim}")
    say(f"ok: {claim}")


def add_binary_option(parser):
    parser.add_argument("--binary", type=Path, default=BINARY, help="the camlens to run")


def models_folder():
    return ModelsFolder([MODEL])


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def eventually(condition, timeout_s, interval_s=0.02):
    """Whether the condition becomes true within the time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(interval_s)
    return False


def request(port, method, path, body=None, headers=None, timeout=REQUEST_TIMEOUT_S):
    """One request on a connection of its own; returns (status, headers, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, response.read()
    finally:
        connection.close()


def explain(port, body, query="", accept="application/json"):
    path = f"/v1/explain?model={MODEL.id}{query}"
    headers = {"Content-Type": "application/octet-stream", "Accept": accept}
    return request(port, "POST", path, body, headers)


def map_of(body):
    """What a JSON response says about the picture: everything but the times."""
    response = json.loads(body)
    del response["timing_ms"]
    return response


class Instance:
    """`camlens serve` on a port of its own, which a restart keeps."""

    def __init__(self, binary, models, settings=None):
        self.port = free_port()
        self.binary = binary
        inherited = {
            key: text for key, text in os.environ.items() if not key.startswith("CAMLENS_")
        }
        self.environment = {
            **inherited,
            "CAMLENS_LISTEN": f"127.0.0.1:{self.port}",
            "CAMLENS_MODELS": str(models),
            "CAMLENS_RUNTIME": str(RUNTIME_LIBRARY),
            "CAMLENS_LOG_LEVEL": "warn",
            **(settings or {}),
        }
        self.log = tempfile.TemporaryFile()
        self.process = None
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop(signal.SIGKILL)
        self.log.close()

    def start(self):
        try:
            self.process = subprocess.Popen(
                [str(self.binary), "serve"],
                stdin=subprocess.DEVNULL,
                stdout=self.log,
                stderr=self.log,
                cwd=ROOT,
                env=self.environment,
            )
        except OSError as error:
            raise Failure(f"{self.binary}: {error.strerror} (make build)") from error

    def stop(self, by=signal.SIGTERM):
        """Ends the process; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(by)
        return self.process.wait(STOP_TIMEOUT_S)

    def restart(self, by=signal.SIGTERM):
        self.stop(by)
        self.start()
        self.wait_until_ready()

    def wait_until_ready(self):
        if not eventually(self.is_ready, READY_TIMEOUT_S, 0.1):
            raise Failure(f"camlens was not ready after {READY_TIMEOUT_S} s: {self.last_line()}")

    def is_ready(self):
        if self.process.poll() is not None:
            raise Failure(f"camlens ended: {self.last_line()}")
        try:
            return request(self.port, "GET", "/health/ready", timeout=5)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def last_line(self):
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").splitlines()
        return lines[-1] if lines else "its log is empty"

    def scrape(self):
        """The text of /metrics, and its content type."""
        status, headers, body = request(self.port, "GET", "/metrics")
        if status != 200:
            raise Failure(f"/metrics responds with {status}")
        return body.decode(), headers["content-type"]

    def gauge(self, name):
        """The sum of a gauge over its labels."""
        samples = [line.rsplit(" ", 1) for line in self.scrape()[0].splitlines() if line[0] != "#"]
        values = [float(value) for key, value in samples if key.split("{")[0] == name]
        if not values:
            raise Failure(f"/metrics has no {name}")
        return sum(values)
