"""Buildah in a storage of its own, and an image's files started as a container would be.

Buildah's `run` writes to the root and keeps capabilities, so the image is started here: in a mount
namespace of its own whose root is read-only, with chroot and setpriv.
"""

import contextlib
import os
import shlex
import shutil
import subprocess
from pathlib import Path

from camlens_tools.bench.common import Failure

NAMESPACE = """
set -e
mount --bind {root} {root}
mount -o remount,bind,ro {root}
mount -t proc proc {root}/proc
mount --rbind /dev {root}/dev
exec chroot {root} "$@"
"""


class Buildah:
    """Runs buildah; images, containers and caches lie in one folder."""

    def __init__(self, folder):
        if not shutil.which("buildah"):
            raise Failure("there is no buildah (Debian: apt install buildah)")
        self.folder = Path(folder)
        self.scratch = self.folder / "tmp"
        self.scratch.mkdir(parents=True, exist_ok=True)

    def run(self, command, *arguments, quiet=True):
        """Runs a command of buildah; returns its output."""
        line = ["nice", "buildah", f"--root={self.folder / 'root'}"]
        line += [f"--runroot={self.folder / 'run'}", command, *map(str, arguments)]
        # Buildah's caches follow TMPDIR.
        environment = {**os.environ, "TMPDIR": str(self.scratch)}
        output = subprocess.PIPE if quiet else None
        run = subprocess.run(
            line, check=False, env=environment, stdout=output, stderr=output, text=True
        )
        if run.returncode != 0:
            raise Failure(f"buildah {command} failed: {(run.stderr or '').strip()[-2000:]}")
        return (run.stdout or "").strip()

    @contextlib.contextmanager
    def mounted(self, image):
        """The folder of an image's files."""
        name = self.run("from", "--pull=never", image)
        try:
            yield Path(self.run("mount", name))
        finally:
            self.run("rm", name)

    def remove_everything(self):
        # Mounts are undone first; the files are the caller's to remove.
        with contextlib.suppress(Failure):
            self.run("rm", "--all")
            self.run("rmi", "--all", "--force")


class RootFilesystem:
    """Starts processes in an image's files as a container platform would."""

    def __init__(self, root):
        self.root = root

    def run(self, command, config, environment=None):
        """Starts a command as the image's user, with its environment and working directory."""
        user, group = config["User"].split(":")
        environment = environment or dict(entry.split("=", 1) for entry in config["Env"])
        line = ["unshare", "--mount", "--propagation=private", "sh", "-c"]
        line += [NAMESPACE.format(root=shlex.quote(str(self.root))), "sh"]
        line += ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]
        line += ["--no-new-privs", "--bounding-set=-all"]
        line += ["--inh-caps=-all"]  # typos: ignore
        line += ["env", "--ignore-environment", f"--chdir={config['WorkingDir'] or '/'}"]
        line += [f"{name}={value}" for name, value in environment.items()]
        return subprocess.Popen([*line, *command], stdin=subprocess.DEVNULL)
