#!/usr/bin/env python3
"""Makes a full-size VGG16 whose convolutions are the real ImageNet ones.

    imagenet_vgg16.py FULL_SIZE_FOLDER INTO

The 13 convolutions of the model `vgg16-mri` are those of Keras's ImageNet VGG16, never trained
further; only its head is another. Put into a full-size VGG16 (scripts/export_vgg16.py, whose fully
connected layers may be random), they give the activations that natural pictures really have: how
many channels of block5_conv3 are dead, and how much of the picture a mask shows, decide how long
Score-CAM takes. Random convolutions would say nothing of that. Needs the package `onnx`.
"""

import hashlib
import pathlib
import sys

import numpy as np
import onnx
from onnx import numpy_helper

ROOT = pathlib.Path(__file__).resolve().parent.parent
MANIFEST = """# Written by bench/imagenet_vgg16.py: the ImageNet convolutions of vgg16-mri, --weights none for the rest
file = "model.onnx"
sha256 = "{digest}"
default_layer = "features.29" # after its ReLU, [512, 14, 14]

# Keras's VGG16: blue first, the mean pixel taken off.
[input]
size = [224, 224]
layout = "nchw"
color = "bgr"
resize = "bilinear"
fit = "stretch"
scale = 1.0
mean = [103.939, 116.779, 123.68]
std = [1.0, 1.0, 1.0]

[output]
kind = "logits"
"""


def convolutions(graph):
    return [node for node in graph.node if node.op_type == "Conv"]


def main():
    full, into = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    real = onnx.load(ROOT / "models" / "vgg16-mri" / "model.onnx").graph
    model = onnx.load(full / "model.onnx")
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in real.initializer}
    pairs = list(zip(convolutions(real), convolutions(model.graph), strict=True))
    assert len(pairs) == 13, "VGG16 has 13 convolutions"
    replaced = {name for _, node in pairs for name in node.input[1:]}
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in replaced]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    # An exporter may share one bias of zeros among layers, so each gets a name of its own.
    for index, (source, target) in enumerate(pairs):
        for place in (1, 2):
            name = f"imagenet.{index}.{('weight', 'bias')[place - 1]}"
            values = np.ascontiguousarray(weights[source.input[place]], np.float32)
            model.graph.initializer.append(numpy_helper.from_array(values, name))
            target.input[place] = name
    used = {name for node in model.graph.node for name in node.input}
    idle = [
        node
        for node in model.graph.node
        if node.op_type == "Identity" and node.output[0] not in used
    ]
    for node in idle:
        model.graph.node.remove(node)
    needed = {name for node in model.graph.node for name in node.input}
    rest = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    del model.graph.initializer[:]
    model.graph.initializer.extend(rest)
    onnx.checker.check_model(model)
    into.mkdir(parents=True, exist_ok=True)
    onnx.save(model, into / "model.onnx")
    digest = hashlib.sha256((into / "model.onnx").read_bytes()).hexdigest()
    (into / "model.toml").write_text(MANIFEST.format(digest=digest), encoding="utf-8")


if __name__ == "__main__":
    main()
