"""Runs the Spark job of docs/guide/export.md as it stands there (`make spark`).

Its maps have to be those of the same file without Spark, and equal the service's to 1e-2: a byte of
a resized picture may be one of two. It needs Java (Debian: default-jre-headless).

The exit status is 1 if a map differs.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from camlens_tools.bench.common import Failure, say
from camlens_tools.bench.environment import continue_in, install
from camlens_tools.paths import BINARY, DOCS, PICTURES, ROOT

VENV = ROOT / ".venv-spark"
MODEL = "efficientnet-lite0"
NAMES = ("chelsea.png", "coffee.png", "rocket.jpg")


def main():
    install("spark.txt", "pyspark, onnxruntime, pandas and Pillow", venv=VENV)
    continue_in(VENV / "bin" / "python", "clients.spark")
    import numpy as np  # noqa: PLC0415
    import onnxruntime  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    text = (DOCS / "guide" / "export.md").read_text(encoding="utf-8")
    section = text.partition("## In Spark\n")[2].partition("\n## ")[0]
    command = re.search(r"```sh\ncamlens (.*?)\n```", section)[1].split()
    script = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    with tempfile.TemporaryDirectory(prefix="camlens-spark-") as name:
        folder = pathlib.Path(name)
        out = command.index("-o") + 1
        command[out] = str(folder / command[out])
        run([BINARY, *command, "--quiet"], ROOT)
        (folder / "photos").mkdir()
        for picture in NAMES:
            shutil.copy(PICTURES / picture, folder / "photos")
        (folder / "job.py").write_text(script, encoding="utf-8")
        run([sys.executable, "job.py"], folder, PYSPARK_PYTHON=sys.executable)
        maps = pd.read_parquet(folder / "maps")
        session = onnxruntime.InferenceSession(folder / "cam.onnx")
        if len(maps) != len(NAMES):
            raise Failure(f"{len(maps)} maps of {len(NAMES)} pictures")
        for row in maps.itertuples():
            picture = pathlib.Path(row.path).name
            options = ["--method", "gradcam", "--size", "layer", "-o", folder / "map.npy"]
            run([BINARY, "explain", PICTURES / picture, *options, "--quiet"], ROOT)
            right = np.load(folder / "map.npy").ravel()
            pixels = np.array([Image.open(PICTURES / picture).convert("RGB")])
            alone = session.run(["heatmap"], {"pixels": pixels})[0].ravel()
            own = float(np.abs(row.heatmap - alone).max())
            difference = float(np.abs(row.heatmap - right).max())
            say(f"{picture}: {own:.1e} from the map of the file, {difference:.1e} from camlens")
            if not (own <= 1e-6 and difference <= 1e-2):
                raise Failure(f"{picture}: the map differs")


def run(command, folder, **variables):
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Failure(f"{command[0]}: {done.stderr.strip()[-2000:]}")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"spark: {failure}")
