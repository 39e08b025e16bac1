"""Opens an ONNX file in ONNX Runtime with inner tensors as additional outputs.

The golden arrays and the conformance files both need to know which tensor of a file holds the
output of which layer of a framework. Exporters choose names freely, so tensors are matched by
value, and for that their values must be readable.
"""

import onnx
import onnxruntime


def inner_tensors(model):
    """The names of all tensors that nodes other than Constant compute, in graph order."""
    return [
        name
        for node in model.graph.node
        for name in node.output
        if name and node.op_type != "Constant"
    ]


def session_with_outputs(model, names, threads=None):
    """A session that returns the tensors `names` besides the model's own outputs.

    `model` is a ModelProto and gets the new outputs. Graph optimisations are off, because fusions
    would remove the tensors.
    """
    known = {output.name for output in model.graph.output}
    model.graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(name) for name in names if name not in known
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if threads:
        options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
