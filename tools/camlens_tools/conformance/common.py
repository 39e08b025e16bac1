"""Shared by zoo.py and keras_zoo.py: the choice of images, and the folders that they write."""

import json

import numpy as np
import onnx

from camlens_tools.onnx_session import inner_tensors, session_with_outputs

BATCH = 2
IMAGES_TRIED = 16
# Large inputs take long and have so many activations that another image hardly helps.
LARGE_IMAGES_TRIED = 4
# Noise on the input, about as large as the rounding errors of activations, which are around 1.
ROUNDING = 5e-7
# An image is accepted when the noise changes its gradients by at most this.
HEALTHY = 1e-5
# A layer's tensor in the ONNX file equals the module's output up to rounding.
SAME = 1e-4


def pair(size):
    """Height and width."""
    return size if isinstance(size, tuple) else (size, size)


def relative(a, b):
    """The largest difference as a part of the largest magnitude of `b`."""
    return float(np.abs(a - b).max() / np.abs(b).max())


def choose(size, probe):
    """Batches the first images whose gradients rounding does not change, or the best there are.

    `probe` makes one image with its scores, activations and gradients.
    """
    tried = []
    for _ in range(LARGE_IMAGES_TRIED if max(pair(size)) > 112 else IMAGES_TRIED):
        tried.append(probe())
        tried.sort(key=lambda image: image["conditioning"])
        del tried[BATCH:]
        if len(tried) == BATCH and tried[-1]["conditioning"] <= HEALTHY:
            break
    found = {
        key: np.concatenate([image[key] for image in tried]) for key in ("x", "logits", "target")
    }
    modules = tried[0]["grads"]
    for key in ("acts", "grads", "single"):
        found[key] = {
            path: np.concatenate([image[key][path] for image in tried]) for path in modules
        }
    found["conditioning"] = tried[-1]["conditioning"]
    found["errors"] = {
        path: relative(found["single"][path], found["grads"][path]) for path in modules
    }
    return found


def match_layers(path, x, acts):
    """{module: tensor or None}: the tensor of the ONNX file that holds a module's output."""
    model = onnx.load(path)
    names = inner_tensors(model)
    session = session_with_outputs(model, names, threads=1)
    del model
    values = session.run(names, {session.get_inputs()[0].name: x[:1]})
    matched = {}
    for module, act in acts.items():
        same = (
            name
            for name, value in zip(names, values)
            if value.shape == (1, *act.shape[1:])
            and value.dtype == np.float32
            and relative(value, act[:1]) <= SAME
        )
        matched[module] = next(same, None)
    return matched


def manifest(size, layers):
    """A model.toml with identity preprocessing and the early layer as the default."""
    return (
        f'file = "model.onnx"\ndefault_layer = "{layers[0]["module"]}"\n'
        f"[input]\nsize = [{size}, {size}]\nscale = 1.0\nmean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, "
        "1.0]\n"
        "[layers]\n" + "".join(f'"{layer["module"]}" = "{layer["tensor"]}"\n' for layer in layers)
    )


def write(folder, size, found, matched):
    """Writes the arrays, the manifest, and last layers.json, which marks the folder complete."""
    layers = [
        {"module": module, "tensor": tensor, "framework_error": found["errors"][module]}
        for module, tensor in matched.items()
        if tensor is not None
    ]
    arrays = {"x": found["x"], "target": found["target"]}
    arrays["logits"] = found["logits"].astype(np.float32)
    for module in (layer["module"] for layer in layers):
        # Without rounding: exact.py compares in float64.
        arrays[f"grad|{module}"] = found["grads"][module].astype(np.float64)
        arrays[f"act|{module}"] = found["acts"][module].astype(np.float64)
    np.savez(folder / "reference.npz", **arrays)
    (folder / "model.toml").write_text(manifest(size, layers))
    (folder / "layers.json").write_text(json.dumps({"layers": layers}, indent=1) + "\n")
