"""The command and the client, as installed by the wheel."""

import os
import pathlib
import subprocess
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor

import camlens
import numpy as np
from PIL import Image

from camlens_tools.paths import GOLDEN, MODELS, ROOT

MODEL = MODELS / "efficientnet-lite0"
PICTURE = ROOT / "web" / "samples" / "coffee.jpg"
COMMAND = pathlib.Path(sysconfig.get_path("scripts")) / "camlens"


def the_command_finds_its_runtime():
    """`camlens` explains a picture anywhere, with the library of the onnxruntime package."""
    with tempfile.TemporaryDirectory() as folder:
        # Nothing of this repository is in the environment.
        environment = {"PATH": os.environ["PATH"], "HOME": folder}
        arguments = ["explain", PICTURE, "--model", MODEL, "-o", "map.npy", "--size", "layer"]
        subprocess.run([COMMAND, *arguments], cwd=folder, env=environment, check=True)
        found = np.load(pathlib.Path(folder) / "map.npy")
    assert found.shape == (7, 7) and found.max() == 1, found


def every_form_of_an_image_gives_the_same_map():
    """Path, bytes, array and picture give the same map, with a type, labels and warnings."""
    pixels = np.asarray(Image.open(PICTURE).convert("RGB"))
    with camlens.Engine(MODEL, threads=1) as engine:
        first = engine.explain(PICTURE, method="gradcam")
        assert first.map.dtype == np.float32 and first.map.shape == (7, 7)
        assert np.asarray(first).max() == 1
        assert first.target.label == "espresso" and 0.5 < first.target.probability < 1
        assert first.method == "gradcam" and first.layer == "conv_head" and not first.empty
        for image in [PICTURE.read_bytes(), str(PICTURE)]:
            assert (engine.explain(image, method="gradcam").map == first.map).all()
        for image in [pixels, Image.open(PICTURE)]:
            # Pillow's JPEG decoder may differ from the service's by a level here and there.
            assert np.abs(engine.explain(image, method="gradcam").map - first.map).max() < 0.02
        gray = engine.explain(pixels.mean(axis=2).astype(np.uint8), method="gradcam")
        assert gray.map.shape == (7, 7)
        assert [one.label for one in engine.predict(PICTURE, top_k=2)][0] == "espresso"
        assert engine.models()[0]["id"] == "efficientnet-lite0"
        assert engine.model("efficientnet-lite0")["layers"]
        negative = engine.explain(PICTURE, target="espresso", negate=True, max_channels=None)
        assert negative.body["negate"] is True


def what_is_wrong_is_said():
    """A bad image, option, type or address is an error with a reason."""

    def refused(call, *arguments, **options):
        try:
            call(*arguments, **options)
        except (camlens.CamlensError, TypeError, ValueError) as error:
            return error
        raise AssertionError("no error")

    with camlens.Engine(MODEL, threads=1) as engine:
        error = refused(engine.explain, b"no picture")
        assert (error.type, error.status) == ("unsupported-image", 415), error
        error = refused(engine.explain, PICTURE, method="gradcan")
        assert error.type == "invalid-option" and "gradcam" in str(error), error
        error = refused(engine.explain, np.zeros((4, 4, 3), np.float32))
        assert "uint8" in str(error), error
        assert "each class" in str(refused(engine.explain, PICTURE, target="1,2"))
        url = f"http://{engine._parts.netloc}"
        other = camlens.Client(url)
        assert other.predict(PICTURE)[0].label == "espresso"
    assert "no response" in str(refused(other.predict, PICTURE))
    assert "no address" in str(refused(camlens.Client, "localhost:80"))


def an_engine_that_can_not_start_says_why_and_leaves_nothing():
    """A broken or absent model file is an error; no process and no folder stay behind."""
    with tempfile.TemporaryDirectory() as folder:
        broken = pathlib.Path(folder) / "broken.onnx"
        broken.write_bytes(b"no model")
        for path, reason in [
            (broken, "broken"),
            (broken.with_name("gone.onnx"), "there is no model"),
        ]:
            try:
                camlens.Engine(path, threads=1)
            except camlens.CamlensError as error:
                assert reason in str(error), error
            else:
                raise AssertionError("it started")
    assert subprocess.run(["pgrep", "-f", f"{COMMAND} serve"], capture_output=True).returncode == 1


def a_single_file_is_a_model():
    """An .onnx file without a manifest is enough, and says what was assumed."""
    with camlens.Engine(GOLDEN / "dialects" / "tinyvgg-torchscript.onnx", threads=1) as engine:
        found = engine.explain(PICTURE, method="gradcam++", layer=None)
        assert [one["code"] for one in found.warnings].count("preprocessing-guessed") == 1


def threads_share_an_engine():
    """Eight threads get the answers to their own questions."""
    with camlens.Engine(MODEL) as engine:
        alone = [engine.explain(PICTURE, target=target).map for target in range(4)]
        with ThreadPoolExecutor(8) as pool:
            asked = pool.map(lambda at: engine.explain(PICTURE, target=at % 4), range(40))
            for at, found in enumerate(asked):
                assert found.target.index == at % 4
                assert (found.map == alone[at % 4]).all()


CHECKS = [
    the_command_finds_its_runtime,
    every_form_of_an_image_gives_the_same_map,
    what_is_wrong_is_said,
    an_engine_that_can_not_start_says_why_and_leaves_nothing,
    a_single_file_is_a_model,
    threads_share_an_engine,
]
