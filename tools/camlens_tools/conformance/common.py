"""What zoo.py and keras_zoo.py share: the choice of images, and the folders that they write."""

import json

import numpy as np
import onnx
import onnxruntime

BATCH = 2
IMAGES_TRIED = 16
# Large inputs have so many activations that another image hardly helps, and take long.
LARGE_IMAGES_TRIED = 4
# Noise on the input about as large as what rounding does to the activations, which are around 1.
ROUNDING = 5e-7
# An image is taken when the noise changes its gradients by less.
HEALTHY = 1e-5
# A layer's tensor in the ONNX file holds what the module gives, up to rounding.
SAME = 1e-4


def pair(size):
    """Height and width."""
    return size if isinstance(size, tuple) else (size, size)


def relative(a, b):
    return float(np.abs(a - b).max() / np.abs(b).max())


def choose(size, probe):
    """The first images whose gradients rounding does not change; `probe` makes one and all that belongs to it."""
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


def tie(path, x, acts):
    """{module: tensor}: exporters name tensors as they please, so a layer is found by what it holds."""
    model = onnx.load(path)
    names = [
        name
        for node in model.graph.node
        for name in node.output
        if name and node.op_type != "Constant"
    ]
    known = {output.name for output in model.graph.output}
    model.graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(n) for n in names if n not in known
    )
    options = onnxruntime.SessionOptions()
    # Fusions would remove tensors that are asked for.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    del model
    values = session.run(names, {session.get_inputs()[0].name: x[:1]})
    tied = {}
    for module, act in acts.items():
        same = (
            n
            for n, v in zip(names, values)
            if v.shape == (1, *act.shape[1:])
            and v.dtype == np.float32
            and relative(v, act[:1]) <= SAME
        )
        tied[module] = next(same, None)
    return tied


def manifest(size, layers):
    """Preprocessing that changes nothing, and the early layer as the one that is ready."""
    return (
        f'file = "model.onnx"\ndefault_layer = "{layers[0]["module"]}"\n'
        f"[input]\nsize = [{size}, {size}]\nscale = 1.0\nmean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]\n"
        "[layers]\n" + "".join(f'"{layer["module"]}" = "{layer["tensor"]}"\n' for layer in layers)
    )


def write(folder, size, found, tied):
    """The arrays, the manifest, and last the note whose presence says that all is there."""
    layers = [
        {"module": module, "tensor": tensor, "framework_error": found["errors"][module]}
        for module, tensor in tied.items()
        if tensor is not None
    ]
    arrays = {"x": found["x"], "target": found["target"]}
    arrays["logits"] = found["logits"].astype(np.float32)
    for module in (layer["module"] for layer in layers):
        # As exact as they are: exact.py compares in 64 bits.
        arrays[f"grad|{module}"] = found["grads"][module].astype(np.float64)
        arrays[f"act|{module}"] = found["acts"][module].astype(np.float64)
    np.savez(folder / "reference.npz", **arrays)
    (folder / "model.toml").write_text(manifest(size, layers))
    (folder / "layers.json").write_text(json.dumps({"layers": layers}, indent=1) + "\n")
