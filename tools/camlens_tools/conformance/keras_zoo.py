"""Exports Keras's classifiers by tf2onnx, with reference gradients by GradientTape at three layers.

    python tools conformance.keras_zoo [--into FOLDER] [ARCHITECTURE ...]

The counterpart of conformance.zoo for TensorFlow: FOLDER/<architecture>/tf2onnx/ has the same
files, made the same way. Each BatchNorm is folded into the convolution before it first; the
remaining BatchNorm adds a bias and multiplies by exactly 1. The reference is GradientTape in
float64, of the logits of the same model without its softmax. Runs in the environment of
requirements/golden-tf.txt.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import keras
import numpy as np
import tensorflow as tf
import tf2onnx

from camlens_tools.conformance import common
from camlens_tools.conformance.common import match_layers, write
from camlens_tools.paths import ZOO

SEED = 5
# The input size, and three layers: early, middle, last.
ARCHITECTURES = {
    "MobileNet": (64, ["conv_pw_2_relu", "conv_pw_7_relu", "conv_pw_13_relu"]),
    "MobileNetV2": (64, ["block_2_add", "block_9_add", "out_relu"]),
    "ResNet50": (64, ["conv2_block3_out", "conv3_block4_out", "conv5_block3_out"]),
    "EfficientNetB0": (96, ["block2b_add", "block4c_add", "top_activation"]),
    "DenseNet121": (64, ["pool1", "pool3_pool", "relu"]),
    "Xception": (96, ["block2_pool", "block8_sepconv3_bn", "block14_sepconv2_act"]),
    "InceptionV3": (107, ["mixed0", "mixed7", "mixed10"]),
    "NASNetMobile": (64, ["reduction_concat_stem_1", "normal_concat_7", "normal_concat_12"]),
}
# Networks that scale pixels themselves; their inputs are 0 to 255.
PIXELS = {"EfficientNetB0"}


def build(name, size, softmax, precision, folded=True):
    """The model with random weights, the same for every precision and with or without softmax."""
    keras.backend.clear_session()
    keras.backend.set_floatx(precision)
    keras.utils.set_random_seed(SEED)
    ending = "softmax" if softmax else None
    maker = getattr(keras.applications, name)
    model = maker(weights=None, input_shape=(size, size, 3), classifier_activation=ending)
    for _, norm in foldable(model) if folded else []:
        norm.epsilon = 0.0
        # The fused kernel does not accept an epsilon of 0.
        norm.fused = False
    return model


def foldable(model):
    """Pairs of a convolution and the BatchNorm that is its only consumer."""
    convolutions = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
    pairs = []
    for norm in model.layers:
        if isinstance(norm, keras.layers.BatchNormalization):
            conv = norm.inbound_nodes[0].inbound_layers
            if (
                isinstance(conv, convolutions)
                and conv.activation is keras.activations.linear
                and len(conv.outbound_nodes) == 1
            ):
                pairs.append((conv, norm))
    return pairs


def fold(model):
    """Folds each BatchNorm's factor into the convolution before it, in float64, rounded once."""
    for conv, norm in foldable(model):
        exact = {
            value.name.split("/")[-1]: value.numpy().astype(np.float64)
            for value in [*norm.weights, *conv.weights]
        }
        factor = exact.get("gamma:0", 1.0) / np.sqrt(exact["moving_variance:0"] + norm.epsilon)
        offset = exact["beta:0"] - exact["moving_mean:0"] * factor
        if isinstance(conv, keras.layers.SeparableConv2D):
            conv.pointwise_kernel.assign(exact["pointwise_kernel:0"] * factor)
        elif isinstance(conv, keras.layers.DepthwiseConv2D):
            conv.depthwise_kernel.assign(
                exact["depthwise_kernel:0"] * factor.reshape(*conv.depthwise_kernel.shape[2:])
            )
        else:
            conv.kernel.assign(exact["kernel:0"] * factor)
        if conv.use_bias:
            offset += exact["bias:0"] * factor
            conv.bias.assign(np.zeros(conv.bias.shape))
        norm.beta.assign(offset)
        norm.moving_mean.assign(np.zeros(offset.shape))
        norm.moving_variance.assign(np.ones(offset.shape))
        if norm.scale:
            norm.gamma.assign(np.ones(offset.shape))


def image(name, size, random, count=1):
    if name in PIXELS:
        return random.uniform(0, 255, (count, size, size, 3))
    return random.standard_normal((count, size, size, 3))


def weights(name, size):
    """Random weights under which every parameter matters, with measured running statistics."""
    model = build(name, size, softmax=False, precision="float32", folded=False)
    random = np.random.default_rng(SEED)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            # Running statistics become those of the last batch.
            layer.momentum = 0.0
            if layer.scale:
                layer.gamma.assign(random.uniform(0.7, 1.4, layer.gamma.shape))
            layer.beta.assign(random.normal(0, 0.1, layer.beta.shape))
        elif getattr(layer, "use_bias", False) and getattr(layer, "bias", None) is not None:
            layer.bias.assign(random.normal(0, 0.1, layer.bias.shape))
    model(image(name, size, random, 8).astype(np.float32), training=True)
    probe = image(name, size, random, 1).astype(np.float32)
    before = model(probe).numpy()
    fold(model)
    stored = model.get_weights()
    after = build(name, size, softmax=False, precision="float32")
    after.set_weights(stored)
    change = common.relative(after(probe).numpy(), before)
    # The fold is exact up to the rounding of the weights to float32.
    if change > 1e-3:
        raise ValueError(f"{name}: folding changes the logits by {change:.1e}")
    return stored


def gradients(model, x, names, target=None):
    """Logits, target, and the activation and gradient of every layer's output, [N, C, H, W]."""
    with tf.GradientTape() as tape:
        source = tf.constant(x)
        tape.watch(source)
        *values, logits = model(source, training=False)
        target = np.argmax(logits.numpy(), axis=1) if target is None else target
        score = tf.reduce_sum(tf.gather(logits, target, axis=1, batch_dims=1))
    grads = tape.gradient(score, values)

    def channels_first(tensors):
        return {n: t.numpy().transpose(0, 3, 1, 2) for n, t in zip(names, tensors)}

    return logits.numpy(), target, channels_first(values), channels_first(grads)


def reference(name, size, names, stored):
    def inside(precision):
        model = build(name, size, softmax=False, precision=precision)
        model.set_weights(stored)
        outputs = [model.get_layer(layer).output for layer in names]
        return keras.Model(model.input, [*outputs, model.output])

    single, double = inside("float32"), inside("float64")
    random = np.random.default_rng(SEED + 1)
    # Relative to the values that the first convolution reads.
    rounding = common.ROUNDING * (255 if name in PIXELS else 1)

    def probe():
        x = image(name, size, random).astype(np.float32)
        _, target, _, own = gradients(single, x, names)
        logits, _, acts, grads = gradients(double, x.astype(np.float64), names, target)
        others = [own]
        for _ in range(2):
            moved = x + rounding * random.standard_normal(x.shape)
            others.append(gradients(double, moved, names, target)[3])
        worst = max(
            common.relative(other[layer], grads[layer]) for other in others for layer in names
        )
        return {
            "x": x,
            "logits": logits,
            "target": target,
            "acts": acts,
            "grads": grads,
            "single": own,
            "conditioning": worst,
        }

    return common.choose(size, probe)


def make(name, into):
    size, names = ARCHITECTURES[name]
    folder = into / f"keras-{name.lower()}" / "tf2onnx"
    if (folder / "layers.json").exists():
        return
    started = time.time()
    stored = weights(name, size)
    found = reference(name, size, names, stored)
    print(f"{name}: rounding changes the gradients by {found['conditioning']:.1e}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    model = build(name, size, softmax=True, precision="float32")
    model.set_weights(stored)
    signature = [tf.TensorSpec((None, size, size, 3), tf.float32, name="input")]
    tf2onnx.convert.from_keras(
        model, input_signature=signature, opset=17, output_path=str(folder / "model.onnx")
    )
    matched = match_layers(folder / "model.onnx", found["x"], found["acts"])
    for layer in (layer for layer, tensor in matched.items() if tensor is None):
        print(f"{name}: no tensor holds {layer}", flush=True)
    write(folder, size, found, matched)
    print(f"{name}: {time.time() - started:.0f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, default=ZOO)
    parser.add_argument("architecture", nargs="*", default=list(ARCHITECTURES))
    arguments = parser.parse_args()
    for name in arguments.architecture:
        make(name, arguments.into)


if __name__ == "__main__":
    main()
