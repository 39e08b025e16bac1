"""Matches the tensors of an ONNX file to the layers of a framework, by value.

A layer's tensor is the first one, in graph order, that holds the values of the framework's layer.
"""

import json
from pathlib import Path

import numpy as np
import onnx

from camlens_tools.golden import common
from camlens_tools.onnx_session import inner_tensors, session_with_outputs

DIALECTS = common.GOLDEN / "dialects"
LIMIT = 1e-5


def run_each(path, x, names):
    """The tensors `names` for every sample of `x`.

    Samples run one by one, so that a file with a fixed batch of 1 can be run, too.
    """
    # onnx.load reads external data from the file's folder and puts it inline.
    session = session_with_outputs(onnx.load(path), names)
    feed = session.get_inputs()[0].name
    runs = [session.run(list(names), {feed: x[i : i + 1]}) for i in range(len(x))]
    return {name: np.concatenate([run[k] for run in runs]) for k, name in enumerate(names)}


def float_tensors(path, x):
    """Every float tensor `[N, ...]` of rank 4, in graph order."""
    model = onnx.load(path)
    names = inner_tensors(model)
    session = session_with_outputs(model, names)
    feed = session.get_inputs()[0].name
    runs = [session.run(names, {feed: x[i : i + 1]}) for i in range(len(x))]
    tensors = {}
    for k, name in enumerate(names):
        values = [run[k] for run in runs]
        if values[0].dtype == np.float32 and values[0].ndim == 4 and values[0].shape[0] == 1:
            tensors[name] = np.concatenate(values)
    return tensors


def distance(a, b):
    """The largest difference, relative to the largest magnitude of `b` if that exceeds 1."""
    scale = max(1.0, float(np.abs(b).max()))
    return float(np.abs(a - b).max()) / scale


def match_layers(path, x, activations):
    """{layer: tensor name}; `activations` are in the layout of the file's tensors."""
    tensors = float_tensors(path, x)
    matched, worst = {}, 0.0
    for layer, value in activations.items():
        near = [
            n for n, t in tensors.items() if t.shape == value.shape and distance(t, value) <= LIMIT
        ]
        if not near:
            raise SystemExit(f"{Path(path).name}: no tensor holds {layer}")
        matched[layer] = near[0]
        worst = max(worst, distance(tensors[near[0]], value))
    if len(set(matched.values())) != len(matched):
        raise SystemExit(f"{Path(path).name}: two layers share a tensor: {matched}")
    print(
        f"{Path(path).name}: {len(matched)} layers matched, worst relative difference {worst:.1e}"
    )
    return matched


def softmax(logits):
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def write(name, model_path, x, logits, target, acts, grads, layers):
    """Checks the ONNX file against the framework, then writes its arrays."""
    graph = onnx.load(model_path).graph
    soft = graph.node[-1].op_type == "Softmax"
    output = graph.output[0].name
    logits_name = graph.node[-1].input[0] if soft else output
    ort = run_each(model_path, x, [logits_name])[logits_name]
    common.expect_close(f"{name}: logits, framework - ORT", logits, ort, 1e-5)
    probabilities = softmax(logits)
    if soft:
        ort = run_each(model_path, x, [output])[output]
        common.expect_close(f"{name}: probabilities, framework - ORT", probabilities, ort, 1e-5)
    matched = match_layers(model_path, x, {layer: acts[layer] for layer in layers})
    arrays = {"x": x, "logits": logits, "probabilities": probabilities, "target": target}
    for layer, tensor in matched.items():
        arrays[f"act|{tensor}"] = acts[layer]
        arrays[f"grad|{tensor}"] = grads[layer]
    common.save(DIALECTS / f"{name}.npz", arrays)
    record_layers(f"{name}.onnx", matched)


def record_layers(file, matched):
    """Adds {file: {layer: tensor}} to layers.json, sorted, so that a rerun changes nothing."""
    path = DIALECTS / "layers.json"
    everything = json.loads(path.read_text()) if path.exists() else {}
    everything[file] = matched
    path.write_text(json.dumps(dict(sorted(everything.items())), indent=1) + "\n")
