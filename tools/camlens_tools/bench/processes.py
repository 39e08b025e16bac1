"""The contestants as processes: workers that speak JSON lines, and the camlens service."""

import http.client
import json
import os
import pathlib
import socket
import subprocess
import time

from camlens_tools import modules
from camlens_tools.bench.common import Failure, Skipped
from camlens_tools.paths import BENCH_OUT, ROOT, RUNTIME_LIBRARY

LOGS = BENCH_OUT / "logs"
READY_TIMEOUT_S = 180
REQUEST_TIMEOUT_S = 3600


def open_log(name):
    LOGS.mkdir(parents=True, exist_ok=True)
    return open(LOGS / (name + ".log"), "w", encoding="utf-8")


def cpu_s(pid):
    """Processor time of a process so far, in seconds."""
    # The second field may hold spaces; the fields behind it don't.
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def tail(name):
    """The last line of a process's log, usually the reason why it ended."""
    lines = (LOGS / (name + ".log")).read_text(encoding="utf-8").strip().splitlines()
    return lines[-1] if lines else "its log is empty"


def free_port():
    """A port of 127.0.0.1 on which nothing listens now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Worker:
    """A Python process that runs one action at a time on request, and otherwise sleeps.

    `script` is a module of camlens_tools.bench.workers.
    """

    def __init__(self, python, script, *arguments, name):
        self.name = name
        command = modules.command(f"bench.workers.{script}", *arguments, python=python)
        with open_log(name) as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
                env=modules.environment(),
            )
        self.pid = self.process.pid
        try:
            self.hello = self.read_message()
        except Failure as failure:
            raise Skipped(str(failure)) from failure
        if "skipped" in self.hello:
            self.stop()
            raise Skipped(self.hello["skipped"])

    def read_message(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise Failure(f"{self.name} ended: {tail(self.name)}")
        return json.loads(line)

    def ask(self, action, **arguments):
        """Runs an action; returns its milliseconds by the worker's own clock."""
        return self.ask_result(action, **arguments)[0]

    def ask_result(self, action, **arguments):
        """Runs an action; returns its milliseconds by the worker's own clock, and its result."""
        self.process.stdin.write(json.dumps(dict(arguments, do=action)) + "\n")
        self.process.stdin.flush()
        message = self.read_message()
        return message["ms"], message["result"]

    def stop(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Service:
    """`camlens serve` on a free port with the models of one folder, over one connection.

    `prepare` is called in the process before the service starts.
    """

    def __init__(self, binary, models, threads, name="camlens", settings=None, prepare=None):
        self.name = name
        port = free_port()
        defaults = {
            "CAMLENS_THREADS": str(threads),
            "CAMLENS_LOG_LEVEL": "warn",
            "CAMLENS_REQUEST_TIMEOUT_MS": str(REQUEST_TIMEOUT_S * 1000),
            "CAMLENS_RUNTIME": str(RUNTIME_LIBRARY),
        }
        # CAMLENS_ variables of the user's shell must not change what is measured.
        inherited = {
            key: value for key, value in os.environ.items() if not key.startswith("CAMLENS_")
        }
        command = [str(binary), "serve", "--listen", f"127.0.0.1:{port}", "--models", str(models)]
        started = time.perf_counter()
        with open_log(name) as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**inherited, **defaults, **(settings or {})},
                preexec_fn=prepare,
            )
        self.pid = self.process.pid
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_TIMEOUT_S)
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        self.ready_s = time.perf_counter() - started

    def wait_until_ready(self):
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failure(f"camlens ended: {tail(self.name)}")
            try:
                self.connection.request("GET", "/health/ready")
                response = self.connection.getresponse()
                response.read()
                if response.status == 200:
                    return
            except (OSError, http.client.HTTPException):
                self.connection.close()
            time.sleep(0.1)
        raise Failure(f"camlens was not ready after {READY_TIMEOUT_S} s: {tail(self.name)}")

    def connect(self):
        """Reopens the connection if the server has closed it as idle."""
        try:
            self.connection.request("GET", "/health/live")
            self.connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            self.connection.close()  # the next request reopens it
            self.connection.connect()

    def post(self, path, picture):
        """Sends one request; returns (milliseconds from first byte out to last byte in, body)."""
        self.connect()
        start = time.perf_counter()
        self.connection.request("POST", path, body=picture, headers={"Content-Type": "image/png"})
        response = self.connection.getresponse()
        body = response.read()
        ms = (time.perf_counter() - start) * 1e3
        if response.status != 200:
            raise Failure(f"POST {path}: {response.status} {body[:300].decode(errors='replace')}")
        return ms, body

    def memory_mib(self):
        """The kernel's memory figures of the process, in MiB."""
        found = {}
        for file, fields in (
            ("status", ("VmRSS", "VmHWM", "RssAnon", "RssFile")),
            ("smaps_rollup", ("Pss",)),
        ):
            for line in (
                pathlib.Path(f"/proc/{self.pid}/{file}").read_text(encoding="ascii").splitlines()
            ):
                field = line.split(":")[0]
                if field in fields:
                    found[field] = int(line.split()[1]) / 1024
        return found

    def stop(self):
        self.connection.close()
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
