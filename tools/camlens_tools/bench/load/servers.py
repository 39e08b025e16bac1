"""The servers under load: camlens, and the plain server of examples/plain_server.rs."""

import http.client
import subprocess
import time

from camlens_tools.bench.common import Failure
from camlens_tools.bench.processes import READY_TIMEOUT_S, Service, free_port, open_log, tail
from camlens_tools.paths import MODELS, RUNTIME_LIBRARY

MODEL = "efficientnet-lite0"
PREDICT = f"/v1/predict?model={MODEL}"
EXPLAIN = f"/v1/explain?model={MODEL}&method=gradcam%2B%2B"


class Camlens(Service):
    """camlens with both models and an admin port."""

    predict = PREDICT

    def __init__(self, binary, threads, settings=None, prepare=None):
        self.admin = ("127.0.0.1", free_port())
        defaults = {
            "CAMLENS_ADMIN_LISTEN": f"127.0.0.1:{self.admin[1]}",
            # As it is served; bench.processes waits longer, for peers.
            "CAMLENS_REQUEST_TIMEOUT_MS": "300000",
        }
        settings = {**defaults, **(settings or {})}
        super().__init__(binary, MODELS, threads, "load", settings, prepare)
        self.address = (self.connection.host, self.connection.port)
        # Its place must not be counted, and it would be cut as idle.
        self.connection.close()

    def metrics(self):
        """The samples of /metrics by name and labels."""
        connection = http.client.HTTPConnection(*self.admin, timeout=30)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        samples = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in samples}


class PlainServer:
    """The plain server, with one model."""

    predict = "/predict"

    def __init__(self, binary, threads, prepare=None):
        self.address = ("127.0.0.1", free_port())
        command = [binary, ":".join(map(str, self.address)), RUNTIME_LIBRARY]
        command += [MODELS / MODEL / "model.onnx", threads]
        with open_log("plain") as log:
            self.process = subprocess.Popen(
                list(map(str, command)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=prepare,
            )
        self.pid = self.process.pid
        try:
            self.wait_until_live()
        except BaseException:
            self.stop()
            raise

    def wait_until_live(self):
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failure(f"the plain server ended: {tail('plain')}")
            connection = http.client.HTTPConnection(*self.address, timeout=5)
            try:
                connection.request("GET", "/health/live")
                connection.getresponse().read()
                return
            except OSError:
                time.sleep(0.1)
            finally:
                connection.close()
        raise Failure(f"the plain server was not live after {READY_TIMEOUT_S} s")

    def stop(self):
        # It has no orderly shutdown.
        self.process.kill()
        self.process.wait()
