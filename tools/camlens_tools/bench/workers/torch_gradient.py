"""A torchvision architecture with random weights: a pass, and autograd's gradient at a layer.

bench.workers.torch_gradient NAME PICTURE --threads N
bench.workers.torch_gradient NAME PICTURE --export MODEL.onnx      exports the same network
"""

import argparse
import pathlib

import numpy as np
import torch
import torchvision
from PIL import Image

from camlens_tools.bench.workers import protocol

SIDE = 224


def network(name):
    torch.manual_seed(0)
    return torchvision.models.get_model(name, weights=None).eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name")
    parser.add_argument("picture", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--export", type=pathlib.Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = network(args.name)
    if args.export:
        names, free = {"input_names": ["image"], "output_names": ["logits"]}, {0: "batch"}
        # The older exporter needs no package besides onnx.
        torch.onnx.export(
            model,
            (torch.zeros(1, 3, SIDE, SIDE),),
            str(args.export),
            dynamo=False,
            opset_version=17,
            dynamic_axes={"image": free, "logits": free},
            **names,
        )
        return

    with Image.open(args.picture) as opened:
        pixels = np.asarray(opened.convert("RGB").resize((SIDE, SIDE)), np.float32) / 255
    x = torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy())

    def forward():
        with torch.no_grad():
            model(x)

    def gradient(module):
        """Computes what a Grad-CAM library needs: a layer's activation and the gradient there."""
        outputs = []
        hook = model.get_submodule(module).register_forward_hook(
            lambda _module, _input, output: outputs.append(output)
        )
        scores = model(x)
        hook.remove()
        torch.autograd.grad(scores[0, scores[0].argmax()], outputs[0])

    protocol.serve(
        {"forward": forward, "gradient": gradient}, {"versions": {"torch": torch.__version__}}
    )


if __name__ == "__main__":
    main()
