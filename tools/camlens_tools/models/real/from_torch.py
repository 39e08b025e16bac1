"""Exports the packages' PyTorch weights as ONNX, without running the packages' code.

    models.real.from_torch FUNCTION WEIGHTS MODEL.onnx

`weights_only` refuses a pickle that names anything but tensors and containers. The networks are
written here from the shapes and the names of the weights.
"""

import sys

import torch
from torch import nn


def digit_recognizer(state):
    """Three 3x3 convolutions with ReLU and pooling, then two dense layers; [N, 1, 28, 28]."""
    blocks = []
    for inputs, outputs in ((1, 32), (32, 64), (64, 128)):
        blocks += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    network = nn.Sequential()
    network.conv_layers = nn.Sequential(*blocks)
    network.flatten = nn.Flatten()
    network.fc_layers = nn.Sequential(nn.Linear(128 * 9, 256), nn.ReLU(), nn.Linear(256, 10))
    network.load_state_dict(state)
    return network, (1, 28, 28)


def facial_emotion(state):
    """Four convolutions over reflected borders, then dense layers and a sigmoid; [N, 1, 48, 48]."""
    network, channels = nn.Sequential(), [1, 32, 64, 128, 256]
    for index in range(4):
        convolution = nn.Conv2d(channels[index], channels[index + 1], 3, stride=1 + (index > 0))
        block = [nn.ReflectionPad2d(1), convolution, nn.BatchNorm2d(channels[index + 1]), nn.ReLU()]
        network.add_module(f"conv_{index + 1}", nn.Sequential(*block))
    network.flatten = nn.Flatten()
    network.linear = nn.Sequential(nn.Linear(9216, 256), nn.ReLU(), nn.Linear(256, 7), nn.Sigmoid())
    network.load_state_dict(state["network"])
    return network, (1, 48, 48)


def main():
    function, weights, path = sys.argv[1:]
    state = torch.load(weights, map_location="cpu", weights_only=True)
    network, shape = {"digit_recognizer": digit_recognizer, "facial_emotion": facial_emotion}[
        function
    ](state)
    torch.onnx.export(
        network.eval(),
        (torch.zeros(1, *shape),),
        path,
        dynamo=False,
        opset_version=17,
        input_names=["image"],
        output_names=["scores"],
        dynamic_axes={"image": {0: "batch"}, "scores": {0: "batch"}},
    )


if __name__ == "__main__":
    main()
