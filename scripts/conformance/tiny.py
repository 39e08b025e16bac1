"""A small zoo for every test run: torchvision's own classes with few channels and tiny inputs.

    python scripts/conformance/tiny.py

Writes tests/golden/zoo/<model>-<exporter>.onnx and .npz. Weights, images and reference
are made as in zoo.py; the architectures are those whose operators the other golden
models lack: windows that are shifted and padded, relative attention, channel
shuffles, dense concatenations, local response normalisation, resizing.
"""

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
import zoo
from torch import nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.densenet import DenseNet
from torchvision.models.maxvit import MaxVit
from torchvision.models.shufflenetv2 import ShuffleNetV2
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vision_transformer import VisionTransformer

GOLDEN = Path(__file__).resolve().parents[2] / "tests/golden/zoo"
CLASSES = 7


class Patchwork(nn.Module):
    """Operators of older and rarer networks, in a row. The input is 32x32."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.ReLU(), nn.LocalResponseNorm(3, alpha=0.5))
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.wide = nn.Conv2d(8, 16, (1, 3), padding=(0, 2), dilation=(1, 2), groups=4)
        self.shuffle = nn.PixelShuffle(2)
        self.narrow = nn.Conv2d(4, 8, (3, 1), stride=(2, 1))
        self.gate = nn.Hardsigmoid()
        self.act = nn.PReLU(8)
        self.norm = nn.GroupNorm(4, 8)
        self.last = nn.Sequential(nn.Conv2d(16, 12, 3, padding=1, padding_mode="reflect"), nn.Mish())
        self.head = nn.Linear(12, CLASSES)

    def forward(self, x):
        x = self.pool(self.stem(x))
        x = self.act(self.narrow(self.shuffle(self.wide(x))))
        x = F.interpolate(x * self.gate(x.mean((2, 3), keepdim=True)), size=(9, 11), mode="bilinear")
        doubled = F.interpolate(F.avg_pool2d(self.norm(x), 3, 2, 1), size=(9, 11), mode="nearest")
        x = self.last(torch.cat([x, doubled], 1))
        return self.head(F.normalize(x.amax(3) + x.logsumexp(3), dim=1).mean(2))


def models():
    yield "patchwork", Patchwork(), 32, ["stem", "act", "last"]
    yield "swin", SwinTransformer(
        [2, 2], 8, [2, 1], [2, 4], [4, 4], stochastic_depth_prob=0.0, num_classes=CLASSES,
    ), 24, ["features.0", "features.1", "features.3"]  # fmt: skip
    yield "maxvit", MaxVit(
        (32, 32), 8, 2, [8, 16], [1, 1], 4, 0.0, num_classes=CLASSES,
    ), 32, ["stem", "blocks.0", "blocks.1"]  # fmt: skip
    yield "vit", VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=CLASSES), 32, ["conv_proj"]
    yield "convnext", ConvNeXt(
        [CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 2)], num_classes=CLASSES
    ), 32, ["features.0", "features.1", "features.3"]  # fmt: skip
    yield "densenet", DenseNet(
        4, (2, 2), 8, num_classes=CLASSES
    ), 64, ["features.pool0", "features.transition1", "features.norm5"]  # fmt: skip
    yield "shufflenet", ShuffleNetV2(
        [2, 2, 1], [8, 16, 32, 32, 48], num_classes=CLASSES
    ), 64, ["stage2", "stage3", "conv5"]  # fmt: skip


def without_notes(path):
    """The dynamo exporter's notes for debuggers hold this machine's paths."""
    model = onnx.load(path)
    del model.graph.value_info[:]
    for node in model.graph.node:
        kept = [item for item in node.metadata_props if item.key.endswith("name_scopes")]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    onnx.save(model, path)


def main():
    warnings.filterwarnings("ignore")
    GOLDEN.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(zoo.SEED)
    for name, model, size, modules in models():
        model = zoo.prepare(model, size)
        found = zoo.reference(model, size, modules)
        for exporter in zoo.EXPORTERS:
            path = GOLDEN / f"{name}-{exporter}.onnx"
            zoo.export(model, torch.from_numpy(found["x"]), exporter, path)
            without_notes(path)
            tied = zoo.tie(path, found["x"], found["acts"])
            arrays = {"x": found["x"], "logits": found["logits"].astype(np.float32)}
            for module, tensor in tied.items():
                # A slash would be a folder in the archive.
                escaped = tensor.replace("/", "|")
                arrays[f"act|{escaped}"] = found["acts"][module].astype(np.float32)
                arrays[f"grad|{escaped}"] = found["grads"][module].astype(np.float32)
            np.savez_compressed(path.with_suffix(".npz"), **arrays)
            print(f"{path.name}: {path.stat().st_size:,} bytes, {tied}, rounding {found['conditioning']:.0e}", flush=True)


if __name__ == "__main__":
    main()
