"""Checks `tools models.vgg16` on a checkpoint of random weights, served on loopback.

    python tools models.check_vgg16 [--keep FOLDER]

torch writes a VGG16 with random weights in the format of the published checkpoint. A server that
cuts every second connection serves it; the tool must go on where it was cut. The scores of the ONNX
file must equal torch's. A file with another digest and a checkpoint of another network must be
refused. Runs in the environment of requirements/golden-torch.txt; takes some minutes and 4 GB.
"""

import argparse
import contextlib
import http.server
import pathlib
import subprocess
import sys
import tempfile
import threading

import numpy
import onnx
import onnxruntime
import torch
import torchvision

from camlens_tools.checksums import sha256_of
from camlens_tools.paths import TOOLS

# Relative to the range of the scores, which is narrow for random weights.
TOLERANCE = 1e-4
CUT_AFTER = 200 << 20


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves one file with ranges, and cuts every second response after 200 MB."""

    file = None
    requests = []

    def do_GET(self):
        data = self.file.read_bytes()
        start = int((self.headers.get("Range") or "bytes=0-")[6:].partition("-")[0])
        self.requests.append(start)
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        end = start + CUT_AFTER if len(self.requests) % 2 else len(data)
        with contextlib.suppress(ConnectionError):
            self.wfile.write(data[start:end])
        self.close_connection = True

    def log_message(self, *_):
        pass


def run(out, url, sha256):
    options = ["--out", str(out), "--url", url, "--sha256", sha256]
    command = [sys.executable, str(TOOLS), "models.vgg16", *options]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def check(folder, url):
    torch.manual_seed(0)
    network = torchvision.models.vgg16(weights=None).eval()
    Handler.file = folder / "checkpoint.pth"
    torch.save(network.state_dict(), Handler.file, _use_new_zipfile_serialization=False)
    sha256, out = sha256_of(Handler.file), folder / "vgg16"

    refused = run(out, url, "0" * 64)
    assert refused.returncode == 1 and sha256 in refused.stderr, refused
    assert not list(out.glob("*.part")), "a file that is not the published one is not kept"

    Handler.requests.clear()
    done = run(out, url, sha256)
    assert done.returncode == 0, done
    assert len(Handler.requests) == 2 and Handler.requests[1] > 0, Handler.requests
    assert not list(out.glob("*.part"))
    onnx.checker.check_model(str(out / "model.onnx"), full_check=True)
    batch = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = network(batch).numpy()
    session = onnxruntime.InferenceSession(str(out / "model.onnx"))
    (got,) = session.run(["logits"], {"input": batch.numpy()})
    share = float(numpy.abs(got - wanted).max() / numpy.ptp(wanted))
    print(f"largest difference from torch's scores: {share:.1e} of their range")
    assert share <= TOLERANCE

    torch.save({"weight": torch.zeros(2)}, Handler.file, _use_new_zipfile_serialization=False)
    other = run(folder / "other", url, sha256_of(Handler.file))
    assert other.returncode == 1 and "is not torchvision's VGG16" in other.stderr, other


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--keep", type=pathlib.Path, help="write the files here and keep them")
    args = parser.parse_args()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/vgg16.pth"
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        check(folder, url)
    print("ok")


if __name__ == "__main__":
    main()
