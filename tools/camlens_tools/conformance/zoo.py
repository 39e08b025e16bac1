"""Exports torchvision's and timm's classifiers, with autograd's gradients at three layers.

    python tools conformance.zoo [--into FOLDER] [ARCHITECTURE ...]

Writes FOLDER/<architecture>/<exporter>/, a model folder of camlens with the arrays beside it, for
`examples/conformance.rs` (`make conformance`). The files are large, so FOLDER, by default
target/zoo, is not committed. Existing files stay, so an interrupted run continues where it stopped.
Runs in the environment of requirements/conformance.txt.

The weights are random with a fixed seed. Exporters write a convolution and the BatchNorm after it
as one convolution, whose weights they round to float32. The BatchNorms are therefore folded here
first, in float64, and rounded once. Then the exported network and the reference have exactly the
same weights.

The reference is autograd in float64. In float32 an activation within rounding of a ReLU's kink may
be open in one library and closed in another, and then neither is wrong. For the same reason the two
images are the first whose exact gradients do not change when noise as small as rounding is added to
the input, or the best there are. The table also states how far torch's own float32 gradients are
from the reference, and conformance.exact settles in float64 what float32 cannot.
"""

import argparse
import time
import traceback
import warnings
from pathlib import Path

import timm
import torch
import torchvision
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from camlens_tools.conformance import common
from camlens_tools.conformance.common import match_layers, pair, relative, write
from camlens_tools.paths import ZOO

SEED = 5
# The input size (below 224 where the architecture allows it), and modules: early, middle, last.
ARCHITECTURES = {
    "squeezenet1_1": (96, ["features.3", "features.7", "features.12"]),
    "resnet18": (96, ["layer1", "layer2", "layer4"]),
    "shufflenet_v2_x1_0": (96, ["stage2", "stage3", "conv5"]),
    "mobilenet_v2": (64, ["features.2", "features.10", "features.18"]),
    "mobilenet_v3_small": (96, ["features.1", "features.6", "features.12"]),
    "swin_t": (224, ["features.0", "features.3", "features.7"]),
    "convnext_tiny": (96, ["features.0", "features.3", "features.7"]),
    "vit_b_16": (
        96,
        ["conv_proj", "encoder.layers.encoder_layer_5", "encoder.layers.encoder_layer_11.ln_1"],
    ),
    "swin_v2_t": (224, ["features.0", "features.3", "features.7"]),
    "maxvit_t": (224, ["stem", "blocks.1", "blocks.3"]),
    "densenet121": (64, ["features.pool0", "features.transition2", "features.norm5"]),
    "googlenet": (96, ["conv3", "inception4a", "inception5b"]),
    "inception_v3": (107, ["Conv2d_2b_3x3", "Mixed_5d", "Mixed_7c"]),
    "mobilenet_v3_large": (96, ["features.1", "features.8", "features.16"]),
    "efficientnet_b0": (96, ["features.1", "features.4", "features.8"]),
    "efficientnet_v2_s": (96, ["features.1", "features.4", "features.7"]),
    "efficientnet_b1": (96, ["features.1", "features.4", "features.8"]),
    "efficientnet_b2": (96, ["features.1", "features.4", "features.8"]),
    "efficientnet_b3": (96, ["features.1", "features.4", "features.8"]),
    "efficientnet_b4": (64, ["features.1", "features.4", "features.8"]),
    "efficientnet_b5": (64, ["features.1", "features.4", "features.8"]),
    "efficientnet_b6": (64, ["features.1", "features.4", "features.8"]),
    "efficientnet_b7": (64, ["features.1", "features.4", "features.8"]),
    "efficientnet_v2_m": (64, ["features.1", "features.4", "features.8"]),
    "mnasnet1_0": (96, ["layers.8", "layers.10", "layers.16"]),
    "regnet_y_400mf": (64, ["stem", "trunk_output.block2", "trunk_output.block4"]),
    "regnet_x_400mf": (64, ["stem", "trunk_output.block2", "trunk_output.block4"]),
    "resnet50": (64, ["layer1", "layer2", "layer4"]),
    "resnext50_32x4d": (64, ["layer1", "layer2", "layer4"]),
    "wide_resnet50_2": (64, ["layer1", "layer2", "layer4"]),
    "alexnet": (224, ["features.1", "features.7", "features.11"]),
    "vgg11": (224, ["features.4", "features.12", "features.19"]),
    "vgg16_bn": (224, ["features.5", "features.22", "features.42"]),
    # timm's. With a class token, the last layer is the one that pytorch-grad-cam advises.
    "mobilenetv1_100": (64, ["blocks.0", "blocks.2", "blocks.4"]),
    "vit_tiny_patch16_224": (224, ["patch_embed", "blocks.5", "blocks.11.norm1"]),
    "deit_tiny_distilled_patch16_224": (224, ["patch_embed", "blocks.5", "blocks.11.norm1"]),
    "vit_small_patch14_reg4_dinov2": (126, ["patch_embed", "blocks.5", "blocks.11.norm1"]),
    "swin_tiny_patch4_window7_224": (224, ["layers.0", "layers.1", "norm"]),
    "maxvit_nano_rw_256": (256, ["stem", "stages.1", "norm"]),
    # It computes the weights of its convolutions for each image, one group for each.
    "tf_efficientnet_cc_b0_4e": (96, ["blocks.0", "blocks.3", "blocks.6"]),
    "cait_xxs24_224": (224, ["patch_embed", "blocks.12", "blocks_token_only.1.norm1"]),
    "xcit_nano_12_p16_224": (224, ["blocks.0", "blocks.5", "cls_attn_blocks.0.norm1"]),
    "nest_tiny_jx": (224, ["patch_embed", "levels.1", "norm"]),
}
# Their number of groups is the batch size, which neither exporter supports as a free dimension.
ONE_IMAGE = {"tf_efficientnet_cc_b0_4e"}
# Variants with SiLU, which has no kink, instead of ReLU: for architectures so deep that rounding
# opens another gate somewhere for every image.
SMOOTH = "-smooth"
for name in (
    "regnet_x_400mf",
    "regnet_y_400mf",
    "resnet50",
    "resnext50_32x4d",
    "wide_resnet50_2",
    "vgg16_bn",
):
    ARCHITECTURES[name + SMOOTH] = ARCHITECTURES[name]
# Folding in float64 may change the logits by rounding only.
SAME_LOGITS = 1e-10
EXPORTERS = ("torchscript", "dynamo")
# The other exporter fails: on convolutions whose weights have a computed shape, and on attention
# in five dimensions.
ONLY = {"tf_efficientnet_cc_b0_4e": ("dynamo",), "nest_tiny_jx": ("torchscript",)}

# The fused attention kernel has no ONNX counterpart.
torch.backends.mha.set_fastpath_enabled(False)


def build(name, size):
    torch.manual_seed(SEED)
    options = {
        "vit_b_16": {"image_size": size},
        "googlenet": {"aux_logits": False, "init_weights": True},
    }
    options["inception_v3"] = {"aux_logits": False, "init_weights": False}
    options["vit_small_patch14_reg4_dinov2"] = {"img_size": size, "num_classes": 1000}
    base = name.removesuffix(SMOOTH)
    if base in torchvision.models.list_models():
        model = torchvision.models.get_model(base, weights=None, **options.get(base, {}))
    else:
        model = timm.create_model(base, pretrained=False, **options.get(base, {}))
    for parent in list(model.modules()) if name != base else []:
        for child, module in parent.named_children():
            if isinstance(module, nn.ReLU):
                setattr(parent, child, nn.SiLU())
    return folded(prepare(model, size), size)


def prepare(model, size):
    """Randomises parameters that torchvision initialises to 0 or 1, so that every one matters."""
    for path, value in model.named_parameters():
        if "layer_scale" in path:
            nn.init.uniform_(value, 0.2, 0.6)
        elif value.min() == value.max() and value.max() == 1:
            nn.init.uniform_(value, 0.7, 1.4)
        elif value.min() == value.max():
            nn.init.normal_(value, 0.0, 0.1)
    model.eval()
    measure_statistics(model, size)
    # Only gradients of activations are wanted.
    return model.requires_grad_(False)


@torch.no_grad()
def measure_statistics(model, size):
    """Sets the BatchNorms' running statistics to measured ones; the rest stays in eval mode."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
        norm.train()
    if norms:
        random = torch.Generator().manual_seed(SEED + 1)
        for _ in range(2):
            model(torch.randn(4, 3, *pair(size), generator=random))
    model.eval()


@torch.no_grad()
def folded(model, size):
    """The network with those BatchNorms folded that an exporter would fold."""
    seen, pairs, hooks = {}, [], []

    def note(module, inputs, output):
        if isinstance(module, nn.Conv2d):
            # The reference to the tensor keeps its id from being reused.
            seen[id(output)] = (module, output)
        elif id(inputs[0]) in seen:
            pairs.append((seen[id(inputs[0])][0], module))

    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d)):
            hooks.append(module.register_forward_hook(note))
    model.double()
    x = torch.randn(
        1, 3, *pair(size), generator=torch.Generator().manual_seed(SEED + 3), dtype=torch.float64
    )
    expected = model(x).numpy()
    for hook in hooks:
        hook.remove()
    names = {module: path for path, module in model.named_modules()}

    def fold(conv, norm):
        # timm's BatchNorm includes its activation.
        rest = nn.Sequential(norm.drop, norm.act) if hasattr(norm, "act") else nn.Identity()
        model.set_submodule(names[conv], fuse_conv_bn_eval(conv, norm))
        model.set_submodule(names[norm], rest)

    def unfold(conv, norm):
        model.set_submodule(names[conv], conv)
        model.set_submodule(names[norm], norm)

    for conv, norm in pairs:
        fold(conv, norm)
    if relative(model(x).numpy(), expected) > SAME_LOGITS:
        # A convolution with another consumer cannot be folded, so find out pair by pair.
        for conv, norm in pairs:
            unfold(conv, norm)
        for conv, norm in pairs:
            fold(conv, norm)
            if relative(model(x).numpy(), expected) > SAME_LOGITS:
                unfold(conv, norm)
    return model.float()


def gradients(model, x, modules, target=None):
    """Logits, target, and the activation and gradient of every module's output."""
    outputs, hooks = {}, []
    for path in modules:

        def keep(_module, _inputs, output, path=path):
            outputs[path] = output.clone()
            outputs[path].retain_grad()
            # A second clone, because the next ReLU may work in place.
            return outputs[path].clone()

        hooks.append(model.get_submodule(path).register_forward_hook(keep))
    logits = model(x.requires_grad_())
    target = logits.argmax(1) if target is None else target
    logits.gather(1, target[:, None]).sum().backward()
    for hook in hooks:
        hook.remove()
    acts = {path: value.detach().numpy() for path, value in outputs.items()}
    grads = {path: value.grad.numpy() for path, value in outputs.items()}
    return logits.detach().numpy(), target, acts, grads


def reference(model, size, modules):
    """Two images whose gradients rounding does not change; their activations and gradients."""
    random = torch.Generator().manual_seed(SEED + 2)
    return common.choose(
        size,
        lambda: probe(model, torch.randn(1, 3, *pair(size), generator=random), modules, random),
    )


def probe(model, x, modules, random):
    """One image: its float64 gradients, and how much float32 and noise change them."""
    _, target, *single = gradients(model, x, modules)
    model.double()
    logits, _, *exact = gradients(model, x.double(), modules, target)
    others = [single]
    for _ in range(2):
        noise = common.ROUNDING * torch.randn(x.shape, generator=random, dtype=torch.float64)
        others.append(gradients(model, x.double() + noise, modules, target)[2:])
    model.float()
    # Activations and gradients.
    pairs = (
        (a[path], b[path]) for other in others for a, b in zip(other, exact) for path in modules
    )
    worst = max(relative(a, b) for a, b in pairs)
    acts, grads, single = *exact, single[1]
    return {
        "x": x.detach().numpy(),
        "logits": logits,
        "target": target.numpy(),
        "acts": acts,
        "grads": grads,
        "single": single,
        "conditioning": worst,
    }


def export(model, x, exporter, path, dynamo_opset=20, batches=True):
    if exporter == "torchscript":
        torch.onnx.export(
            model,
            (x,),
            path,
            dynamo=False,
            opset_version=17,
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={"input": {0: "N"}, "output": {0: "N"}} if batches else None,
        )
    else:
        torch.onnx.export(
            model,
            (x,),
            path,
            dynamo=True,
            opset_version=dynamo_opset,
            input_names=["input"],
            output_names=["output"],
            dynamic_shapes=({0: torch.export.Dim("batch")},) if batches else None,
            external_data=False,
            verbose=False,
        )


def make(name, into):
    size, modules = ARCHITECTURES[name]
    exporters = ONLY.get(name, EXPORTERS)
    missing = [
        exporter for exporter in exporters if not (into / name / exporter / "layers.json").exists()
    ]
    if not missing:
        return
    started = time.time()
    model = build(name, size)
    found = reference(model, size, modules)
    print(f"{name}: rounding changes the gradients by {found['conditioning']:.1e}", flush=True)
    for exporter in missing:
        folder = into / name / exporter
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / "unfinished.onnx"
        try:
            # The weights come from a seed, so an existing file has the same ones.
            if not (folder / "model.onnx").exists():
                x = torch.from_numpy(found["x"])
                x = x[:1] if name in ONE_IMAGE else x
                export(model, x, exporter, unfinished, batches=name not in ONE_IMAGE)
                unfinished.rename(folder / "model.onnx")
        except Exception as error:  # A failed export is a row of the table.
            traceback.print_exc()
            (folder / "failed.txt").write_text(f"{type(error).__name__}: {error}\n")
            continue
        (folder / "failed.txt").unlink(missing_ok=True)
        matched = match_layers(folder / "model.onnx", found["x"], found["acts"])
        for module in (module for module, tensor in matched.items() if tensor is None):
            print(f"{name}, {exporter}: no tensor holds {module}", flush=True)
        write(folder, size, found, matched)
        print(f"{name}, {exporter}: {time.time() - started:.0f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, default=ZOO)
    parser.add_argument("architecture", nargs="*", default=list(ARCHITECTURES))
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in arguments.architecture:
        make(name, arguments.into)


if __name__ == "__main__":
    main()
