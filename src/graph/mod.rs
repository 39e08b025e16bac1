//! ONNX as data: reading and writing the protobuf, finding layers, building the backward pass.
