"""Golden maps at the layer's and at the input's size, made by pytorch-grad-cam's own classes.

    python tools golden.sizes_torch        after golden.methods_torch, whose inputs it reads

Writes tests/golden/methods/sizes.npz, for the last layer of each model. The map at the input's
size is the result of the library's own call: it normalises the map of each layer, resizes it, takes
the mean over the layers, and normalises again. The map at the layer's size takes its steps before
the resize. Methods that project on a singular vector are left out: the library takes whichever sign
its linear algebra gives. Needs torch 2.15.0, grad-cam 1.5.7 and OpenCV 5.0.0, with which the
library resizes.
"""

import argparse
from importlib.metadata import version

import numpy as np
import torch
from pytorch_grad_cam import (
    AblationCAM,
    GradCAM,
    GradCAMElementWise,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    ScoreCAM,
    XGradCAM,
)
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from camlens_tools.golden import common
from camlens_tools.golden import methods_torch as methods

LIBRARY = "1.5.7"
METHODS = {
    "gradcam": GradCAM,
    "gradcam++": GradCAMPlusPlus,
    "layercam": LayerCAM,
    "hirescam": HiResCAM,
    "xgradcam": XGradCAM,
    "gradcam-elementwise": GradCAMElementWise,
    "scorecam": ScoreCAM,
    "ablationcam": AblationCAM,
}


def steps_before_resizing(cam, x, module, targets):
    """The library's map of one layer, normalised once, at the layer's size."""
    stores = cam.activations_and_grads
    grads = stores.gradients[0].numpy() if stores.gradients else None
    # Masked passes overwrite the stored activations with their own.
    with torch.no_grad():
        stores(x)
    act = stores.activations[0].numpy()
    raw = cam.get_cam_image(x, module, targets, act.copy(), grads, False)
    return scale_cam_image(np.maximum(raw, 0))[0]


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    if version("grad-cam") != LIBRARY:
        raise SystemExit(f"grad-cam is {version('grad-cam')}, expected {LIBRARY}")
    torch.set_num_threads(1)
    arrays = {}
    for name in methods.TINY:
        model, x, (target, _), layers = methods.load(name)
        targets = [ClassifierOutputTarget(target)]
        module = list(layers.values())[-1]
        once_more = 0.0
        for method, kind in METHODS.items():
            key = f"{name}|{method}"
            with kind(model=model, target_layers=[module]) as cam:
                arrays[f"{key}|input"] = cam(input_tensor=x, targets=targets)[0]
                arrays[f"{key}|layer"] = steps_before_resizing(cam, x, module, targets)
            width, height = x.shape[3], x.shape[2]
            resized = scale_cam_image(arrays[f"{key}|layer"][None], (width, height))[0]
            once_more = max(once_more, common.max_diff(resized, arrays[f"{key}|input"]))
        print(f"{name}: without the second normalisation up to {once_more:.1e} off")
    common.save(methods.OUT / "sizes.npz", arrays)


if __name__ == "__main__":
    main()
