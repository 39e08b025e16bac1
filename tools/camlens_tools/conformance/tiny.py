"""A small zoo for every test run: torchvision's own classes with few channels and tiny inputs.

    python tools conformance.tiny [MODEL ...]

Writes tests/golden/zoo/<model>-<exporter>.onnx and .npz. Weights, images and reference are made as
in zoo.py. The architectures are those whose operators the other golden models lack: tokens, windows
that are shifted and padded, relative attention, channel shuffles, dense concatenations, local
response normalisation, resizing. Runs in the environment of requirements/conformance.txt.
"""

import argparse
import warnings

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnxconverter_common.float16 import convert_float_to_float16
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    quantize_dynamic,
    quantize_static,
)
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.densenet import DenseNet
from torchvision.models.maxvit import MaxVit
from torchvision.models.shufflenetv2 import ShuffleNetV2
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vision_transformer import VisionTransformer

from camlens_tools.conformance import zoo
from camlens_tools.paths import GOLDEN

FOLDER = GOLDEN / "zoo"
CLASSES = 7


class Patchwork(nn.Module):
    """A chain of operators from older and rarer networks, on a 32x32 input."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.ReLU(), nn.LocalResponseNorm(3, alpha=0.5)
        )
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.wide = nn.Conv2d(8, 16, (1, 3), padding=(0, 2), dilation=(1, 2), groups=4)
        self.shuffle = nn.PixelShuffle(2)
        self.narrow = nn.Conv2d(4, 8, (3, 1), stride=(2, 1))
        self.gate = nn.Hardsigmoid()
        self.act = nn.PReLU(8)
        self.norm = nn.GroupNorm(4, 8)
        self.last = nn.Sequential(
            nn.Conv2d(16, 12, 3, padding=1, padding_mode="reflect"), nn.Mish()
        )
        self.head = nn.Linear(12, CLASSES)

    def forward(self, x):
        x = self.pool(self.stem(x))
        x = self.act(self.narrow(self.shuffle(self.wide(x))))
        x = F.interpolate(
            x * self.gate(x.mean((2, 3), keepdim=True)), size=(9, 11), mode="bilinear"
        )
        doubled = F.interpolate(F.avg_pool2d(self.norm(x), 3, 2, 1), size=(9, 11), mode="nearest")
        x = self.last(torch.cat([x, doubled], 1))
        return self.head(F.normalize(x.amax(3) + x.logsumexp(3), dim=1).mean(2))


class Quantised(nn.Module):
    """Weights and activations rounded to 8 bits, as in quantisation-aware training.

    The ranges clip some of both.
    """

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(12, CLASSES)
        self.register_buffer("steps", torch.linspace(0.002, 0.004, 12))
        self.register_buffer("zeros", torch.zeros(12, dtype=torch.int32))

    def forward(self, x):
        x = torch.fake_quantize_per_tensor_affine(F.silu(self.first(x)), 0.006, 40, 0, 255)
        # Steps must be float32 even when the rest is float64.
        steps = self.steps.float()
        weight = torch.fake_quantize_per_channel_affine(
            self.second.weight, steps, self.zeros, 0, -128, 127
        )
        x = self.pool(F.conv2d(x, weight, self.second.bias, stride=2, padding=1))
        x = torch.fake_quantize_per_tensor_affine(x, 0.003, 0, -128, 127)
        return self.head(x.mean((2, 3)))


class Attention(nn.Module):
    """Attention in three forms that torch exports as one operator from opset 23 on.

    A Boolean mask with grouped query heads, a bias for each head, and causal with a scale. The
    tokens are 4x4 patches of a 32x32 image.
    """

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, stride=8)
        self.first = Attending(2, attn_mask=self.neighbours(), enable_gqa=True)
        self.second = Attending(4, attn_mask=torch.randn(4, 16, 16))
        self.third = Attending(4, is_causal=True, scale=0.3)
        self.head = nn.Linear(16, CLASSES)

    @staticmethod
    def neighbours():
        """Each position attends to itself and its neighbours; the last one attends to nothing."""
        rows, columns = torch.arange(16) // 4, torch.arange(16) % 4
        far = torch.maximum((rows[:, None] - rows).abs(), (columns[:, None] - columns).abs())
        return (far <= 1) & (torch.arange(16)[:, None] < 15)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = self.third(self.second(self.first(x)))
        return self.head(x.mean(1))


class Attending(nn.Module):
    """A residual block with four query heads; `options` are those of torch's attention."""

    def __init__(self, heads, **options):
        super().__init__()
        self.heads, self.options = heads, options
        self.norm = nn.LayerNorm(16)
        self.query, self.key, self.value = (
            nn.Linear(16, 16),
            nn.Linear(16, 4 * heads),
            nn.Linear(16, 4 * heads),
        )
        if "attn_mask" in options:
            self.register_buffer("mask", options.pop("attn_mask"))

    def forward(self, x):
        normal = self.norm(x)
        parts = [(self.query, 4), (self.key, self.heads), (self.value, self.heads)]
        q, k, v = (part(normal).unflatten(2, (heads, 4)).transpose(1, 2) for part, heads in parts)
        attended = F.scaled_dot_product_attention(
            q, k, v, attn_mask=getattr(self, "mask", None), **self.options
        )
        return x + attended.transpose(1, 2).flatten(2)


def models():
    yield "patchwork", lambda: Patchwork(), 32, ["stem", "act", "last"]
    yield (
        "swin",
        lambda: SwinTransformer(
            [2, 2],
            8,
            [2, 1],
            [2, 4],
            [4, 4],
            stochastic_depth_prob=0.0,
            num_classes=CLASSES,
        ),
        24,
        ["features.0", "features.1", "features.3", "norm"],
    )
    yield (
        "maxvit",
        lambda: MaxVit(
            (32, 32),
            8,
            2,
            [8, 16],
            [1, 1],
            4,
            0.0,
            num_classes=CLASSES,
        ),
        32,
        ["stem", "blocks.0", "blocks.1"],
    )
    yield (
        "vit",
        lambda: VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=CLASSES),
        32,
        [
            "conv_proj",
            "encoder.layers.encoder_layer_0",
            "encoder.layers.encoder_layer_1.ln_1",
        ],
    )
    yield (
        "convnext",
        lambda: ConvNeXt(
            [CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 2)], num_classes=CLASSES
        ),
        32,
        ["features.0", "features.1", "features.3"],
    )
    yield (
        "densenet",
        lambda: DenseNet(4, (2, 2), 8, num_classes=CLASSES),
        64,
        ["features.pool0", "features.transition1", "features.norm5"],
    )
    yield (
        "shufflenet",
        lambda: ShuffleNetV2([2, 2, 1], [8, 16, 32, 32, 48], num_classes=CLASSES),
        64,
        ["stage2", "stage3", "conv5"],
    )
    # timm's transformers: two tokens, or five, before those of the positions; patch grids that are
    # not square.
    tiny = {
        "patch_size": 8,
        "embed_dim": 16,
        "depth": 2,
        "num_heads": 2,
        "mlp_ratio": 2,
        "num_classes": CLASSES,
    }
    blocks = ["blocks.0", "blocks.1.norm1"]
    yield "deit", lambda: VisionTransformerDistilled(img_size=(32, 24), **tiny), (32, 24), blocks
    yield (
        "registers",
        lambda: TimmVisionTransformer(img_size=(24, 32), reg_tokens=4, global_pool="avg", **tiny),
        (24, 32),
        ["blocks.0", "blocks.1.norm1", "blocks.1"],
    )
    yield "quantised", lambda: Quantised(), 24, ["first", "pool"]
    yield "attention", lambda: Attention(), 32, ["patches", "first", "second", "third.norm"]


# The dynamo exporter lacks FakeQuantize; the TorchScript exporter lacks opsets with Attention.
EXPORTERS = {"quantised": ["torchscript"], "attention": ["dynamo"]}
OPSET = {"attention": 23}

# The layer that pytorch-grad-cam's documentation advises for each kind, and the number of tokens
# before those of the positions.
ADVISED = {
    "vit": ("encoder.layers.encoder_layer_1.ln_1", 1),
    "deit": ("blocks.1.norm1", 2),
    "swin": ("norm", None),
}


def grad_cam(model, found, module, skip, size):
    """grad-cam's own maps `[N, h, w]` at the layer's size, by its reshape_transform."""
    patches = [side // 8 for side in zoo.pair(size)]

    def tokens(tensor):
        positions = tensor[:, skip:].reshape(len(tensor), *patches, tensor.shape[-1])
        return positions.permute(0, 3, 1, 2)

    def channels_last(tensor):
        return tensor.permute(0, 3, 1, 2)

    layer = model.get_submodule(module)
    model.requires_grad_(True)
    x = torch.from_numpy(found["x"])
    targets = [ClassifierOutputTarget(int(target)) for target in found["target"]]
    with GradCAM(
        model, [layer], reshape_transform=channels_last if skip is None else tokens
    ) as cam:
        cam(x, targets)
        stores = cam.activations_and_grads
        act, grads = stores.activations[0].numpy(), stores.gradients[0].numpy()
        raw = np.maximum(cam.get_cam_image(x, layer, targets, act, grads), 0)
    model.requires_grad_(False)
    return scale_cam_image(raw).astype(np.float32)


def halve(name, keep_io_types):
    """Writes <name>-half.onnx, the model in float16; the float model's arrays are its reference."""
    model = onnx.load(FOLDER / f"{name}.onnx")
    onnx.save(
        convert_float_to_float16(model, keep_io_types=keep_io_types), FOLDER / f"{name}-half.onnx"
    )


class Images(CalibrationDataReader):
    """Feeds the images of a model's arrays to the calibration."""

    def __init__(self, x):
        self.images = iter(x)

    def get_next(self):
        image = next(self.images, None)
        return None if image is None else {"input": image[None]}


def quantise(name, suffix, quant_format):
    """Writes <name>-<suffix>.onnx, the model after ONNX Runtime's static quantisation."""
    source, target = FOLDER / f"{name}-torchscript.onnx", FOLDER / f"{name}-{suffix}.onnx"
    images = Images(np.load(source.with_suffix(".npz"))["x"])
    quantize_static(source, target, images, quant_format=quant_format, per_channel=True)


def quantise_dynamically(name):
    """Writes <name>-dynamic.onnx, the model after ONNX Runtime's dynamic quantisation."""
    quantize_dynamic(FOLDER / f"{name}-torchscript.onnx", FOLDER / f"{name}-dynamic.onnx")


def remove_metadata(path):
    """Removes shapes, and the dynamo exporter's stack traces, which contain local paths."""
    model = onnx.load(path)
    del model.graph.value_info[:]
    for node in model.graph.node:
        kept = [item for item in node.metadata_props if item.key.endswith("name_scopes")]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    onnx.save(model, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help="of these only; all")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, build, size, modules in models():
        if args.models and name not in args.models:
            continue
        torch.manual_seed(zoo.SEED)
        model = zoo.prepare(build(), size)
        found = zoo.reference(model, size, modules)
        for exporter in EXPORTERS.get(name, zoo.EXPORTERS):
            path = FOLDER / f"{name}-{exporter}.onnx"
            zoo.export(model, torch.from_numpy(found["x"]), exporter, path, OPSET.get(name, 20))
            remove_metadata(path)
            matched = zoo.match_layers(path, found["x"], found["acts"])
            arrays = {"x": found["x"], "logits": found["logits"].astype(np.float32)}
            for module, tensor in matched.items():
                # A slash would make a folder in the archive.
                escaped = tensor.replace("/", "|")
                arrays[f"act|{escaped}"] = found["acts"][module].astype(np.float32)
                arrays[f"grad|{escaped}"] = found["grads"][module].astype(np.float32)
            if name in ADVISED:
                module, skip = ADVISED[name]
                arrays[f"gradcam|{matched[module].replace('/', '|')}"] = grad_cam(
                    model, found, module, skip, size
                )
            np.savez_compressed(path.with_suffix(".npz"), **arrays)
            print(
                f"{path.name}: {path.stat().st_size:,} bytes, {matched}, rounding "
                f"{found['conditioning']:.0e}",
                flush=True,
            )
    if not args.models:
        halve("vit-dynamo", keep_io_types=False)
        halve("convnext-torchscript", keep_io_types=True)
        quantise("convnext", "qdq", QuantFormat.QDQ)
        quantise("shufflenet", "qoperator", QuantFormat.QOperator)
        quantise_dynamically("vit")


if __name__ == "__main__":
    main()
