"""Plain HTTP requests, whose responses are what every generated client has to show."""

import json
import urllib.error
import urllib.parse
import urllib.request

METHOD = "gradcam"
TARGET = "281"
COMPARED = "gradcam,gradcam++"
WRONG_CLASS = "no such class"

# They differ from one request to the next.
VOLATILE = ("timing_ms", "passes", "request_id")


class Plain:
    """The service at `url`, and a picture for it."""

    def __init__(self, url, model, picture):
        self.url, self.model, self.picture = url, model, picture
        self.image = picture.read_bytes()

    def get(self, path, **headers):
        request = urllib.request.Request(self.url + path, headers=headers)
        with urllib.request.urlopen(request) as response:
            return response.headers["content-type"], response.read()

    def post(self, path, **options):
        """Sends the picture as the body; returns the status and the body of the response."""
        url = f"{self.url}{path}?{urllib.parse.urlencode(options)}"
        headers = {"content-type": "image/png"}
        request = urllib.request.Request(url, data=self.image, headers=headers)
        try:
            with urllib.request.urlopen(request) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def expected(self):
        """The responses by the names that `compare` knows."""
        explain = {"model": self.model, "method": METHOD, "target": TARGET}
        comparison = {"methods": COMPARED, "output": "json"}

        def parsed(path, **options):
            return json.loads(self.post(path, **options)[1])

        return {
            "models": json.loads(self.get("/v1/models")[1]),
            "model": json.loads(self.get(f"/v1/models/{self.model}")[1]),
            "prediction": parsed("/v1/predict", top_k=3),
            "explanation": parsed("/v1/explain", **explain, output="json"),
            "explanations": parsed("/v1/explain", target="281,285", output="json"),
            "overlay": self.post("/v1/explain", **explain, output="overlay")[1],
            "comparison": parsed("/v1/compare", **comparison),
            "problem": parsed("/v1/explain", target=WRONG_CLASS),
        }


ABOUT = {
    "models": "lists the models",
    "model": "describes a model",
    "prediction": "predicts",
    "explanation": "explains a picture as JSON",
    "explanations": "explains two classes at once",
    "overlay": "explains a picture as a PNG",
    "comparison": "compares two methods",
    "problem": "reads a problem",
}


def stable(value):
    """A response without what differs between requests, and without absent members as null."""
    if isinstance(value, dict):
        return {
            name: stable(member)
            for name, member in value.items()
            if name not in VOLATILE and member is not None
        }
    return [stable(item) for item in value] if isinstance(value, list) else value


def compared(plain, module, calls):
    """A check for each function of `calls`, which returns what a client of `module` has found."""

    def check_of(name, call):
        def check():
            expected = plain.expected()[name]
            found = call()
            if isinstance(expected, bytes):
                assert found == expected, f"{len(found)} bytes, not {len(expected)}"
                assert found.startswith(b"\x89PNG"), found[:8]
                return
            assert stable(found) == stable(expected), (stable(found), stable(expected))

        check.__doc__, check.__module__ = ABOUT[name], module
        return check

    missing = set(ABOUT) - set(calls)
    assert not missing, missing
    return [check_of(name, call) for name, call in calls.items()]
