"""Golden maps of several layers at once, made by pytorch-grad-cam's own call.

    fusion_torch.py        after methods_torch.py, whose inputs and classes it takes

Writes tests/golden/methods/fusion.npz. The library is given target_layers=[…], the layers of methods_torch.py in
the order in which they are computed: it takes a layer's gradient by its place in that order, not by its name.
torch 2.15.0, grad-cam 1.5.5, OpenCV 5.0.0 (which the library resizes with).
"""

import torch
from pytorch_grad_cam import GradCAM, LayerCAM, ScoreCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from camlens_tools.golden import common
from camlens_tools.golden import methods_torch as methods

METHODS = {"gradcam": GradCAM, "layercam": LayerCAM, "scorecam": ScoreCAM}


def main():
    torch.set_num_threads(1)
    arrays = {}
    for name in methods.TINY:
        model, x, (target, _), layers = methods.load(name)
        seen = []
        hooks = [
            module.register_forward_hook(lambda _m, _i, _o, layer=layer: seen.append(layer))
            for layer, module in layers.items()
        ]
        model(x)
        for hook in hooks:
            hook.remove()
        assert seen == list(layers), (seen, layers)
        for method, kind in METHODS.items():
            with kind(model=model, target_layers=list(layers.values())) as cam:
                found = cam(input_tensor=x, targets=[ClassifierOutputTarget(target)])[0]
            arrays[f"{name}|{method}"] = found
    common.save(methods.OUT / "fusion.npz", arrays)


if __name__ == "__main__":
    main()
