"""Look inside an ONNX file with ONNX Runtime, to tie its tensors to a framework's.

Exporters name tensors as they please. The tie is made by value: the file is run
with its float tensors as extra outputs, and a layer's tensor is the first one,
in graph order, that holds what the framework's layer holds.
"""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from camlens_tools.golden import common

DIALECTS = common.GOLDEN / "dialects"
LIMIT = 1e-5


def session(path, extra=()):
    """External data is read from the file's folder, so that is put back inline."""
    model = onnx.load(path)
    known = {output.name for output in model.graph.output}
    for name in extra:
        if name not in known:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    options = onnxruntime.SessionOptions()
    # Fusions would remove tensors that are asked for; this is a reference run.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run_each(path, x, names):
    """One run a sample, so that a file with a fixed batch of 1 takes part too."""
    found = session(path, names)
    feed = found.get_inputs()[0].name
    runs = [found.run(list(names), {feed: x[i : i + 1]}) for i in range(len(x))]
    return {name: np.concatenate([run[k] for run in runs]) for k, name in enumerate(names)}


def float_tensors(path, x):
    """Every rank-4 float tensor that has the batch in front, in graph order."""
    model = onnx.load(path)
    names = [
        name
        for node in model.graph.node
        for name in node.output
        if name and node.op_type != "Constant"
    ]
    found = session(path, names)
    feed = found.get_inputs()[0].name
    runs = [found.run(names, {feed: x[i : i + 1]}) for i in range(len(x))]
    tensors = {}
    for k, name in enumerate(names):
        values = [run[k] for run in runs]
        if values[0].dtype == np.float32 and values[0].ndim == 4 and values[0].shape[0] == 1:
            tensors[name] = np.concatenate(values)
    return tensors


def distance(a, b):
    scale = max(1.0, float(np.abs(b).max()))
    return float(np.abs(a - b).max()) / scale


def tie(path, x, activations):
    """{layer: tensor name}; `activations` are in the layout of the file's tensors."""
    tensors = float_tensors(path, x)
    tied, worst = {}, 0.0
    for layer, value in activations.items():
        near = [
            n for n, t in tensors.items() if t.shape == value.shape and distance(t, value) <= LIMIT
        ]
        if not near:
            raise SystemExit(f"{Path(path).name}: no tensor holds {layer}")
        tied[layer] = near[0]
        worst = max(worst, distance(tensors[near[0]], value))
    if len(set(tied.values())) != len(tied):
        raise SystemExit(f"{Path(path).name}: two layers share a tensor: {tied}")
    print(f"{Path(path).name}: {len(tied)} layers tied, worst relative difference {worst:.1e}")
    return tied


def softmax(logits):
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def write(name, model_path, x, logits, target, acts, grads, layers):
    """Check the ONNX file against the framework, then write its arrays."""
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
    tied = tie(model_path, x, {layer: acts[layer] for layer in layers})
    arrays = {"x": x, "logits": logits, "probabilities": probabilities, "target": target}
    for layer, tensor in tied.items():
        arrays[f"act|{tensor}"] = acts[layer]
        arrays[f"grad|{tensor}"] = grads[layer]
    common.save(DIALECTS / f"{name}.npz", arrays)
    note(f"{name}.onnx", tied)


def note(file, tied):
    """layers.json: {file: {layer: tensor}}, kept sorted so that reruns do not differ."""
    path = DIALECTS / "layers.json"
    everything = json.loads(path.read_text()) if path.exists() else {}
    everything[file] = tied
    path.write_text(json.dumps(dict(sorted(everything.items())), indent=1) + "\n")
