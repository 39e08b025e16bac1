"""The baseline: ONNX Runtime's own Python package on the untouched model file.

    bench.workers.plain_ort MODEL_FOLDER PICTURE --threads N [--no-spinning]

Session options are the defaults, except for the number of threads and, if asked, their spinning.
The input tensor and the masked ones are made before the clock starts.
"""

import argparse
import io
import pathlib
import time

import numpy as np
import onnxruntime

from camlens_tools.bench.workers import model_input, protocol

BATCH = 8


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("picture", type=pathlib.Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--no-spinning", action="store_true")
    args = parser.parse_args()

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    if args.no_spinning:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    file = args.folder / model_input.manifest(args.folder)["file"]
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    tensor = model_input.input_tensor(args.folder, args.picture)
    channels = tensor.shape.index(3)
    height, width = [side for axis, side in enumerate(tensor.shape) if axis not in (0, channels)]
    batch = tensor * np.expand_dims(model_input.masks(BATCH, height, width), channels)

    def forward():
        session.run(None, {name: tensor})

    def masked(count):
        """Runs `count` masked images in batches of 8; the same 8 images each time."""
        for start in range(0, count, BATCH):
            session.run(None, {name: batch[: min(BATCH, count - start)]})

    settings = model_input.manifest(args.folder)["input"]
    content = args.picture.read_bytes()

    def picture():
        """Runs the picture from its file's bytes on, as a service would."""
        made = model_input.tensor(settings, io.BytesIO(content))
        session.run(None, {name: made})

    def repeated(action):
        """The action again and again for some seconds: the time of each, and of all."""

        def run(seconds):
            times, cpu, begin = [], time.process_time(), time.perf_counter()
            now = begin
            while now < begin + seconds:
                action()
                before, now = now, time.perf_counter()
                times.append((now - before) * 1e3)
            cpu_s = time.process_time() - cpu
            return {"times_ms": times, "elapsed_s": now - begin, "cpu_s": cpu_s}

        return run

    scores = session.run(None, {name: tensor})[0][0]
    protocol.serve(
        {
            "forward": forward,
            "masked": masked,
            "forward_for": repeated(forward),
            "picture_for": repeated(picture),
        },
        {"onnxruntime": onnxruntime.__version__, "top": int(scores.argmax())},
    )


if __name__ == "__main__":
    main()
