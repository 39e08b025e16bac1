"""camlens as a process of its own, for as long as Python needs it."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from typing import Self

from camlens.client import Client
from camlens.results import CamlensError

EXTERNAL_DATA = (".data", "_data", ".onnx.data", ".onnx_data")


class Engine(Client):
    """A service for one model, reachable from this machine alone. It ends with the process.

    `model` is an .onnx file, or a folder with one and its model.toml. `threads` limits the threads
    that compute, and `settings` are those of config/default.toml by the names of their variables,
    such as `CAMLENS_BATCH`.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        threads: int | None = None,
        settings: dict[str, str] | None = None,
        start_timeout: float = 300,
        timeout: float = 600,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="camlens-")
        self._process: subprocess.Popen[str] | None = None
        try:
            link(Path(model), Path(self._folder.name) / "models")
            environment = {**os.environ, **(settings or {})}
            if threads is not None:
                environment["CAMLENS_THREADS"] = str(threads)
            command = [binary(), "serve", "--listen", "127.0.0.1:0"]
            command += ["--models", str(Path(self._folder.name) / "models")]
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
            atexit.register(self.close)
            self._log: deque[str] = deque(maxlen=20)
            # A pipe that nobody reads would fill up; the service would then drop its log lines.
            threading.Thread(target=self._read_log, daemon=True).start()
            super().__init__(self._address(), timeout=timeout)
            self._wait(start_timeout)
        except BaseException:
            self.close()
            raise

    def _address(self) -> str:
        assert self._process and self._process.stdout
        for line in self._process.stdout:
            found = re.search(r"http://[^/\s]+", line)
            if found:
                threading.Thread(target=self._process.stdout.read, daemon=True).start()
                return found[0]
        raise self._failure()

    def _read_log(self) -> None:
        assert self._process and self._process.stderr
        for line in self._process.stderr:
            self._log.append(line.rstrip())

    def _wait(self, seconds: float) -> None:
        """Returns once the model is loaded."""
        assert self._process
        deadline = time.monotonic() + seconds
        while True:
            if self._process.poll() is not None:
                raise self._failure()
            status, answer = self._send("GET", "/health/ready", None, {})
            if status == 200:
                return
            told = answer.decode(errors="replace").strip()
            failed = [one["error"] for one in self.models() if one.get("error")]
            if failed:
                raise CamlensError(f"the model could not be loaded: {failed[0]}")
            if time.monotonic() > deadline:
                raise CamlensError(f"the model was not loaded within {seconds:g} s: {told}")
            time.sleep(0.05)

    def _failure(self) -> CamlensError:
        assert self._process
        self._process.wait(10)
        last = "; ".join(self._log) or f"exit code {self._process.returncode}"
        return CamlensError(f"camlens did not start: {last}")

    def close(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is None:
            return
        atexit.unregister(self.close)
        if hasattr(self, "_local"):
            super().close()
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def binary() -> str:
    """The command of this installation."""
    beside = Path(sysconfig.get_path("scripts")) / "camlens"
    user = Path(sys.prefix) / "bin" / "camlens"
    for path in (beside, user):
        if path.is_file():
            return str(path)
    found = shutil.which("camlens")
    if found is None:
        raise CamlensError("the command `camlens` is not installed beside this package")
    return found


def link(model: Path, models: Path) -> None:
    """Makes a models folder that holds this model alone, by links."""
    model = model.absolute()
    if model.is_dir():
        models.mkdir()
        (models / model.name).symlink_to(model, target_is_directory=True)
        return
    if not model.is_file():
        raise CamlensError(f"there is no model {model}")
    if (model.parent / "model.toml").is_file():
        return link(model.parent, models)
    folder = models / re.sub(r"[^A-Za-z0-9_.-]", "-", model.stem)
    folder.mkdir(parents=True)
    (folder / "model.onnx").symlink_to(model)
    for ending in EXTERNAL_DATA:
        for data in (
            model.with_name(model.name + ending),
            model.with_name(model.stem + ending),
        ):
            if data.is_file() and not (folder / data.name).exists():
                (folder / data.name).symlink_to(data)
