"""Counts the ReLUs that are open in ONNX Runtime's float32 and closed in float64, or vice versa.

    python tools conformance.gates [--into FOLDER] ARCHITECTURE ...

For an architecture whose gradients differ in the conformance table. One gate that differs changes
every gradient below it although no backward pass is wrong. This script runs only the forward pass,
and not in camlens.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from camlens_tools.conformance import zoo
from camlens_tools.paths import ZOO


def gates(name, folder):
    """Prints a line for each ReLU whose gates differ. Graph order equals module order."""
    exact = []
    model = zoo.build(name, zoo.ARCHITECTURES[name][0]).double()
    for module in model.modules():
        if isinstance(module, torch.nn.ReLU):
            module.register_forward_hook(
                lambda _module, _inputs, output: exact.append(output.clone().numpy())
            )
    x = np.load(folder / "reference.npz")["x"]
    model(torch.from_numpy(x).double())
    graph = onnx.load(folder / "model.onnx")
    names = [node.output[0] for node in graph.graph.node if node.op_type == "Relu"]
    graph.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found = session.run(names, {session.get_inputs()[0].name: x})
    if len(found) != len(exact):
        raise SystemExit(
            f"{name}: {len(found)} ReLUs in the file, {len(exact)} modules; functional ReLUs "
            "cannot be hooked"
        )
    total = 0
    for tensor, single, double in zip(names, found, exact):
        differ = (single > 0) != (double > 0)
        total += differ.sum()
        if differ.any():
            print(
                f"{name}: {tensor}: {differ.sum()} of {differ.size}, images "
                f"{sorted(set(np.argwhere(differ)[:, 0].tolist()))}"
            )
    print(f"{name}: {total} gates differ")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, default=ZOO)
    parser.add_argument("architecture", nargs="+")
    arguments = parser.parse_args()
    for name in arguments.architecture:
        gates(name, arguments.into / name / "torchscript")


if __name__ == "__main__":
    main()
