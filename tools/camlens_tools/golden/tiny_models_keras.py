"""A Keras VGG16 with the weights of tiny_models.py, exported by tf2onnx, with gradients.

    python tools golden.tiny_models_keras        after golden.tiny_models

Writes tests/golden/dialects/tinyvgg-keras.{onnx,npz}. Runs in the TensorFlow environment
(requirements/golden-tf.txt). Keras stores channels last, and tf2onnx rewrites the convolutions to
channels first. Activations and gradients are therefore stored as [N, C, H, W], like the ONNX
tensors, while `x` is [N, H, W, C], like the file's input.
"""

import argparse
import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from onnx import numpy_helper
from tensorflow.keras import layers as kl

from camlens_tools.golden import common, onnx_probe

BLOCKS = [(4, 2), (6, 2), (8, 3), (10, 3), (10, 3)]


def build():
    start = kl.Input((64, 64, 3), name="input_1")
    x, names = start, []
    for block, (channels, count) in enumerate(BLOCKS, 1):
        for i in range(1, count + 1):
            names.append(f"block{block}_conv{i}")
            x = kl.Conv2D(channels, 3, padding="same", activation="relu", name=names[-1])(x)
        names.append(f"block{block}_pool")
        x = kl.MaxPooling2D(2, strides=2, name=names[-1])(x)
    x = kl.Flatten(name="flatten")(x)
    x = kl.Dense(16, activation="relu", name="fc1")(x)
    x = kl.Dense(16, activation="relu", name="fc2")(x)
    x = kl.Dense(10, activation="softmax", name="predictions")(x)
    return tf.keras.Model(start, x, name="vgg16"), names


def load_weights(model, path):
    stored = {item.name: numpy_helper.to_array(item) for item in onnx.load(path).graph.initializer}
    module = 0
    for block, (_, count) in enumerate(BLOCKS, 1):
        for i in range(1, count + 1):
            kernel, bias = stored[f"features.{module}.weight"], stored[f"features.{module}.bias"]
            model.get_layer(f"block{block}_conv{i}").set_weights(
                [kernel.transpose(2, 3, 1, 0), bias]
            )
            module += 2
        module += 1
    for name, number in [("fc1", 0), ("fc2", 3), ("predictions", 6)]:
        kernel, bias = stored[f"classifier.{number}.weight"], stored[f"classifier.{number}.bias"]
        if name == "fc1":
            # torch flattens features as C, H, W; Keras as H, W, C.
            kernel = kernel.reshape(16, 10, 2, 2).transpose(0, 2, 3, 1).reshape(16, 40)
        model.get_layer(name).set_weights([kernel.T, bias])


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    model, names = build()
    load_weights(model, onnx_probe.DIALECTS / "tinyvgg-torchscript.onnx")
    torch_arrays = np.load(onnx_probe.DIALECTS / "tinyvgg-torchscript.npz")
    x = np.ascontiguousarray(torch_arrays["x"].transpose(0, 2, 3, 1))

    last = model.get_layer("predictions")
    inside = tf.keras.Model(
        model.input, [model.get_layer(n).output for n in names] + [model.get_layer("fc2").output]
    )
    with tf.GradientTape() as tape:
        source = tf.constant(x)
        tape.watch(source)
        *values, features = inside(source, training=False)
        logits = tf.matmul(features, last.kernel) + last.bias
        target = np.argmax(logits.numpy(), axis=1)
        score = tf.reduce_sum(tf.gather(logits, target, axis=1, batch_dims=1))
    grads = tape.gradient(score, values)
    acts = {n: v.numpy().transpose(0, 3, 1, 2) for n, v in zip(names, values)}
    grads = {n: g.numpy().transpose(0, 3, 1, 2) for n, g in zip(names, grads)}
    common.expect_close(
        "model(x) - softmax(logits)", model(x).numpy(), onnx_probe.softmax(logits.numpy()), 1e-5
    )
    common.expect_close("logits, TF - torch", logits.numpy(), torch_arrays["logits"], 1e-5)

    path = onnx_probe.DIALECTS / "tinyvgg-keras.onnx"
    signature = [tf.TensorSpec((None, 64, 64, 3), tf.float32, name="input_1")]
    tf2onnx.convert.from_keras(model, input_signature=signature, opset=13, output_path=str(path))
    kinds = sorted({node.op_type for node in onnx.load(path).graph.node})
    print(f"{path.name}: {path.stat().st_size:,} bytes, {' '.join(kinds)}")
    # The two large layers of block 1 would only repeat the arrays of the torch file.
    kept = [n for n in names if not n.startswith("block1")]
    onnx_probe.write("tinyvgg-keras", path, x, logits.numpy(), target, acts, grads, kept)

    tied = json.loads((onnx_probe.DIALECTS / "layers.json").read_text())["tinyvgg-torchscript.onnx"]
    for name in names:
        tensor = common.key(tied[name])
        there = common.max_diff(torch_arrays[f"grad|{tensor}"], grads[name])
        totals = common.max_diff(
            torch_arrays[f"grad|{tensor}"].sum((2, 3)), grads[name].sum((2, 3))
        )
        act = common.max_diff(torch_arrays[f"act|{tensor}"], acts[name])
        print(
            f"  {name}: TF - torch act {act:.1e}, grad {there:.1e}, grad summed over a map "
            f"{totals:.1e}"
        )


if __name__ == "__main__":
    main()
