"""The libraries pytorch-grad-cam and torch-cam, on a torch model with the ONNX file's own weights.

    bench.workers.peers MODEL_FOLDER PICTURE --threads N

Each is called as its README shows, on a prepared tensor, so none has to decode a picture. The torch
model's scores are compared with ONNX Runtime's before anything is timed.
"""

import argparse
import os
import pathlib

import numpy as np

from camlens_tools.bench.workers import model_input, protocol

BACKBONE_LAYERS = 13  # VGG16's convolutions; the ReLU of the last one is explained


def network(torch, file):
    """The torch modules that compute a VGG-like ONNX file, and the ReLU to explain.

    They map NCHW to logits: the file's first Transpose and its last Softmax are omitted.
    """
    import onnx
    from torch import nn

    graph = onnx.load(str(file)).graph
    weights = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in weights:
            weights[node.output[0]] = weights[node.input[0]]

    class Affine(nn.Module):
        """A folded batch normalisation."""

        def __init__(self, factor, shift):
            super().__init__()
            self.factor, self.shift = nn.Parameter(factor), nn.Parameter(shift)

        def forward(self, x):
            return x * self.factor + self.shift

    class Permute(nn.Module):
        def __init__(self, order):
            super().__init__()
            self.order = order

        def forward(self, x):
            return x.permute(self.order)

    def tensor(name):
        return torch.from_numpy(np.array(weights[name]))

    def linear(matrix, bias):
        layer = nn.Linear(matrix.shape[1], matrix.shape[0])
        layer.weight.data, layer.bias.data = matrix.contiguous(), bias
        return layer

    layers, convolutions, explained = [], 0, None
    pending = None  # a MatMul or Mul whose Add comes next
    for node in graph.node:
        attributes = {
            attribute.name: onnx.helper.get_attribute_value(attribute)
            for attribute in node.attribute
        }
        kind = node.op_type
        if kind == "Conv":
            kernel, bias = tensor(node.input[1]), tensor(node.input[2])
            layer = nn.Conv2d(
                kernel.shape[1], kernel.shape[0], kernel.shape[2:], padding=kernel.shape[2] // 2
            )
            layer.weight.data, layer.bias.data = kernel, bias
            layers.append(layer)
            convolutions += 1
        elif kind == "Relu":
            layers.append(nn.ReLU())
            if convolutions == BACKBONE_LAYERS and explained is None:
                explained = layers[-1]
        elif kind == "MaxPool":
            layers.append(nn.MaxPool2d(attributes["kernel_shape"], attributes["strides"]))
        elif kind == "Transpose" and layers:
            layers.append(Permute(attributes["perm"]))
        elif kind in ("Flatten", "Reshape"):
            layers.append(nn.Flatten(1))
        elif kind == "Gemm":
            matrix = tensor(node.input[1])
            layers.append(
                linear(matrix if attributes.get("transB") else matrix.T, tensor(node.input[2]))
            )
        elif kind in ("MatMul", "Mul"):
            pending = (kind, tensor(node.input[1]))
        elif kind == "Add":
            shift = tensor(node.input[1])
            layers.append(
                linear(pending[1].T, shift) if pending[0] == "MatMul" else Affine(pending[1], shift)
            )
        elif kind == "AveragePool" and set(attributes["kernel_shape"]) != {1}:
            raise ValueError("an AveragePool that averages is not VGG16's")
        elif kind not in (
            "Transpose",
            "AveragePool",
            "Softmax",
            "Identity",
            "Shape",
            "Gather",
            "Cast",
            "Slice",
            "Concat",
        ):
            raise ValueError(f"no torch module for {kind}: not a VGG16")
    if explained is None:
        raise ValueError("not a VGG16")
    return nn.Sequential(*layers).eval(), explained


def differs_from_onnx_runtime(torch, model, file, nhwc_or_nchw, x):
    """The largest difference of the probabilities, relative to their range.

    Probabilities, because the file may not output its logits; relative to their range, because it
    is narrow for random weights.
    """
    import onnx
    import onnxruntime

    def softmax(scores):
        exponentials = np.exp(scores - scores.max())
        return exponentials / exponentials.sum()

    graph = onnx.load(str(file), load_external_data=False).graph
    ends_in_softmax = graph.node[-1].op_type == "Softmax"
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    wanted = session.run(None, {session.get_inputs()[0].name: nhwc_or_nchw})[0][0]
    with torch.no_grad():
        found = softmax(model(x)[0].numpy())
    wanted = wanted if ends_in_softmax else softmax(wanted)
    return float(np.abs(found - wanted).max() / np.ptp(wanted))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("picture", type=pathlib.Path)
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()

    os.environ.setdefault("OMP_NUM_THREADS", str(args.threads))
    try:
        import onnx  # noqa: F401
        import torch
    except ImportError as error:
        protocol.refuse(f"{error.name} is not installed")
    torch.set_num_threads(args.threads)

    manifest = model_input.manifest(args.folder)
    file = args.folder / manifest["file"]
    tensor = model_input.input_tensor(args.folder, args.picture)
    nchw = tensor if manifest["input"]["layout"] == "nchw" else tensor.transpose(0, 3, 1, 2)
    x = torch.from_numpy(np.ascontiguousarray(nchw))
    model, layer = network(torch, file)
    difference = differs_from_onnx_runtime(torch, model, file, tensor, x)
    if not difference < 1e-3:
        protocol.refuse(
            f"the torch model's scores differ from ONNX Runtime's by {difference:.1e} spread off "
            "ONNX "
            "Runtime's"
        )

    versions, missing, actions = {"torch": torch.__version__}, [], {}

    def forward():
        with torch.no_grad():
            model(x)

    actions["forward"] = forward
    try:
        from importlib.metadata import version

        import pytorch_grad_cam

        versions["grad-cam"] = version("grad-cam")
        add_pytorch_grad_cam(actions, pytorch_grad_cam, model, layer, x)
    except ImportError:
        missing.append("pytorch-grad-cam")
    try:
        import torchcam
        from torchcam import methods

        versions["torchcam"] = torchcam.__version__
        add_torchcam(actions, torch, methods, model, layer, x)
    except ImportError:
        missing.append("torch-cam")
    protocol.serve(actions, {"versions": versions, "missing": missing, "difference": difference})


def add_pytorch_grad_cam(actions, library, model, layer, x):
    for name, method in (("gradcam", library.GradCAM), ("gradcam++", library.GradCAMPlusPlus)):
        # Each in its own context, so that its hooks are gone when the next one runs.
        # targets=None explains the predicted class.
        def explain(method=method):
            with method(model=model, target_layers=[layer]) as cam:
                cam(input_tensor=x, targets=None)

        actions["pytorch-grad-cam " + name] = explain

    def score_cam():
        with library.ScoreCAM(model=model, target_layers=[layer]) as cam:
            cam.batch_size = 8
            cam(input_tensor=x, targets=None)

    actions["pytorch-grad-cam scorecam"] = score_cam


def add_torchcam(actions, torch, methods, model, layer, x):
    for name, method in (("gradcam", methods.GradCAM), ("gradcam++", methods.GradCAMpp)):

        def explain(method=method):
            with method(model, target_layer=layer) as extractor:
                scores = model(x)
                extractor(scores.squeeze(0).argmax().item(), scores)

        actions["torch-cam " + name] = explain

    def score_cam():
        with (
            methods.ScoreCAM(model, target_layer=layer, batch_size=8) as extractor,
            torch.no_grad(),
        ):
            scores = model(x)
            extractor(scores.squeeze(0).argmax().item(), scores)

    actions["torch-cam scorecam"] = score_cam


if __name__ == "__main__":
    main()
