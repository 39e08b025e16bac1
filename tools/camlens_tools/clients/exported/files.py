"""The checks of exported files; they run in a Python with numpy, onnx, onnxruntime and Pillow."""

import json
import pathlib
import re
import subprocess
import tempfile

import numpy as np
import onnx
import onnxruntime
from PIL import Image

from camlens_tools.bench.common import Failure
from camlens_tools.clients.checks import run
from camlens_tools.paths import BINARY, DOCS, PICTURES, ROOT

NODE = pathlib.Path(__file__).parent / "node"
PACKAGES = ROOT / "target" / "exported"
MODEL = "efficientnet-lite0"
METHODS = ("gradcam", "gradcam++", "eigencam", "reciprocam")
# Parts of a photograph that have the size of the model's input, so that nothing is resized.
SIDE = 224
GRADIENTS = ("gradcam", "gradcam++", "layercam", "hirescam")
PARTS = (("chelsea", 100, 30), ("coffee", 150, 100))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def camlens(*arguments):
    command = [str(BINARY), *map(str, arguments), "--quiet"]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise Failure(f"{' '.join(command)}: {done.stderr.strip()}")


def picture(folder, name, left, top):
    """A part of a picture as a file, and as the model's input, float32 [3, SIDE, SIDE]."""
    whole = Image.open(PICTURES / f"{name}.png").convert("RGB")
    part = whole.crop((left, top, left + SIDE, top + SIDE))
    path = folder / f"{name}.png"
    part.save(path)
    pixels = np.asarray(part, np.float32) / 255
    return path, ((pixels - np.float32(MEAN)) / np.float32(STD)).transpose(2, 0, 1)


def service_map(folder, path, method, size="layer"):
    out = folder / "map.npy"
    camlens("explain", path, "--method", method, "--size", size, "-o", out)
    return np.load(out)


def output_of(method):
    return "heatmap_" + method.replace("++", "pp").replace("-", "_")


def close(name, found, right, tolerance):
    difference = float(np.abs(np.asarray(found, np.float32) - right).max())
    if not difference <= tolerance:
        raise Failure(f"{name}: a map differs by {difference:.2g}")


def in_python(folder, pictures):
    """Two images in one batch, with ONNX Runtime's optimisations and without."""
    onnx.checker.check_model(onnx.load(folder / "cam.onnx"), full_check=True)
    images = np.stack([x for _, x in pictures])
    levels = onnxruntime.GraphOptimizationLevel
    for level in (levels.ORT_DISABLE_ALL, levels.ORT_ENABLE_ALL):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = level
        session = onnxruntime.InferenceSession(folder / "cam.onnx", options)
        names = [output_of(method) for method in METHODS]
        for method, maps in zip(METHODS, session.run(names, {"input": images}), strict=True):
            for (path, _), found in zip(pictures, maps, strict=True):
                close(f"{method}, {path.stem}", found, service_map(folder, path, method), 1e-5)


def node(script, *arguments):
    command = ["node", script, *map(str, arguments)]
    done = subprocess.run(command, check=False, cwd=PACKAGES, capture_output=True)
    if done.returncode:
        raise Failure(f"{script}: {done.stderr.decode(errors='replace').strip()[-2000:]}")
    return done.stdout


def in_node(folder, pictures):
    path, x = pictures[0]
    (folder / "x.bin").write_bytes(x.astype("<f4").tobytes())
    names = [output_of(method) for method in METHODS]
    raw = np.frombuffer(
        node("run.mjs", folder / "cam.onnx", folder / "x.bin", SIDE, *names), "<f4"
    ).reshape(len(METHODS), -1)
    for method, found in zip(METHODS, raw, strict=True):
        right = service_map(folder, path, method)
        close(method, found.reshape(right.shape), right, 1e-4)


def in_browser(folder, pictures):
    """The page colours a pixel by the map, in 255 steps, so it can be off by one of them."""
    text = (DOCS / "guide" / "export.md").read_text(encoding="utf-8")
    page = re.search(r"```html\n(.*?)```", text, re.DOTALL)
    (PACKAGES / "index.html").write_text(page[1], encoding="utf-8")
    camlens("export", MODEL, "--method", "gradcam", "--size", "input", "-o", PACKAGES / "cam.onnx")
    path, _ = pictures[0]
    red = np.frombuffer(node("page.mjs", path), np.uint8).reshape(SIDE, SIDE).astype(np.int32)
    heat = service_map(folder, path, "gradcam", "input")
    pixels = np.asarray(Image.open(path), np.int32)[..., 0]
    right = np.maximum(pixels, (255 * heat).round().astype(np.int32))
    if np.abs(red - right).max() > 1:
        raise Failure(f"the page's colours differ by {np.abs(red - right).max()} of 255")


def any_model(folder, model):
    """A batch of five pictures with different targets, for a model of any kind.

    The file takes pixels of the model's own size, so that nothing is resized.
    """
    options = ["--target", "input", "--with-preprocessing", "--method", ",".join(GRADIENTS)]
    camlens("export", model, *options, "-o", folder / "any.onnx")
    sessions = []
    for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_ALL"):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        sessions.append((level, onnxruntime.InferenceSession(folder / "any.onnx", options)))
    described = json.loads(sessions[0][1].get_modelmeta().custom_metadata_map["camlens.input"])
    height, width = described["size"]
    pixels, targets = [], []
    for number in range(5):
        name, left, top = PARTS[number % len(PARTS)]
        whole = Image.open(PICTURES / f"{name}.png").convert("RGB")
        box = (left + 7 * number, top // 2, left + 7 * number + 200, top // 2 + 200)
        part = whole.resize((width, height), box=box)
        part.save(folder / f"{number}.png")
        pixels.append(np.asarray(part))
        targets.append(number)
    feeds = {"pixels": np.stack(pixels), "target": np.array(targets)}
    worst = {}
    for level, session in sessions:
        maps = session.run([output_of(method) for method in GRADIENTS], feeds)
        for method, found in zip(GRADIENTS, maps, strict=True):
            for number, target in enumerate(targets):
                out = folder / "map.npy"
                options = ["--method", method, "--size", "layer", "--target", target]
                camlens("explain", folder / f"{number}.png", "--model", model, *options, "-o", out)
                difference = float(np.abs(found[number] - np.load(out)).max())
                worst[level] = max(worst.get(level, 0), difference)
    print(f"  {model}: largest difference {worst}", flush=True)
    if not max(worst.values()) <= 1e-5:
        raise Failure(f"{model}: a map differs by {max(worst.values()):.2g}")


def run_all(models=()):
    """Runs the checks; returns how many there are, and how many failed."""
    PACKAGES.mkdir(parents=True, exist_ok=True)
    for file in NODE.iterdir():
        (PACKAGES / file.name).write_bytes(file.read_bytes())
    subprocess.run(["npm", "ci", "--silent", "--no-fund", "--no-audit"], check=True, cwd=PACKAGES)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        pictures = [picture(folder, *part) for part in PARTS]
        methods = ",".join(METHODS)
        camlens("export", MODEL, "--method", methods, "-o", folder / "cam.onnx")

        def python():
            """onnxruntime for Python, two images, optimised and not"""
            in_python(folder, pictures)

        def node_wasm():
            """onnxruntime-web under Node"""
            in_node(folder, pictures)

        def browser():
            """the guide's page in Chromium"""
            in_browser(folder, pictures)

        def others():
            """further models, five images with different targets"""
            for model in models:
                any_model(folder, model)

        checks = (python, node_wasm, browser) + ((others,) if models else ())
        failed = run(checks)
    return len(checks), failed
