"""Grad-CAM, Grad-CAM++ and Score-CAM in torch, for vgg16_mri_torch.py and efficientnet_lite0.py.

Each method exists up to three times: the paper's equations by autograd, the Score-CAM authors' own
class, and pytorch-grad-cam's own classes.

The authors' code is not in this repository: cam/scorecam.py and cam/basecam.py of GitHub
haofanwang/Score-CAM (MIT), commit ef22867950d9c820124d6bca8329444462a47977.
"""

import sys
import types
import warnings
from pathlib import Path

import numpy as np
import torch
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, ScoreCAM
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from camlens_tools.golden import common
from camlens_tools.reference import maps

AUTHORS_SHA256 = {
    "cam/scorecam.py": "97b537d9cf6cfb51887ce97cb6c32cea57113f12411b9de12c6c82040377f355",
    "cam/basecam.py": "2a1e106ac07bcfe4cab301ef59b611aa900a7299851bb05ae5c727db0e3a7fd9",
}
PYTORCH_GRAD_CAM = {"gradcam": GradCAM, "gradcam++": GradCAMPlusPlus, "scorecam": ScoreCAM}


def activations_and_gradients(model, layers, x, target):
    """{name: (activation, d logit / d activation)} by autograd, for one image.

    `layers` maps names to the modules whose outputs are wanted.
    """
    outputs, hooks = {}, []
    for name, module in layers.items():

        def keep(_module, _inputs, output, name=name):
            output.retain_grad()
            outputs[name] = output

        hooks.append(module.register_forward_hook(keep))
    model.zero_grad()
    logits = model(x)
    logits[0, target].backward()
    for hook in hooks:
        hook.remove()
    return {name: (value.detach()[0], value.grad[0]) for name, value in outputs.items()}


def grad_cam(act, grad):
    weights = maps.grad_cam_weights(grad)
    return maps.weighted(weights, act), weights


def grad_cam_plus_plus(act, grad):
    weights = maps.grad_cam_plus_plus_weights(act, grad)
    return maps.weighted(weights, act), weights


def add_map(arrays, prefix, layer, cam, weights):
    cam = cam.numpy()
    arrays[f"{prefix}|{layer}"] = common.over_max(cam)
    arrays[f"{prefix}_max|{layer}"] = np.array([cam.max()])
    arrays[f"w|{layer}" if prefix == "gradcam" else f"{prefix}_w|{layer}"] = weights.numpy()


def authors_score_cam(arrays, folder, model, layer, name, x, target):
    """Runs the Score-CAM authors' class; adds their map and the score of every pass.

    Their code is unmodified. Their module `utils`, which looks up layers of torchvision models by
    name, is replaced by a stub, and without a GPU `Tensor.cuda` is the identity. A forward hook
    records the scores. Their loop skips flat channels, which therefore get a score of 0.
    """
    for file, digest in AUTHORS_SHA256.items():
        common.expect_sha256(Path(folder) / file, digest)
    lookups = types.ModuleType("utils")
    for kind in (
        "",
        "alexnet_",
        "vgg_",
        "resnet_",
        "densenet_",
        "squeezenet_",
        "googlenet_",
        "mobilenet_",
        "shufflenet_",
    ):
        setattr(lookups, f"find_{kind}layer", lambda _arch, found: found)
    sys.modules["utils"] = lookups
    sys.path.insert(0, str(folder))
    warnings.filterwarnings("ignore", message="Implicit dimension choice for softmax")
    from cam.scorecam import ScoreCAM as AuthorsScoreCam

    if not torch.cuda.is_available():
        torch.Tensor.cuda = lambda self, *_args, **_kwargs: self
    passes = []

    def record(_module, _inputs, output):
        passes.append(torch.softmax(output.detach(), 1)[0, target].item())
        if len(passes) % 64 == 0:
            print(f"  {len(passes)} passes", flush=True)

    recorder = model.register_forward_hook(record)
    with torch.no_grad():
        outputs = {}
        hook = layer.register_forward_hook(lambda _m, _i, output: outputs.update(act=output[0]))
        model(x)
        hook.remove()
        passes.clear()
    theirs = AuthorsScoreCam({"type": "vgg", "arch": model, "layer_name": layer})
    cam = theirs(x, class_idx=int(target))[0, 0].numpy()
    recorder.remove()
    layer._forward_hooks.clear()
    layer._backward_hooks.clear()

    act = outputs["act"]
    # They test for flatness after resizing, but a constant channel stays constant.
    flat = (act.amax(dim=(1, 2)) == act.amin(dim=(1, 2))).numpy()
    print(f"Score-CAM: {int(flat.sum())} flat channels of {len(flat)}")
    weights = np.zeros(len(flat), np.float32)
    weights[~flat] = passes[1:]
    varied = torch.from_numpy(weights)
    small = torch.einsum("k,khw->hw", varied, act)
    raw = torch.relu(small).numpy()
    arrays["scorecam_image"] = cam
    arrays[f"scorecam_w|{name}"] = weights
    arrays[f"scorecam|{name}"] = common.over_max(raw)
    arrays[f"scorecam_max|{name}"] = np.array([raw.max()])
    # Their map is the same sum at the input's size, min-max normalised: check that they agree.
    large = nn.functional.interpolate(
        small[None, None], size=x.shape[-2:], mode="bilinear", align_corners=False
    )
    large = torch.relu(large)[0, 0].numpy()
    large = (large - large.min()) / (large.max() - large.min())
    common.expect_close("authors' Score-CAM - recorded scores", cam, large, 1e-5)


class CachedWeights:
    """Caches the result of get_cam_weights, so that a second call costs no passes."""

    def __init__(self, cam):
        self.inner, self.value = cam.get_cam_weights, None

    def __call__(self, *args):
        if self.value is None:
            self.value = self.inner(*args)
        return self.value


def pytorch_grad_cam(arrays, model, layer, methods, x, target):
    """Adds the maps of grad-cam 1.5.7's own call, and of its own steps before it resizes."""
    for name in methods:
        method = PYTORCH_GRAD_CAM[name]
        targets = [ClassifierOutputTarget(int(target))]
        with method(model=model, target_layers=[layer]) as cam:
            weights = cam.get_cam_weights = CachedWeights(cam)
            image = cam(input_tensor=x, targets=targets)
            stores = cam.activations_and_grads
            grads = stores.gradients[0].numpy() if stores.gradients else None
            # ScoreCAM's passes overwrite the stored activations with their own.
            with torch.no_grad():
                cam.activations_and_grads(x)
            act = cam.activations_and_grads.activations[0].numpy()
            raw = cam.get_cam_image(x, layer, targets, act, grads)
            raw = np.maximum(raw, 0)
            arrays[f"pgc|{name}|layer"] = scale_cam_image(raw)[0]
            arrays[f"pgc|{name}|image"] = image[0]
            arrays[f"pgc|{name}|w"] = weights.value[0]
            arrays[f"pgc|{name}|max"] = np.array([raw.max()])
