"""Golden maps of several layers at once, made by pytorch-grad-cam's own call.

    python tools golden.fusion_torch        after golden.methods_torch, whose inputs it reads

Writes tests/golden/methods/fusion.npz. The library gets target_layers=[...], the layers of
methods_torch.py in execution order, because it matches gradients to layers by that order.
Needs torch 2.15.0, grad-cam 1.5.7 and OpenCV 5.0.0, with which the library resizes.
"""

import argparse

import torch
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, LayerCAM, ScoreCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from camlens_tools.golden import common
from camlens_tools.golden import methods_torch as methods

METHODS = {
    "gradcam": GradCAM,
    "gradcam++": GradCAMPlusPlus,
    "layercam": LayerCAM,
    "scorecam": ScoreCAM,
}


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(1)
    arrays = {}
    for name in methods.TINY:
        model, x, (target, _), layers = methods.load(name)
        executed = []
        hooks = [
            module.register_forward_hook(
                lambda _m, _i, _o, layer=layer, executed=executed: executed.append(layer)
            )
            for layer, module in layers.items()
        ]
        model(x)
        for hook in hooks:
            hook.remove()
        assert executed == list(layers), (executed, layers)
        for method, kind in METHODS.items():
            with kind(model=model, target_layers=list(layers.values())) as cam:
                found = cam(input_tensor=x, targets=[ClassifierOutputTarget(target)])[0]
            arrays[f"{name}|{method}"] = found
    common.save(methods.OUT / "fusion.npz", arrays)


if __name__ == "__main__":
    main()
