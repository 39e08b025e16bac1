"""Small classifiers in every dialect of ONNX that camlens must read, with gradients.

    python tools golden.tiny_models

Writes tests/golden/dialects/: tinyvgg-{torchscript,dynamo,opset7,external,batch1}, tinylite and
tinymix. golden.tiny_models_keras adds tinyvgg-keras with the same weights. Runs in the torch
environment (requirements/golden-torch.txt).
"""

import argparse
import warnings

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from camlens_tools.golden import onnx_probe

CLASSES = 10
OPSET = 13


def randomise(model, seed):
    """Random weights under which activations neither vanish nor explode."""
    rng = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=rng)
            if module.bias is not None:
                nn.init.normal_(module.bias, 0.05, 0.1, generator=rng)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.7, 1.4, generator=rng)
            nn.init.normal_(module.bias, 0.2, 0.2, generator=rng)
            nn.init.normal_(module.running_mean, 0.0, 0.3, generator=rng)
            nn.init.uniform_(module.running_var, 0.5, 1.5, generator=rng)
    return model.eval()


class TinyVgg(nn.Module):
    """torchvision's vgg16, module by module, with few channels and 64x64 inputs."""

    def __init__(self):
        super().__init__()
        self.layers, modules, before = {}, [], 3
        for block, (channels, count) in enumerate([(4, 2), (6, 2), (8, 3), (10, 3), (10, 3)], 1):
            for i in range(1, count + 1):
                modules += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU(inplace=True)]
                before = channels
                self.layers[f"block{block}_conv{i}"] = f"features.{len(modules) - 1}"
            modules.append(nn.MaxPool2d(2, stride=2))
            self.layers[f"block{block}_pool"] = f"features.{len(modules) - 1}"
        self.features = nn.Sequential(*modules)
        self.avgpool = nn.AdaptiveAvgPool2d((2, 2))
        self.classifier = nn.Sequential(
            nn.Linear(before * 4, 16),
            nn.ReLU(True),
            nn.Dropout(),
            nn.Linear(16, 16),
            nn.ReLU(True),
            nn.Dropout(),
            nn.Linear(16, CLASSES),
        )

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class Inverted(nn.Module):
    """Expand, depthwise, project: the block of MobileNetV2 and EfficientNet-Lite."""

    def __init__(self, before, after, expand, kernel, stride):
        super().__init__()
        middle = before * expand
        self.expand = unit(before, middle, 1) if expand > 1 else nn.Identity()
        self.depthwise = unit(
            middle, middle, kernel, stride, groups=middle, same=kernel == 5 and stride == 2
        )
        self.project = nn.Sequential(nn.Conv2d(middle, after, 1, bias=False), nn.BatchNorm2d(after))
        self.residual = stride == 1 and before == after

    def forward(self, x):
        out = self.project(self.depthwise(self.expand(x)))
        return x + out if self.residual else out


def unit(before, after, kernel, stride=1, groups=1, same=False):
    """Convolution, batch normalisation, ReLU6.

    `same` is TensorFlow's SAME padding of an even input. It is asymmetric and therefore a Pad node
    in the graph, as in the real EfficientNet-Lite.
    """
    less, more = (kernel - stride) // 2, (kernel - stride + 1) // 2
    pad = [nn.ZeroPad2d((less, more, less, more))] if same else []
    conv = nn.Conv2d(
        before, after, kernel, stride, 0 if same else kernel // 2, groups=groups, bias=False
    )
    return nn.Sequential(*pad, conv, nn.BatchNorm2d(after), nn.ReLU6(inplace=True))


class TinyLite(nn.Module):
    layers = {
        "stem": "stem",
        "block1": "blocks.0",
        "block2_depthwise": "blocks.1.depthwise",
        "block2": "blocks.1",
        "block3": "blocks.2",
        "block4": "blocks.3",
        "block5": "blocks.4",
        "head": "head",
    }

    def __init__(self):
        super().__init__()
        self.stem = unit(3, 8, 3, 2)
        self.blocks = nn.Sequential(
            Inverted(8, 8, 1, 3, 1),
            Inverted(8, 12, 3, 3, 2),
            Inverted(12, 12, 3, 3, 1),
            Inverted(12, 16, 3, 5, 2),
            Inverted(16, 16, 3, 5, 1),
        )
        self.head = unit(16, 32, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(32, CLASSES)

    def forward(self, x):
        x = self.pool(self.head(self.blocks(self.stem(x)))).flatten(1)
        return self.classifier(self.dropout(x))


class TinyMix(nn.Module):
    """Operators that VGG lacks, on an input of 50 rows and 38 columns.

    Overlapping pools, padding that the average counts and padding that it does not, a dilated and a
    strided convolution, Concat, a projected shortcut, SiLU, and a mean instead of a pool.
    """

    layers = {
        "stem": "act",
        "maxpool": "maxpool",
        "residual": "joined",
        "concat": "concat",
        "avgpool": "avgpool",
        "last": "last_act",
    }

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 5, stride=2, padding=2, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.SiLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.left1 = nn.Conv2d(8, 12, 3, padding=1)
        self.left2 = nn.Conv2d(12, 12, 3, padding=2, dilation=2)
        self.shortcut = nn.Conv2d(8, 12, 1)
        self.joined = nn.ReLU()
        self.branch = nn.Conv2d(12, 6, (1, 3), padding=(0, 1))
        self.smooth = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        self.narrow = nn.Conv2d(12, 6, 1)
        self.concat = nn.Identity()
        self.avgpool = nn.AvgPool2d(3, stride=2, padding=1)
        self.last = nn.Conv2d(12, 16, 3, padding=1)
        self.last_act = nn.SiLU()
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x):
        x = self.maxpool(self.act(self.norm(self.stem(x))))
        x = self.joined(self.left2(F.relu(self.left1(x))) + self.shortcut(x))
        x = self.concat(torch.cat([F.relu(self.branch(x)), self.narrow(self.smooth(x))], 1))
        x = self.last_act(self.last(self.avgpool(x)))
        return self.head(x.mean((2, 3)))


def reference(model, x):
    """Logits, targets, and the activation and gradient of every named layer, in float32."""
    outputs, hooks = {}, []
    for layer, path in model.layers.items():

        def keep(_module, _inputs, output, layer=layer):
            # A clone, since the ReLU after it may work in place.
            output = output.clone()
            output.retain_grad()
            outputs[layer] = output
            return output

        hooks.append(model.get_submodule(path).register_forward_hook(keep))
    logits = model(x)
    target = logits.argmax(1)
    logits.gather(1, target[:, None]).sum().backward()
    for hook in hooks:
        hook.remove()
    acts = {layer: value.detach().numpy() for layer, value in outputs.items()}
    grads = {layer: value.grad.numpy() for layer, value in outputs.items()}
    for layer, grad in grads.items():
        print(
            f"  {layer:18} |act| {np.abs(acts[layer]).mean():.3g}  |grad| {np.abs(grad).mean():.3g}"
        )
    return logits.detach(), target.numpy(), acts, grads


def export_torchscript(model, x, path, batch="N", training=torch.onnx.TrainingMode.EVAL):
    axes = {"input": {0: batch}, "output": {0: batch}} if batch else None
    torch.onnx.export(
        model,
        (x,),
        path,
        dynamo=False,
        opset_version=OPSET,
        input_names=["input"],
        output_names=["output"],
        dynamic_axes=axes,
        training=training,
    )


def export_dynamo(model, x, path):
    batch = torch.export.Dim("batch")
    torch.onnx.export(
        model,
        (x,),
        path,
        dynamo=True,
        input_names=["input"],
        output_names=["output"],
        dynamic_shapes=({0: batch},),
        external_data=False,
    )
    # The exporter's stack traces contain paths of this machine.
    exported = onnx.load(path)
    for node in exported.graph.node:
        kept = [item for item in node.metadata_props if not item.key.endswith("stack_trace")]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    onnx.save(exported, path)


def build_opset7(model, path):
    """Writes a file as exporters of 2018 did.

    Opset 7, IR 3, every initializer also an input, numbers as tensor names, nodes without names,
    Dropout still present, Softmax at the end.
    """
    nodes, initializers, inputs = [], [], []
    counter = iter(range(1, 1000))

    def weight(tensor):
        name = str(next(counter))
        array = tensor.detach().numpy()
        initializers.append(numpy_helper.from_array(array, name))
        inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape))
        return name

    def node(kind, sources, **attributes):
        name = str(next(counter))
        nodes.append(helper.make_node(kind, sources, [name], **attributes))
        return name

    inputs.append(helper.make_tensor_value_info("0", TensorProto.FLOAT, ["N", 3, 64, 64]))
    modules = [*model.features, nn.Flatten(), *model.classifier]
    weights = {
        m: (weight(m.weight), weight(m.bias))
        for m in modules
        if isinstance(m, (nn.Conv2d, nn.Linear))
    }
    last = "0"
    for module in modules:
        if isinstance(module, nn.Conv2d):
            last = node(
                "Conv",
                [last, *weights[module]],
                dilations=[1, 1],
                group=1,
                kernel_shape=[3, 3],
                pads=[1, 1, 1, 1],
                strides=[1, 1],
            )
        elif isinstance(module, nn.ReLU):
            last = node("Relu", [last])
        elif isinstance(module, nn.MaxPool2d):
            last = node("MaxPool", [last], kernel_shape=[2, 2], pads=[0, 0, 0, 0], strides=[2, 2])
        elif isinstance(module, nn.Flatten):
            last = node("Flatten", [last], axis=1)
        elif isinstance(module, nn.Linear):
            last = node("Gemm", [last, *weights[module]], alpha=1.0, beta=1.0, transB=1)
        elif isinstance(module, nn.Dropout):
            last = node("Dropout", [last], ratio=0.5)
    last = node("Softmax", [last], axis=1)
    outputs = [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["N", CLASSES])]
    graph = helper.make_graph(nodes, "tinyvgg", inputs, outputs, initializers)
    old = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 7)], ir_version=3)
    onnx.checker.check_model(old)
    onnx.save(old, path)


def store_externally(source, path):
    data = path.with_name(path.name + ".data")
    data.unlink(missing_ok=True)
    onnx.save(
        onnx.load(source),
        path,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=data.name,
        size_threshold=0,
    )
    data.chmod(0o644)


def describe(path):
    model = onnx.load(path)
    kinds = sorted({node.op_type for node in model.graph.node})
    print(
        f"{path.name}: {path.stat().st_size:,} bytes, opset {model.opset_import[0].version}, "
        f"{' '.join(kinds)}"
    )


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    onnx_probe.DIALECTS.mkdir(parents=True, exist_ok=True)
    random = torch.Generator().manual_seed(7)

    vgg = randomise(TinyVgg(), 16)
    x = torch.randn(2, 3, 64, 64, generator=random)
    logits, target, acts, grads = reference(vgg, x)
    print("logits", logits.tolist(), "target", target)
    files = {
        n: onnx_probe.DIALECTS / f"tinyvgg-{n}.onnx"
        for n in ("torchscript", "dynamo", "opset7", "external", "batch1")
    }
    export_torchscript(vgg, x, files["torchscript"])
    export_dynamo(vgg, x, files["dynamo"])
    build_opset7(vgg, files["opset7"])
    store_externally(files["torchscript"], files["external"])
    export_torchscript(vgg, x[:1], files["batch1"], batch=None)
    # All five files have the same weights, so the large arrays are written once. The two files that
    # differ from the first only in where the weights are stored, or in the batch size, repeat even
    # fewer.
    for name, path in files.items():
        describe(path)
        skipped = {"torchscript": (), "dynamo": ("block1",), "opset7": ("block1",)}
        skipped = skipped.get(name, ("block1", "block2", "block3"))
        layers = [layer for layer in vgg.layers if not layer.startswith(skipped)]
        onnx_probe.write(
            f"tinyvgg-{name}", path, x.numpy(), logits.numpy(), target, acts, grads, layers
        )

    # PRESERVE on a model in eval mode: EVAL would fold BatchNormalization away.
    lite = randomise(TinyLite(), 3)
    x = torch.randn(2, 3, 48, 48, generator=random)
    path = onnx_probe.DIALECTS / "tinylite.onnx"
    export_torchscript(lite, x, path, training=torch.onnx.TrainingMode.PRESERVE)
    describe(path)
    logits, target, acts, grads = reference(lite, x)
    onnx_probe.write("tinylite", path, x.numpy(), logits.numpy(), target, acts, grads, lite.layers)

    mix = randomise(TinyMix(), 5)
    x = torch.randn(2, 3, 50, 38, generator=random)
    path = onnx_probe.DIALECTS / "tinymix.onnx"
    export_torchscript(mix, x, path)
    describe(path)
    logits, target, acts, grads = reference(mix, x)
    onnx_probe.write("tinymix", path, x.numpy(), logits.numpy(), target, acts, grads, mix.layers)


if __name__ == "__main__":
    main()
