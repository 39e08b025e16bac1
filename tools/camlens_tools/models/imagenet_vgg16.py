"""Makes a full-size VGG16 whose convolutions hold the real ImageNet weights.

    python tools models.imagenet_vgg16 FULL_SIZE_FOLDER INTO

The 13 convolutions of the model `vgg16-mri` are those of Keras's ImageNet VGG16, never trained
further; only its head differs. This script copies them into a full-size VGG16 made by
`models.export_vgg16`, whose fully connected layers may be random. The result has realistic
activations for natural pictures: how many channels of block5_conv3 are dead, and how much of the
picture a mask shows, decide how long Score-CAM takes, and random convolutions would say nothing
about either. Needs the package `onnx`.
"""

import argparse
import pathlib

import numpy as np
import onnx
from onnx import numpy_helper

from camlens_tools import paths
from camlens_tools.checksums import sha256_of

MANIFEST = """# Written by python tools models.imagenet_vgg16:
# the ImageNet convolutions of vgg16-mri, --weights none for the rest
file = "model.onnx"
sha256 = "{digest}"
default_layer = "features.29" # after its ReLU, [512, 14, 14]

# Keras's VGG16: BGR, the mean pixel subtracted.
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("full", type=pathlib.Path, help="folder of a full-size VGG16")
    parser.add_argument("into", type=pathlib.Path, help="folder to write")
    args = parser.parse_args()
    real = onnx.load(paths.MODELS / "vgg16-mri" / "model.onnx").graph
    model = onnx.load(args.full / "model.onnx")
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in real.initializer}
    pairs = list(zip(convolutions(real), convolutions(model.graph), strict=True))
    assert len(pairs) == 13, "VGG16 has 13 convolutions"
    replaced = {name for _, node in pairs for name in node.input[1:]}
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in replaced]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    # An exporter may share one bias of zeros among layers, so each layer gets its own name.
    for index, (source, target) in enumerate(pairs):
        for position in (1, 2):
            name = f"imagenet.{index}.{('weight', 'bias')[position - 1]}"
            values = np.ascontiguousarray(weights[source.input[position]], np.float32)
            model.graph.initializer.append(numpy_helper.from_array(values, name))
            target.input[position] = name
    used = {name for node in model.graph.node for name in node.input}
    unused = [
        node
        for node in model.graph.node
        if node.op_type == "Identity" and node.output[0] not in used
    ]
    for node in unused:
        model.graph.node.remove(node)
    needed = {name for node in model.graph.node for name in node.input}
    rest = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    del model.graph.initializer[:]
    model.graph.initializer.extend(rest)
    onnx.checker.check_model(model)
    args.into.mkdir(parents=True, exist_ok=True)
    onnx.save(model, args.into / "model.onnx")
    digest = sha256_of(args.into / "model.onnx")
    (args.into / "model.toml").write_text(MANIFEST.format(digest=digest), encoding="utf-8")


if __name__ == "__main__":
    main()
