"""Compares camlens with ONNX Runtime and with 64-bit arithmetic, for one model without a manifest.

The service says how it would prepare a picture and what the model's layers are; the reference gets
the same tensor and the same tensors' names, and nothing else from it.
"""

import json
import urllib.parse

import numpy as np
import onnx
import torch
from PIL import Image

from camlens_tools.bench.common import Failure
from camlens_tools.bench.workers import model_input
from camlens_tools.onnx_session import session_with_outputs
from camlens_tools.paths import PICTURES
from camlens_tools.reference import maps
from camlens_tools.reference.interpreter import Interpreter, channels_first, score_tensor

METHODS = ("gradcam", "hirescam")
PICTURE = PICTURES / "chelsea.png"


def details(service, model):
    service.connect()
    service.connection.request("GET", f"/v1/models/{model}")
    response = service.connection.getresponse()
    body = json.loads(response.read())
    if response.status != 200 or not body.get("ready", body.get("status") == "ready"):
        raise Failure(f"{model}: {body.get('detail') or body.get('error') or response.status}")
    return body


def write_picture(settings, path):
    """The picture at the model's input size, so that nothing is resized."""
    height, width = settings["size"]
    with Image.open(PICTURE) as opened:
        image = opened.convert("L" if settings["color"] == "gray" else "RGB")
    image.resize((width, height), Image.Resampling.BICUBIC).save(path)


def chosen_layers(about):
    """The default layer, and two others from a third and two thirds of the list."""
    layers = [layer for layer in about["layers"] if layer["gradients"]]
    default = next(
        layer for layer in layers if about["default_layer"] in (layer["alias"], layer["name"])
    )
    others = [layer for layer in layers if layer is not default]
    return [default, *(others[len(others) * part // 3] for part in (1, 2) if others)]


class Check:
    """One model: the file, the picture as a PNG and as a tensor, the class, and the reference."""

    def __init__(self, service, name, file, folder):
        self.name, self.file = name, file
        self.about = details(service, name)
        picture = folder / f"{name}.png"
        write_picture(self.about["input"], picture)
        self.picture = picture.read_bytes()
        self.x = model_input.tensor(self.about["input"], picture)
        self.layers = chosen_layers(self.about)
        self.interpreter, self.single = Interpreter(file), Interpreter(file, torch.float32)
        self.score = score_tensor(self.interpreter.model, self.about["output"]["name"])
        self.problems = []

    def query(self, path, **options):
        return f"{path}?" + urllib.parse.urlencode({"model": self.name, **options})

    def scores_error(self, service):
        """The largest relative difference of the logits from ONNX Runtime's own; sets the class."""
        session = session_with_outputs(onnx.load(self.file), [self.score])
        (scores,) = session.run([self.score], {session.get_inputs()[0].name: self.x})
        scores = scores.reshape(-1)
        _, body = service.post(self.query("/v1/predict", top_k=100), self.picture)
        predictions = json.loads(body)["predictions"]
        self.is_single = scores.size == 1
        self.target = 1 if self.is_single else predictions[0]["index"]
        if self.is_single:
            found = {p["index"]: p["logit"] for p in predictions}
            return abs(found[1] - float(scores[0])) / max(abs(float(scores[0])), 1.0)
        if int(scores.argmax()) != self.target:
            self.problems.append(f"predicts {self.target}, ONNX Runtime {int(scores.argmax())}")
        scale = max(float(np.abs(scores).max()), 1.0)
        return max(abs(p["logit"] - float(scores[p["index"]])) / scale for p in predictions)

    def drop_unknown_layers(self):
        """Leaves out layers whose tensor the file does not have, and notes them."""
        known = {name for node in self.interpreter.model.graph.node for name in node.output}
        for layer in self.layers:
            if layer["tensor"] not in known:
                self.problems.append(f"the file has no tensor {layer['tensor']}")
        self.layers = [layer for layer in self.layers if layer["tensor"] in known]

    def reference_maps(self, interpreter):
        """{(layer, method): map}, of 64 bits by `self.interpreter` and of 32 by `self.single`."""
        index = 0 if self.is_single else self.target
        pick = (self.score, lambda scores: scores.reshape(-1)[index])
        _, activations, (gradients,) = interpreter.gradients(
            self.x, [pick], [layer["tensor"] for layer in self.layers]
        )
        found = {}
        for layer, act, grad in zip(self.layers, activations, gradients):
            act, grad = in_maps(act, layer), in_maps(grad, layer)
            for method in METHODS:
                found[layer["name"], method] = maps.over_max(maps.METHODS[method](act, grad))
        return {key: cam.numpy() for key, cam in found.items()}

    def maps_errors(self, service, reference):
        """{(layer, method): largest difference} of one service's maps."""
        found = {}
        for (layer, method), exact in reference.items():
            path = self.query(
                "/v1/explain",
                method=method,
                layer=layer,
                target=self.target,
                output="json",
                size="layer",
                normalize="max",
            )
            _, body = service.post(path, self.picture)
            answer = json.loads(body)
            if answer["layer"] not in (layer, self.alias(layer)):
                self.problems.append(f"asked for `{layer}`, answered `{answer['layer']}`")
            theirs = np.array(answer["heatmap"]["data"])
            if theirs.shape != exact.shape:
                raise Failure(f"{self.name}, {layer}: {theirs.shape}, expected {exact.shape}")
            found[layer, method] = float(np.abs(theirs - exact).max())
        return found

    def alias(self, name):
        return next(layer["alias"] for layer in self.layers if layer["name"] == name)


def in_maps(tensor, layer):
    """`[C, h, w]`: a layout that the service states, checked against the shape that it states."""
    maps_of = channels_first(tensor, layer["layout"])
    if list(maps_of.shape) != layer["shape"]:
        raise Failure(f"{layer['name']}: {list(maps_of.shape)}, stated {layer['shape']}")
    return maps_of.to(torch.float64)
