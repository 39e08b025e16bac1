"""Other inference engines on the untouched model file, in float32: OpenVINO and ncnn.

    bench.workers.engines MODEL_FOLDER PICTURE --threads N --engine openvino|ncnn

Each runs one image whose input tensor is made before the clock starts. Its scores are compared with
ONNX Runtime's before anything is timed. ncnn has its own file format, into which pnnx converts the
model; the conversion is not timed.
"""

import argparse
import contextlib
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime

from camlens_tools.bench.workers import model_input, protocol


class Unfit(Exception):
    """The reason why an engine cannot run this model."""


def openvino(file, tensor, threads):
    """Returns (a function that runs `tensor`, the library's version)."""
    import openvino as library

    # Without the precision hint, OpenVINO uses 16-bit instructions where the CPU has them.
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    core = library.Core()
    model = core.read_model(file)
    # A batch of 1, as for ncnn: both optimise for fixed shapes.
    model.reshape(list(tensor.shape))
    request = core.compile_model(model, "CPU", options).create_infer_request()
    return lambda: request.infer([tensor]).to_tuple()[0][0], library.__version__.split("-")[0]


def ncnn(file, tensor, threads):
    """Returns (a function that runs `tensor`, the library's version)."""
    import ncnn as library

    if tensor.shape[1] != 3:
        raise Unfit("it needs channels first")
    with tempfile.TemporaryDirectory(prefix="camlens-bench-") as folder:
        made = {
            name: f"{folder}/{name}"
            for name in (
                "ncnnparam",
                "ncnnbin",
                "pnnxparam",
                "pnnxbin",
                "pnnxpy",
                "pnnxonnx",
                "ncnnpy",
            )
        }
        pnnx = pathlib.Path(sys.executable).parent / "pnnx"
        shape = ",".join(map(str, tensor.shape))
        subprocess.run(
            [
                pnnx,
                file.resolve(),
                f"inputshape=[{shape}]",
                "fp16=0",
                *(f"{name}={path}" for name, path in made.items()),
            ],
            check=True,
            stdout=sys.stderr,
        )
        net = library.Net()
        net.opt.num_threads = threads
        net.opt.use_vulkan_compute = False
        for option in ("packed", "storage", "arithmetic"):
            setattr(net.opt, f"use_fp16_{option}", False)
        net.opt.use_bf16_storage = False
        net.load_param(made["ncnnparam"])
        net.load_model(made["ncnnbin"])
    image = library.Mat(tensor[0]).clone()

    def forward():
        with net.create_extractor() as extractor:
            extractor.input("in0", image)
            return np.array(extractor.extract("out0")[1]).ravel()

    return forward, library.__version__


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("picture", type=pathlib.Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--engine", choices=["openvino", "ncnn"], required=True)
    args = parser.parse_args()

    file = args.folder / model_input.manifest(args.folder)["file"]
    tensor = model_input.input_tensor(args.folder, args.picture)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            forward, version = {"openvino": openvino, "ncnn": ncnn}[args.engine](
                file, tensor, args.threads
            )
    except ImportError as error:
        protocol.refuse(f"{error.name} is not installed")
    except Unfit as unfit:
        protocol.refuse(str(unfit))
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    expected = session.run(None, {session.get_inputs()[0].name: tensor})[0][0]
    del session
    difference = float(np.abs(forward() - expected).max() / np.ptp(expected))
    if not difference < 1e-3:
        protocol.refuse(f"its scores differ from ONNX Runtime's by {difference:.1e} of their range")

    def timed():
        forward()  # without returning the scores, which cannot be sent as JSON

    protocol.serve(
        {"forward": timed}, {"versions": {args.engine: version}, "difference": difference}
    )


if __name__ == "__main__":
    main()
