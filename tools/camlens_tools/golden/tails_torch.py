"""Golden arrays of Ablation-CAM and Recipro-CAM, added to tests/golden/methods/*.npz.

    python tools golden.tails_torch --recipro FILE        after golden.methods_torch

FILE is the authors' misc/pytorch_toolkit/recipro_cam/recipro_cam.py of GitHub
openvinotoolkit/training_extensions, commit 61bf65c7500fc0976794d341696f77b4ba10d229 (Apache-2.0),
which is not in this repository. Needs torch 2.15.0, grad-cam 1.5.5, and openvino-xai 1.1.0 with
openvino 2024.6.0, which it imports but does not use here.
"""

import argparse

import numpy as np
import torch
from openvino_xai.methods.white_box.torch import TorchReciproCAM
from pytorch_grad_cam import AblationCAM
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from camlens_tools.golden import common
from camlens_tools.golden import methods_torch as methods

RECIPRO_SHA256 = "19c38a87e7d5ef01854b7dae96983e6c3a496cdc50f4c1a1b9b86199a20d3d15"


class Head(nn.Module):
    """The part of a model up to a module's output."""

    def __init__(self, model, module):
        super().__init__()
        self.model, self.module = [model], [module]

    def forward(self, x):
        outputs = []
        # A clone, since the ReLU after it may work in place.
        hook = self.module[0].register_forward_hook(
            lambda _m, _i, output: outputs.append(output.clone())
        )
        self.model[0](x)
        hook.remove()
        return outputs[0]


class Tail(Head):
    """The part of a model after a module: the whole model, with the module's output replaced."""

    def __init__(self, model, module, x):
        super().__init__(model, module)
        self.x = x

    def forward(self, features):
        hook = self.module[0].register_forward_hook(lambda _m, _i, _o: features.clone())
        found = self.model[0](self.x.expand(len(features), -1, -1, -1))
        hook.remove()
        return found


def ablation_paper(model, module, x, target):
    """The paper's equation 4, each channel ablated by zeros.

    The denominator is |y|, so that a negative y does not flip the sign.
    """
    act = Head(model, module)(x)
    tail = Tail(model, module, x)
    weights = torch.zeros(act.shape[1], dtype=torch.float64)
    whole = tail(act)[0, target].double()
    for channel in range(act.shape[1]):
        changed = act.clone()
        changed[:, channel] = 0
        weights[channel] = (whole - tail(changed)[0, target].double()) / whole.abs()
    return common.over_max(torch.relu(torch.einsum("k,khw->hw", weights, act[0].double())).numpy())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipro", required=True)
    wanted = parser.parse_args()
    authors = common.load_module(wanted.recipro, RECIPRO_SHA256)

    for name in methods.TINY:
        path = methods.OUT / f"{name}.npz"
        with np.load(path) as stored:
            arrays = {key: stored[key] for key in stored.files}
        model, x, classes, layers = methods.load(name)
        for suffix, target in zip(("", "_other"), classes, strict=True):
            for layer, module in layers.items():
                with AblationCAM(model=model, target_layers=[module]) as cam:
                    cam(input_tensor=x, targets=[ClassifierOutputTarget(target)])
                    act = cam.activations_and_grads.activations[0].numpy()
                    raw = cam.get_cam_image(
                        x, module, [ClassifierOutputTarget(target)], act, None, False
                    )
                print(
                    name,
                    layer,
                    "y",
                    float(model(x)[0, target]),
                    "min",
                    float(act.min()),
                    "max",
                    raw.max(),
                )
                arrays[f"ablationcam{suffix}|{layer}|pgc"] = scale_cam_image(np.maximum(raw, 0))[0]
                with torch.no_grad():
                    arrays[f"ablationcam{suffix}|{layer}|paper"] = ablation_paper(
                        model, module, x, target
                    )
                    recipro = authors.ReciproCam(Head(model, module), Tail(model, module, x), "cpu")
                    arrays[f"reciprocam{suffix}|{layer}|paper"] = recipro(x, target)[0].numpy()
                path_of = next(path for path, found in model.named_modules() if found is module)
                # The library picks the last module whose name contains the given one: for tinymix's
                # `act` that is `last_act`.
                if [
                    found
                    for path, found in model.named_modules()
                    if path_of in path and not path.startswith(path_of)
                ]:
                    print(f"{name}, {layer}: openvino-xai cannot select it")
                    continue
                explainer = TorchReciproCAM(model=model, target_layer=path_of, embed_scaling=False)
                saliency = explainer.generate_saliency_map(x.numpy())[0, target]
                saliency = saliency - saliency.min()
                # The library's own scaling, without the conversion to bytes.
                arrays[f"reciprocam{suffix}|{layer}|openvino-xai"] = saliency / (
                    saliency.max() + 1e-12
                )
        common.save(path, arrays)


if __name__ == "__main__":
    main()
