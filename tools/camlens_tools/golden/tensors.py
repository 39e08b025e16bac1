"""Every float tensor of some small models, as plain ONNX Runtime computes it.

    python tools golden.tensors

Writes tests/golden/tensors.json: for each model of tests/golden and each tensor of floats with at
least three axes, its sizes, mean, root mean square, least and largest value for the first image of
the model's .npz file. The tensor is declared an output of the file, and no graph optimisation is
on. The numbers do not depend on the order of a tensor's axes, so they hold for maps of it, too.
Runs in the torch environment (requirements/golden-torch.txt).
"""

import argparse
import json

import numpy as np
import onnx
import onnxruntime

from camlens_tools.paths import GOLDEN

MODELS = [
    "dialects/tinyvgg-torchscript",
    "dialects/tinyvgg-keras",
    "dialects/tinylite",
    "dialects/tinymix",
    "zoo/densenet-torchscript",
    "zoo/shufflenet-dynamo",
    "zoo/swin-torchscript",
    "zoo/maxvit-dynamo",
    "zoo/vit-torchscript",
    "zoo/convnext-torchscript",
]


def tensors(path):
    model = onnx.load(GOLDEN / f"{path}.onnx")
    x = np.load(GOLDEN / f"{path}.npz")["x"][:1]
    names = [name for node in model.graph.node for name in node.output if name]
    declared = {output.name for output in model.graph.output}
    for name in names:
        if name not in declared:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    outputs = session.run(names, {session.get_inputs()[0].name: x})
    known = {}
    for name, value in zip(names, outputs, strict=True):
        if getattr(value, "dtype", None) != np.float32 or value.ndim < 3:
            continue
        exact = value.astype(np.float64)
        numbers = [exact.mean(), np.sqrt((exact**2).mean()), exact.min(), exact.max()]
        known[name] = {
            "sizes": list(value.shape),
            "numbers": [float(f"{number:.7g}") for number in numbers],
        }
    return known


def main():
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    models = {path: tensors(path) for path in MODELS}
    lines = []
    for path, known in models.items():
        rows = ",\n".join(
            f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in known.items()
        )
        lines.append(f"{json.dumps(path)}: {{\n{rows}\n}}")
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    (GOLDEN / "tensors.json").write_text(text)


if __name__ == "__main__":
    main()
