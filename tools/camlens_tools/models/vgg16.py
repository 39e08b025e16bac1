"""Fetches torchvision's ImageNet VGG16 and converts it to models/vgg16/model.onnx (553 MB).

    python3 tools models.vgg16 [--out FOLDER] [--url URL --sha256 HEX]

Runs on the standard library; torch is not needed. The checkpoint is VGG16_Weights.IMAGENET1K_V1 and
is verified by its SHA-256, whose first digits are in the name that torchvision publishes. An
interrupted download goes on where it stopped. The files appear under their final names when they
are complete. Takes about 2 GB of memory.

Each module gives its name to its output tensor after the activation, as in torchvision:
`features.29` is the last convolution after its ReLU. The manifest adds Keras's names,
`block1_conv1` to `block5_pool`.

Exit codes: 0 done, 1 the checkpoint can't be fetched or is not what it should be, 130 interrupted.
"""

import argparse
import os
import pathlib
import sys
import time
import urllib.error
import urllib.request

from camlens_tools import onnx_writer, paths, torch_weights
from camlens_tools.checksums import matches, sha256_of
from camlens_tools.models.export_vgg16 import TORCHVISION

URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
SHA256 = "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"
TRIES = 6
TIMEOUT_S = 60
CHUNK = 1 << 20

# Channels of each block's convolutions; a pooling layer ends each block.
BLOCKS = [(64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)]
SIDE_PX = 224
OPSET = 17

MANIFEST = """\
# Written by python3 tools models.vgg16: VGG16_Weights.IMAGENET1K_V1.
title = "VGG16"
description = "The network of the Grad-CAM papers, with ImageNet's 1000 classes."
domain = "photographs of animals and everyday objects"
file = "model.onnx"
sha256 = "{sha256}"
labels = "labels.txt"
default_layer = "block5_conv3" # after its ReLU, [512, 14, 14]

[layers] # Keras's names
{layers}

{input}
[output]
kind = "logits"
"""


class Failure(Exception):
    """An error to show in one line."""


def fetch(url, sha256, part):
    """Downloads `url` into `part`, going on where an earlier run stopped, and verifies it."""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(min(2**attempt, 30))
        try:
            if receive(url, part):
                break
            reason = "the connection ended early"
        except urllib.error.HTTPError as error:
            if error.code in (401, 403, 404, 410):
                raise Failure(f"{url}: {error.code} {error.reason}") from error
            reason = f"{error.code} {error.reason}"
        except OSError as error:
            reason = str(error)
        say(f"{reason}; {part.stat().st_size if part.exists() else 0} bytes are kept")
    else:
        raise Failure(f"cannot fetch {url}: {reason}. Run it again to go on")
    found = sha256_of(part)
    if found != sha256:
        part.unlink()
        raise Failure(f"{url} has SHA-256 {found}, not the published {sha256}: not used")


def receive(url, part):
    """One request for what is missing; True if the file is complete then."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        # There is nothing behind what we have: the digest decides whether that is the file.
        if error.code == 416:
            return True
        raise
    with response, open(part, "ab") as file:
        if response.status != 206:
            file.truncate(0)
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        shown = time.monotonic()
        while chunk := response.read(CHUNK):
            file.write(chunk)
            have += len(chunk)
            if time.monotonic() - shown > 5:
                shown = time.monotonic()
                say(f"{have >> 20} of {total >> 20 if total else '?'} MB")
    return total is None or have == total


def convert(checkpoint, target):
    """Writes the ONNX file; returns the tensors' names by Keras's names."""
    weights = torch_weights.load(checkpoint)
    graph = onnx_writer.Graph("vgg16")
    aliases = {}

    def parameters(name, shape):
        found = weights.get(name + ".weight"), weights.get(name + ".bias")
        if None in found or [list(tensor.shape) for tensor in found] != [shape, shape[:1]]:
            raise Failure(f"the checkpoint is not torchvision's VGG16: {name} is not {shape}")
        return [
            graph.constant(name + part, list(tensor.shape), tensor.values)
            for part, tensor in zip((".weight", ".bias"), found)
        ]

    x, channels, side, index = "input", 3, SIDE_PX, 0
    for block, convolutions in enumerate(BLOCKS, 1):
        for number, width in enumerate(convolutions, 1):
            conv, relu = f"features.{index}", f"features.{index + 1}"
            inputs = [x, *parameters(conv, [width, channels, 3, 3])]
            shape = ["N", width, side, side]
            sizes = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [1, 1]}
            x = graph.node("Conv", conv + "/Conv", inputs, conv, shape, **sizes)
            x = graph.node("Relu", relu + "/Relu", [x], relu, shape)
            aliases[f"block{block}_conv{number}"] = relu
            channels, index = width, index + 2
        side //= 2
        pool, shape = f"features.{index}", ["N", channels, side, side]
        sizes = {"kernel_shape": [2, 2], "strides": [2, 2]}
        x = graph.node("MaxPool", pool + "/MaxPool", [x], pool, shape, **sizes)
        aliases[f"block{block}_pool"] = pool
        index += 1
    # The average pooling to 7×7 that torchvision has here changes nothing at this input size.
    width = channels * side * side
    x = graph.node("Flatten", "flatten/Flatten", [x], "flatten", ["N", width], axis=1)
    for number, (outputs, name) in enumerate([(4096, None), (4096, None), (1000, "logits")]):
        layer = f"classifier.{3 * number}"
        inputs = [x, *parameters(layer, [outputs, width])]
        x = graph.node("Gemm", layer + "/Gemm", inputs, name or layer, ["N", outputs], transB=1)
        if not name:
            relu = f"classifier.{3 * number + 1}"
            x = graph.node("Relu", relu + "/Relu", [x], relu, ["N", outputs])
        width = outputs
    ends = [("input", ["N", 3, SIDE_PX, SIDE_PX])], [("logits", ["N", width])]
    target.write_bytes(graph.model(*ends, OPSET, "camlens"))
    return aliases


def say(line):
    print("vgg16: " + line, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=paths.MODELS / "vgg16")
    parser.add_argument("--url", default=URL, help="another place with the same file")
    parser.add_argument("--sha256", default=SHA256, help="the digest of that file")
    args = parser.parse_args()

    model, manifest = args.out / "model.onnx", args.out / "model.toml"
    if model.exists() and manifest.exists():
        say(f"{model} is there already; remove it to fetch it again")
        return
    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint = args.out / f"{args.sha256[:16]}.pth.part"
    if not matches(checkpoint, args.sha256):
        say(f"fetching {args.url} (528 MB)")
        fetch(args.url, args.sha256, checkpoint)
    say("converting")
    part = args.out / "model.onnx.part"
    aliases = convert(checkpoint, part)
    layers = "\n".join(f'{alias} = "{tensor}"' for alias, tensor in aliases.items())
    text = MANIFEST.format(sha256=sha256_of(part), layers=layers, input=TORCHVISION)
    labels = args.out / "labels.txt"
    if not labels.exists():
        labels.write_bytes((paths.MODELS / "vgg16/labels.txt").read_bytes())
    # The manifest comes last: without it, a folder that was interrupted here is made again.
    os.replace(part, model)
    text_part = args.out / "model.toml.part"
    text_part.write_text(text, encoding="utf-8")
    os.replace(text_part, manifest)
    checkpoint.unlink()
    say(f"{model}: ready, and the default model from the next start on")


if __name__ == "__main__":
    try:
        main()
    except (Failure, OSError, ValueError) as failure:
        print(f"vgg16: {failure}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("vgg16: interrupted; run it again to go on", file=sys.stderr)
        sys.exit(130)
