"""The Postman converter's collection, run by newman."""

import base64
import functools
import json

from camlens_tools.clients.generated import generate
from camlens_tools.clients.generated.plain import (
    ABOUT,
    COMPARED,
    METHOD,
    TARGET,
    WRONG_CLASS,
    compared,
)


def checks(plain):
    """The requests with the options of `Plain.expected`, whose responses are compared with it."""
    explain = {"model": plain.model, "method": METHOD, "target": TARGET}
    requests = {
        "models": ("List the models", {}),
        "model": ("Describe one model", {}),
        "prediction": ("Predict, without a map", {"top_k": "3"}),
        "explanation": ("Explain one image", {**explain, "output": "json"}),
        "explanations": ("Explain one image", {"target": "281,285", "output": "json"}),
        "overlay": ("Explain one image", {**explain, "output": "overlay"}),
        "comparison": (
            "Compare several methods on one image", {"methods": COMPARED, "output": "json"},
        ),
        "problem": ("Explain one image", {"target": WRONG_CLASS}),
    }  # fmt: skip

    @functools.cache
    def run():
        collection = generate.POSTMAN / "collection.json"
        values = (collection, plain.url, plain.model, plain.picture, json.dumps(requests))
        return json.loads(generate.node(generate.NODE / "newman.cjs", *values))

    def found(name):
        body = base64.b64decode(run()[name])
        return body if name == "overlay" else json.loads(body)

    return compared(plain, __name__, {name: functools.partial(found, name) for name in ABOUT})
