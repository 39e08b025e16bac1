"""Converts Keras files and TensorFlow.js models to ONNX with tf2onnx.

    models.real.from_tensorflow FUNCTION FILE MODEL.onnx

Runs in the TensorFlow environment (requirements/golden-tf.txt). A graph of TensorFlow.js has fused
operators that TensorFlow 2.15 no longer reads; they are written as the operators that they stand
for. Quantised weights are dequantised, as TensorFlow.js does when it loads a model.
"""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import tf2onnx
from google.protobuf import json_format

OPSET = 13
# Evaluates the modules of a bundle, which hold nothing but data, in a context without `require`.
EVALUATE = """
const vm = require('vm'), fs = require('fs'), values = [];
for (const path of process.argv.slice(1)) {
  const module = { exports: {} };
  vm.runInNewContext(fs.readFileSync(path, 'utf8'), { module, exports: module.exports });
  values.push(module.exports);
}
process.stdout.write(JSON.stringify(values));
"""


def keras_file(path):
    return keras_to_onnx(tf.keras.models.load_model(path, compile=False))


def keras_to_onnx(model):
    signature = [tf.TensorSpec(model.inputs[0].shape, tf.float32, name="input")]
    return tf2onnx.convert.from_keras(model, signature, opset=OPSET)[0]


def tfjs_file(path):
    """A model.json with its weights in binary files beside it."""
    description = json.loads(path.read_text(encoding="utf-8"))
    return tfjs(description, lambda name: (path.parent / name).read_bytes())


def tfjs_bundle(path):
    """A model whose JSON and weights are JavaScript modules, as nsfwjs has them."""
    shards = sorted(path.parent.glob("group1-shard*"))
    command = ["node", "-e", EVALUATE, str(path), *map(str, shards)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    description, *texts = json.loads(run.stdout)
    named = {shard.name.partition(".")[0]: text for shard, text in zip(shards, texts)}
    return tfjs(description, lambda name: base64.b64decode(named[name]))


def tfjs(description, read):
    weights = read_weights(description["weightsManifest"], read)
    topology = description["modelTopology"]
    if "model_config" in topology:
        return layers_model(topology["model_config"], weights)
    return graph_model(topology, description, weights)


def read_weights(manifest, read):
    """{name: array} of a weights manifest."""
    found = {}
    for group in manifest:
        data, offset = b"".join(read(path) for path in group["paths"]), 0
        for entry in group["weights"]:
            quantisation = entry.get("quantization")
            stored = np.dtype(quantisation["dtype"] if quantisation else entry["dtype"])
            count = int(np.prod(entry["shape"], dtype=np.int64))
            values = np.frombuffer(data, stored, count, offset).reshape(entry["shape"])
            offset += count * stored.itemsize
            if quantisation and "scale" in quantisation:
                values = values * quantisation["scale"] + quantisation["min"]
            found[entry["name"]] = values.astype(entry["dtype"])
    return found


def layers_model(config, weights):
    model = tf.keras.models.model_from_json(json.dumps(config))
    for layer in model.layers:
        # `conv/kernel:0` is `conv/kernel` in the manifest.
        names = [variable.name.partition(":")[0] for variable in layer.weights]
        if names:
            layer.set_weights([weights[name] for name in names])
    return keras_to_onnx(model)


def graph_model(topology, description, weights):
    graph = tf.compat.v1.GraphDef()
    json_format.ParseDict({"node": topology["node"]}, graph)
    fill_constants(graph, weights)
    signature = description.get("signature") or (description.get("userDefinedMetadata") or {}).get(
        "signature", {}
    )
    consumed = {name.partition(":")[0] for node in graph.node for name in node.input}
    inputs = [node.name for node in graph.node if node.op == "Placeholder"]
    ends = [item["name"].partition(":")[0] for item in signature.get("outputs", {}).values()]
    ends = ends or [node.name for node in graph.node if node.name not in consumed]
    graph = unfused(graph)
    return tf2onnx.convert.from_graph_def(
        graph,
        input_names=[f"{name}:0" for name in inputs],
        output_names=[f"{name}:0" for name in ends],
        opset=OPSET,
    )[0]


def fill_constants(graph, weights):
    for node in graph.node:
        if node.op == "Const" and node.name in weights:
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(weights[node.name]))


def unfused(graph):
    """The graph with each fused operator as a convolution or product, a bias, an activation."""
    plain = tf.compat.v1.GraphDef()
    for node in graph.node:
        if "fused_ops" not in node.attr:
            plain.node.add().CopyFrom(node)
            continue
        kinds = [kind.decode() for kind in node.attr["fused_ops"].list.s]
        names = [f"{node.name}/unfused_{index}" for index in range(len(kinds))] + [node.name]
        first = plain.node.add(name=names[0], op=node.op.removeprefix("_").removeprefix("Fused"))
        first.input.extend(node.input[:2])
        for key in ("T", "strides", "padding", "data_format", "dilations", "explicit_paddings"):
            if key in node.attr and first.op != "MatMul":
                first.attr[key].CopyFrom(node.attr[key])
        for key in ("T", "transpose_a", "transpose_b"):
            if key in node.attr and first.op == "MatMul":
                first.attr[key].CopyFrom(node.attr[key])
        rest = list(node.input[2:])
        for index, kind in enumerate(kinds):
            step = plain.node.add(name=names[index + 1], op=kind)
            step.input.append(names[index])
            if kind in ("BiasAdd", "Prelu"):
                step.input.append(rest.pop(0))
            step.attr["T"].CopyFrom(node.attr["T"])
            if kind == "LeakyRelu":
                step.attr["alpha"].f = node.attr["leakyrelu_alpha"].f
    return plain


def main():
    function, file, path = sys.argv[1:]
    functions = {
        "keras_file": keras_file,
        "tfjs_file": tfjs_file,
        "tfjs_bundle": tfjs_bundle,
    }
    model = functions[function](Path(file))
    Path(path).write_bytes(model.SerializeToString())


if __name__ == "__main__":
    main()
