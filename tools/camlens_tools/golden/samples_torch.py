"""Golden arrays of Smooth Grad-CAM++ and Group-CAM: tests/golden/methods/*-samples.npz.

    python tools golden.samples_torch --groupcam FILE

FILE is the authors' cam/groupcam.py of GitHub wofmanaf/Group-CAM, commit
0b61fdd9fc14eb735b26779c5d6e3fac451a7af5, which is not in this repository. Needs torch 2.15.0,
torchcam 0.5.0 and kornia 0.8.2, with which the authors' code blurs.

torch-cam draws its noise from torch. Here it gets the noise that camlens draws from the same seed,
by the same generator: SplitMix64, then Box-Muller.
"""

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from torchcam.methods import SmoothGradCAMpp

from camlens_tools.golden import common
from camlens_tools.golden import methods_torch as methods

GROUPCAM_SHA256 = "70ef1d9e36858e84ea9d5f4d2927830e0eb05acfe8b6d6cd94621c81ff081dd7"
SEED = 11
SAMPLES = 5
# The standard deviation in torch-cam; in the paper, a fraction of the input's range.
NOISE = 0.2


def normal(count):
    """Standard normal samples by SplitMix64 and Box-Muller, two draws each."""
    with np.errstate(over="ignore"):
        state = np.uint64(SEED) + np.arange(1, 2 * count + 1, dtype=np.uint64) * np.uint64(
            0x9E3779B97F4A7C15
        )
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    unit = ((state ^ (state >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2**53
    radius, angle = unit[0::2], unit[1::2]
    return np.sqrt(-2 * np.log(1 - radius)) * np.cos(2 * np.pi * angle)


class Noise:
    """Replaces the distribution object of torch-cam."""

    def __init__(self, shape, deviation):
        drawn = deviation * normal(SAMPLES * int(np.prod(shape)))
        self.left = list(torch.from_numpy(drawn.astype(np.float32)).reshape(SAMPLES, *shape))

    def sample(self, size):
        noise = self.left.pop(0)
        assert noise.shape == size
        return noise


def torch_cam(model, module, x, target):
    """torch-cam's map in float64, because its denominators cancel.

    None where its float32 and float64 maps differ by more than 1e-4: such a map proves nothing.
    """
    single = torch_cam_as_it_is(model, module, x, target)
    double = torch_cam_as_it_is(model.double(), module, x.double(), target)
    model.float()
    own = common.max_diff(single, double)
    print(f"torch-cam's float32 - its float64: {own:.1e}")
    return double if own <= 1e-4 else None


def torch_cam_as_it_is(model, module, x, target):
    with SmoothGradCAMpp(
        model, target_layer=module, num_samples=SAMPLES, std=NOISE, input_shape=x.shape[1:]
    ) as cam:
        cam._distrib = Noise(x.shape, NOISE)
        model(x)
        return cam(target)[0][0].numpy()


def paper(model, module, x, target):
    """The paper's equations 6 to 10 in float64, with Grad-CAM++'s numerator, as in camlens."""
    outputs = []

    def gradient(x):
        outputs.clear()
        hook = module.register_forward_hook(lambda _m, _i, output: outputs.append(output))
        score = model(x)[0, target]
        hook.remove()
        return torch.autograd.grad(score, outputs)[0][0].double().numpy(), outputs[0][
            0
        ].detach().double().numpy()

    _, act = gradient(x)
    noise = Noise(x.shape, NOISE * float(x.max() - x.min()))
    grads = np.stack([gradient(x + noise.sample(x.shape))[0] for _ in range(SAMPLES)])
    first, second, third = ((grads**power).mean(0) for power in (1, 2, 3))
    below = 2 * second + act.sum((1, 2), keepdims=True) * third
    alpha = np.divide(second, below, out=np.zeros_like(below), where=below != 0)
    weights = (alpha * np.maximum(first, 0)).sum((1, 2))
    return common.over_max(np.maximum(np.einsum("k,khw->hw", weights, act), 0))


class Recorded:
    """torch.nn.functional, except that `interpolate` records its input and output."""

    def __init__(self):
        self.groups = []

    def __getattr__(self, name):
        return getattr(F, name)

    def interpolate(self, group, **options):
        wide = F.interpolate(group, **options)
        self.groups.append([group[0, 0].double().numpy(), wide])
        return wide


def group_cam(authors, model, module, x, target):
    """The sum of the authors' own groups and scores, at the layer's size.

    Enlarging is linear, so their map is this sum enlarged, apart from the ReLU. The check below
    computes the enlarged sum before the ReLU.
    """
    authors.F = Recorded()
    path = next(path for path, found in model.named_modules() if found is module)
    cam = authors.GroupCAM(model, target_layer=path)
    scores_seen = []
    hook = model.register_forward_hook(
        lambda _m, _i, output: scores_seen.append(float(F.softmax(output.double(), -1)[0, target]))
    )
    theirs = cam(x, target)
    hook.remove()
    # The scores of the image, of the blurred image, and of one image for each group that is not
    # flat.
    base, scores = scores_seen[1], scores_seen[2:]
    used = [(group, wide) for group, wide in authors.F.groups if wide.max() != wide.min()]
    assert len(scores) == len(used)
    small, large = 0.0, 0.0
    for (group, wide), score in zip(used, scores, strict=True):
        low, high = float(wide.min()), float(wide.max())
        small = small + (score - base) * (group - low) / (high - low)
        large = large + (score - base) * (wide[0, 0].double().numpy() - low) / (high - low)
    if theirs is not None:
        large = np.maximum(large, 0)
        common.expect_close(
            f"{path}: the sum of groups - the authors' map",
            (large - large.min()) / (large.max() - large.min()),
            theirs[0, 0].detach().numpy(),
            1e-4,
        )
    wide = F.interpolate(
        torch.from_numpy(small)[None, None], size=x.shape[2:], mode="bilinear", align_corners=False
    )
    print(
        f"{path}: {len(used)} of {len(authors.F.groups)} groups, {(wide.numpy() < 0).mean():.0%} "
        "of the sum below 0"
    )
    return small


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--groupcam", required=True)
    wanted = parser.parse_args()
    authors = common.load_module(wanted.groupcam, GROUPCAM_SHA256)
    # Their code moves everything to a GPU.
    torch.nn.Module.cuda = torch.Tensor.cuda = lambda self: self

    for name in methods.TINY:
        model, x, classes, layers = methods.load(name)
        for module in model.modules():
            if hasattr(module, "inplace"):
                module.inplace = False
        arrays = {
            "seed": np.array([SEED]),
            "samples": np.array([SAMPLES]),
            "noise": np.array([NOISE]),
        }
        for suffix, target in zip(("", "_other"), classes, strict=True):
            for layer, module in layers.items():
                found = torch_cam(model, module, x, target)
                if found is None:
                    print(f"{name}, {layer}{suffix}: omitted")
                else:
                    arrays[f"smoothgradcam++{suffix}|{layer}|torch-cam"] = found
                arrays[f"smoothgradcam++{suffix}|{layer}|paper"] = paper(model, module, x, target)
                arrays[f"groupcam{suffix}|{layer}|sum"] = group_cam(
                    authors, model, module, x, target
                )
        common.save(methods.OUT / f"{name}-samples.npz", arrays)


if __name__ == "__main__":
    main()
