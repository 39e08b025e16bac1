"""Runs exported files where ONNX runs: in Python, in onnxruntime-web under Node, in a browser."""
