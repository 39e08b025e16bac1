"""An ONNX file in torch, float32: a pass with autograd's gradient of a class at a layer.

bench.workers.onnx_in_torch MODEL_FOLDER PICTURE --threads N
"""

import argparse
import pathlib

import torch

from camlens_tools.bench.workers import model_input, protocol
from camlens_tools.reference.interpreter import Interpreter, logits_name


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("picture", type=pathlib.Path)
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    file = args.folder / model_input.manifest(args.folder)["file"]
    interpreter = Interpreter(file, torch.float32)
    x = model_input.input_tensor(args.folder, args.picture)
    logits = logits_name(interpreter.model)

    def gradient(tensor):
        interpreter.gradients(x, [(logits, lambda scores: scores[0].max())], [tensor])

    protocol.serve({"gradient": gradient}, {"versions": {"torch": torch.__version__}})


if __name__ == "__main__":
    main()
