"""The maps of vgg16-mri that decide how exact camlens is: pictures, layers, classes, requests.

Three pictures that `tools setup` fetches, at the model's own size, so that a lossless PNG is the
input tensor: a photograph, a fundus photograph with a black background, and a photograph within a
white border. Flat areas matter: equal patches give equal values, and ties in max-pooling.
"""

from collections import namedtuple

import numpy as np
import torch
from PIL import Image

from camlens_tools.bench.workers import model_input
from camlens_tools.paths import MODELS, PICTURES
from camlens_tools.reference import maps
from camlens_tools.reference.interpreter import Interpreter, as_numpy, logits_name

SIDE = 240
FOLDER = MODELS / "vgg16-mri"
LAYERS = ("block1_conv2", "block3_conv1", "block4_conv2", "block5_conv3")
# The article explains this layer.
ARTICLE_LAYER = "block5_conv3"

Request = namedtuple("Request", "picture layer target method convention")


def tensor_name(layer):
    """The ONNX tensor that holds a layer's output after its ReLU."""
    return f"functional_1/{layer}_1/Relu:0"


def opened(name, size):
    with Image.open(PICTURES / name) as picture:
        return picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)


def bordered():
    """A picture of 3:2 between white bars."""
    whole = Image.new("RGB", (SIDE, SIDE), "white")
    whole.paste(opened("coffee.png", (SIDE, SIDE * 2 // 3)), (0, SIDE // 6))
    return whole


PICTURE_MAKERS = {
    "chelsea": lambda: opened("chelsea.png", (SIDE, SIDE)),
    "retina": lambda: opened("retina.jpg", (SIDE, SIDE)),
    "bordered": bordered,
}


def write_pictures(folder):
    """{name: path} of the pictures as PNG files of the model's input size."""
    paths = {}
    for name, make in PICTURE_MAKERS.items():
        paths[name] = folder / f"{name}.png"
        make().save(paths[name])
    return paths


def requests_for(picture, classes):
    """The 36 requests of a picture."""
    for target in classes:
        for method in maps.METHODS:
            for layer in LAYERS:
                yield Request(picture, layer, target, method, "paper")
        for method in ("gradcam", "gradcam++"):
            yield Request(picture, ARTICLE_LAYER, target, method, "article")


class Reference:
    """The maps by autograd in a float type: float64 is the truth, float32 what torch gives."""

    def __init__(self, dtype):
        self.interpreter = Interpreter(FOLDER / "model.onnx", dtype)
        self.logits = logits_name(self.interpreter.model)

    def classes(self, path):
        """The two most probable classes."""
        (logits,) = self.interpreter.run(model_input.input_tensor(FOLDER, path), [self.logits])
        return [int(index) for index in logits[0].argsort(descending=True)[:2]]

    def maps(self, name, path, classes):
        """{request: map `[h, w]` divided by its maximum} of one picture."""
        x, found = model_input.input_tensor(FOLDER, path), {}
        outputs = {"paper": self.logits, "article": self.interpreter.outputs[0]}
        keys = [(target, convention) for target in classes for convention in outputs]
        scores = [
            (outputs[convention], lambda tensor, target=target: tensor[0, target])
            for target, convention in keys
        ]
        tensors = [tensor_name(layer) for layer in LAYERS]
        scalars, activations, gradients = self.interpreter.gradients(x, scores, tensors)
        by_key = {key: rest for key, *rest in zip(keys, scalars, gradients)}
        for target in classes:
            for request in requests_for(name, [target]):
                score, grads = by_key[target, request.convention]
                index = LAYERS.index(request.layer)
                act, grad = activations[index][0], grads[index][0]
                if (request.method, request.convention) == ("gradcam++", "article"):
                    cam = maps.article_grad_cam_plus_plus(act, grad, score)
                else:
                    cam = maps.METHODS[request.method](act, grad)
                found[request] = as_numpy(maps.over_max(cam)).astype(np.float64)
        return found


def double():
    return Reference(torch.float64)


def single():
    return Reference(torch.float32)
