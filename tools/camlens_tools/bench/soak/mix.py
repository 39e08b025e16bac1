"""The requests of the soak: every endpoint, method and format, good and bad inputs."""

import base64
import json
from collections import namedtuple

from camlens_tools.bench.load import inputs
from camlens_tools.bench.load.traffic import get, post
from camlens_tools.paths import PICTURES

# `status` is the expected one, `same` what must be the same every time: BYTES, MAP or nothing.
Kind = namedtuple("Kind", "label request status same")
BYTES, MAP = "bytes", "map"

SMALL = "efficientnet-lite0"
VGG = "vgg16-mri"
METHODS = (
    "gradcam gradcam++ scorecam layercam hirescam xgradcam gradcam-elementwise eigencam "
    "eigengradcam random ablationcam reciprocam smoothgradcam++ groupcam"
).split()
PICTURE_OUTPUTS = ("overlay", "heatmap", "gray")
# The methods of many passes are shortened, so that the mix stays a mix.
SHORTENED = {
    "scorecam": "&max_channels=24",
    "smoothgradcam++": "&samples=6",
}
# Their batches follow the load, and with the size of a batch the last digits of its sums change.
MASKED = ("scorecam", "ablationcam", "reciprocam", "smoothgradcam++", "groupcam")
GETS = (
    "/health/live /health/ready /ping /v1/models /v2 /v2/health/live /v2/health/ready /v2/models "
    "/openapi.yaml /openapi.json /docs /"
).split()
ANY = "*/*"


def good_kinds():
    jpeg = inputs.photo()
    png = (PICTURES / "chelsea.png").read_bytes()
    phantom = (PICTURES / "phantom.png").read_bytes()
    for method in METHODS:
        short = SHORTENED.get(method, "")
        path = f"/v1/explain?model={SMALL}&method={method.replace('+', '%2B')}{short}"
        same = MAP if method in MASKED else BYTES
        yield Kind(f"{method}, npy", post(f"{path}&output=npy", png, "image/png", ANY), 200, same)
        yield Kind(f"{method}, json", post(f"{path}&output=json", jpeg), 200, None)
    for output in PICTURE_OUTPUTS:
        path = f"/v1/explain?model={SMALL}&method=gradcam&output={output}"
        yield Kind(output, post(path, jpeg, accept=ANY), 200, BYTES)
    for method in ("gradcam", "layercam"):
        path = f"/v1/explain?model={VGG}&method={method}&output=npy"
        yield Kind(f"{VGG}, {method}", post(path, phantom, "image/png", ANY), 200, BYTES)
    stream = "text/event-stream"
    for method in ("gradcam", "scorecam"):
        path = f"/v1/explain?model={SMALL}&method={method}{SHORTENED.get(method, '')}"
        yield Kind(f"{method}, stream", post(path, png, "image/png", stream), 200, None)
    compare = f"/v1/compare?model={SMALL}&methods=gradcam,gradcam%2B%2B,layercam&output="
    yield Kind("compare, figure", post(compare + "figure", png, "image/png", ANY), 200, BYTES)
    yield Kind("compare, json", post(compare + "json", png, "image/png"), 200, None)
    for model, picture in ((SMALL, png), (VGG, phantom)):
        request = post(f"/v1/predict?model={model}", picture, "image/png")
        yield Kind(f"predict, {model}", request, 200, None)
    yield from protocol_kinds(png)


def json_post(path, value, accept="application/json"):
    return post(path, json.dumps(value).encode(), "application/json", accept)


def form_post(path, name, picture):
    mark = "camlens-soak-boundary"
    head = (
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"; filename="a.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    )
    body = head.encode() + picture + f"\r\n--{mark}--\r\n".encode()
    return post(path, body, f"multipart/form-data; boundary={mark}")


def protocol_kinds(picture):
    encoded = base64.b64encode(picture).decode()
    instances = {"instances": [{"b64": encoded}], "parameters": {"method": "gradcam"}}
    tensors = {
        "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [encoded]}],
        "parameters": {"method": "gradcam"},
    }
    image = {"image": encoded, "model": SMALL, "method": "gradcam"}
    requests = {
        "explain, JSON": json_post("/v1/explain?output=json", image),
        "explain, form": form_post(f"/v1/explain?model={SMALL}&output=json", "image", picture),
        "KServe explain": json_post(f"/v1/models/{SMALL}:explain", instances),
        "KServe predict": json_post(f"/v1/models/{SMALL}:predict", {**instances, "parameters": {}}),
        "v2 infer": json_post(f"/v2/models/{SMALL}/infer", tensors),
        "MLServer explain": json_post("/explain", tensors),
        "TorchServe explain": post(f"/explanations/{SMALL}", picture, "image/png"),
        "TorchServe predict": post(f"/predictions/{SMALL}", picture, "image/png"),
        "SageMaker": json_post("/invocations", image),
        "model": get(f"/v1/models/{SMALL}"),
        "v2 model": get(f"/v2/models/{VGG}"),
        "v2 model, ready": get(f"/v2/models/{VGG}/ready"),
        **{path: get(path) for path in GETS},
    }
    for label, request in requests.items():
        yield Kind(label, request, 200, None)


def bad_kinds():
    picture = (PICTURES / "chelsea.png").read_bytes()
    path = f"/v1/explain?model={SMALL}"
    requests = {
        "unknown model": (post("/v1/explain?model=none", picture, "image/png"), 404),
        "unknown path": (get("/v1/none"), 404),
        "wrong method": (get("/v1/explain"), 405),
        "unknown CAM method": (post(f"{path}&method=none", picture, "image/png"), 400),
        "unknown option": (post(f"{path}&none=1", picture, "image/png"), 400),
        "unknown class": (post(f"{path}&target=99999", picture, "image/png"), 422),
        "no image": (post(path, b"", "image/png"), 415),
        "no picture": (post(path, b"no picture" * 100, "image/png"), 415),
        "half a picture": (post(path, picture[: len(picture) // 2], "image/png"), 422),
        "broken JSON": (post(path, b'{"image": ', "application/json"), 400),
        "broken base64": (json_post(path, {"image": "%%%"}), 400),
        "WebP bomb": (post(path, inputs.webp_bomb(), "image/webp"), 422),
        "profile bomb": (post(path, inputs.profile_bomb(), "image/png"), 200),
        "too many pixels": (post(path, inputs.png(8000, 7000), "image/png"), 413),
    }
    for label, (request, status) in requests.items():
        yield Kind(label, request, status, None)


def kinds():
    return [*good_kinds(), *bad_kinds()]
