"""Exports the full ImageNet VGG16 (553 MB) to models/vgg16, with a manifest that fits it.

    python tools models.export_vgg16                           Keras's weights and preprocessing
    python tools models.export_vgg16 --framework torchvision   VGG16_Weights.IMAGENET1K_V1
    python tools models.export_vgg16 --weights none --seed 0   random weights, without a download

The two frameworks differ in weights, preprocessing, names and output, so the manifest is written
anew each time. Needs `tensorflow`, or `torch torchvision onnx`, and `onnxruntime` for --check;
camlens itself needs none of them. Takes about 4 GB of memory.
"""

import argparse
import os
import pathlib
import sys

from camlens_tools import onnx_writer, paths
from camlens_tools.checksums import sha256_of

OPSET = 17

MANIFEST = """\
# Written by python tools models.export_vgg16 --framework {framework} --weights {weights}
file = "model.onnx"
sha256 = "{sha256}"
labels = "labels.txt"
default_layer = "{layer}" # after its ReLU, [512, 14, 14]

{input}
[output]
kind = "{output}"
"""

CAFFE = """\
# Keras's "caffe" mode after load_img's default, nearest: BGR, mean subtracted, not scaled.
[input]
size = [224, 224]
layout = "nhwc"
color = "bgr"
resize = "nearest"
fit = "stretch"
scale = 1.0
mean = [103.939, 116.779, 123.68]
std = [1.0, 1.0, 1.0]
"""

TORCHVISION = """\
# VGG16_Weights.IMAGENET1K_V1.transforms(): shorter side to 256, bilinear, centre crop of 224.
[input]
size = [224, 224]
layout = "nchw"
color = "rgb"
resize = "bilinear"
fit = "crop"
crop_ratio = 0.875
scale = 0.00392156862745098 # 1 / 255
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
"""


def export_keras(weights, seed, path):
    """Builds the graph from Keras's layers; returns a function that runs a batch in Keras.

    tf2onnx takes over 20 GB of memory for this model. The graph is the one that tf2onnx makes:
    NHWC input, one Transpose, NCHW convolutions, a Transpose before Flatten.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow

    tensorflow.keras.utils.set_random_seed(seed)
    network = tensorflow.keras.applications.VGG16(weights=weights)
    graph = onnx_writer.Graph("vgg16")
    shape = ["N", 3, 224, 224]
    x = graph.node("Transpose", "to_nchw/Transpose", ["input"], "to_nchw", shape, perm=[0, 3, 1, 2])
    for layer in network.layers[1:]:
        kind, name = type(layer).__name__, layer.name
        if kind == "Conv2D":
            kernel, bias = layer.get_weights()  # [height, width, in, out]
            kernel = kernel.transpose(3, 2, 0, 1)
            shape = [shape[0], kernel.shape[0]] + shape[2:]
            x = graph.node(
                "Conv",
                name + "/Conv",
                [x] + parameters(graph, name, kernel, bias),
                name + "/Conv:0",
                shape,
                kernel_shape=[3, 3],
                pads=[1, 1, 1, 1],
            )
            x = graph.node("Relu", name + "/Relu", [x], name + "/Relu:0", shape)
        elif kind == "MaxPooling2D":
            shape = shape[:2] + [side // 2 for side in shape[2:]]
            x = graph.node(
                "MaxPool",
                name + "/MaxPool",
                [x],
                name + "/MaxPool:0",
                shape,
                kernel_shape=[2, 2],
                strides=[2, 2],
            )
        elif kind == "Flatten":
            nhwc = [shape[0], *shape[2:], shape[1]]
            x = graph.node(
                "Transpose",
                name + "/Transpose",
                [x],
                name + "/Transpose:0",
                nhwc,
                perm=[0, 2, 3, 1],
            )
            shape = [shape[0], shape[1] * shape[2] * shape[3]]
            x = graph.node("Flatten", name + "/Flatten", [x], name + "/Flatten:0", shape, axis=1)
        elif kind == "Dense":
            kernel, bias = layer.get_weights()
            weight, bias = parameters(graph, name, kernel, bias)
            shape = [shape[0], kernel.shape[1]]
            x = graph.node("MatMul", name + "/MatMul", [x, weight], name + "/MatMul:0", shape)
            x = graph.node("Add", name + "/Add", [x, bias], name + "/Add:0", shape)
            last = layer is network.layers[-1]
            op, output = ("Softmax", name) if last else ("Relu", name + "/Relu:0")
            attributes = {"axis": 1} if last else {}
            x = graph.node(op, f"{name}/{op}", [x], output, shape, **attributes)
        else:
            raise ValueError(f"unexpected layer in VGG16: {kind}")
    path.write_bytes(graph.model([("input", ["N", 224, 224, 3])], [(x, shape)], OPSET, "camlens"))
    return lambda batch: network.predict(batch, verbose=0)


def parameters(graph, name, kernel, bias):
    return [
        graph.constant(f"{name}.{part}", list(values.shape), values)
        for part, values in (("kernel", kernel), ("bias", bias))
    ]


def export_torchvision(weights, seed, path):
    """Exports with torch; returns a function that runs a batch in torch."""
    import torch
    import torchvision

    torch.manual_seed(seed)
    network = torchvision.models.vgg16(weights="IMAGENET1K_V1" if weights else None).eval()
    # The older exporter keeps the modules' names (features.29); the newer one does not.
    torch.onnx.export(
        network,
        (torch.zeros(1, 3, 224, 224),),
        str(path),
        dynamo=False,
        opset_version=OPSET,
        input_names=["input"],
        output_names=["logits"],
        dynamic_axes={"input": {0: "N"}, "logits": {0: "N"}},
    )

    def run(batch):
        with torch.no_grad():
            return network(torch.from_numpy(batch)).numpy()

    return run


FRAMEWORKS = {
    "keras": (export_keras, "block5_conv3", CAFFE, "probabilities", [2, 224, 224, 3]),
    "torchvision": (export_torchvision, "features.29", TORCHVISION, "logits", [2, 3, 224, 224]),
}


def check(path, network, shape):
    """Exits with an error unless ONNX Runtime's scores equal the framework's up to rounding.

    The difference is relative to the range of the scores, which is narrow for random weights.
    """
    import numpy
    import onnxruntime

    batch = numpy.random.default_rng(0).uniform(-100, 100, shape).astype("float32")
    want = network(batch)
    (got,) = onnxruntime.InferenceSession(str(path)).run(None, {"input": batch})
    share = float(numpy.abs(got - want).max() / numpy.ptp(want))
    print(f"largest difference from the framework's scores: {share:.1e} of their range")
    if not share <= 1e-3:
        sys.exit("that is more than rounding")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--framework", choices=FRAMEWORKS, default="keras")
    parser.add_argument("--weights", choices=["imagenet", "none"], default="imagenet")
    parser.add_argument("--seed", type=int, default=0, help="seed of random weights")
    parser.add_argument("--out", type=pathlib.Path, default=paths.MODELS / "vgg16")
    parser.add_argument("--check", action="store_true", help="compare with ONNX Runtime's scores")
    args = parser.parse_args()

    export, layer, preprocessing, output, shape = FRAMEWORKS[args.framework]
    args.out.mkdir(parents=True, exist_ok=True)
    part = args.out / "model.onnx.part"
    try:
        network = export("imagenet" if args.weights == "imagenet" else None, args.seed, part)
    except ImportError as error:
        sys.exit(f"export_vgg16: {error.name} is missing: pip install it first")
    if args.check:
        check(part, network, shape)
    sha256 = sha256_of(part)
    part.replace(args.out / "model.onnx")
    (args.out / "model.toml").write_text(
        MANIFEST.format(
            framework=args.framework,
            weights=args.weights,
            sha256=sha256,
            layer=layer,
            input=preprocessing,
            output=output,
        ),
        encoding="utf-8",
    )
    labels = args.out / "labels.txt"
    if not labels.exists():
        labels.write_bytes((paths.MODELS / "vgg16/labels.txt").read_bytes())
    print(f"{args.out}: model.onnx {sha256}, model.toml")


if __name__ == "__main__":
    main()
