"""openapi-generator's typescript-fetch, compiled by `tsc --strict` and run in Node."""

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
    @functools.cache
    def run():
        values = (plain.url, plain.model, plain.picture, METHOD, TARGET, COMPARED, WRONG_CLASS)
        return json.loads(generate.node(generate.TYPESCRIPT / "out" / "run.js", *values))

    calls = {name: functools.partial(lambda name: run()[name], name) for name in ABOUT}
    calls["overlay"] = lambda: base64.b64decode(run()["overlay"])
    return compared(plain, __name__, calls)
