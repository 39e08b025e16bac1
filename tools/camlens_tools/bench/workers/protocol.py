"""The protocol between the benchmark and a worker: one JSON object per line, request and response.

A worker sends `hello` when it is ready. It times its actions itself, so that no pipe is part of the
figure. Everything that libraries print goes to stderr, which the benchmark stores as a log.
"""

import json
import os
import sys
import time


def serve(actions, hello):
    """Serves requests until stdin ends. `actions` maps names to functions."""
    responses = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # a library's own output, even from C, must not mix with the responses

    def send(message):
        responses.write(json.dumps(message) + "\n")
        responses.flush()

    send(dict(hello, actions=sorted(actions)))
    for line in sys.stdin:
        request = json.loads(line)
        action = actions[request.pop("do")]
        start = time.perf_counter()
        result = action(**request)
        ms = (time.perf_counter() - start) * 1e3
        send({"ms": ms, "result": result})


def refuse(reason):
    """Says `hello` for a worker that cannot run here, and exits."""
    print(json.dumps({"skipped": reason}), flush=True)
    sys.exit(0)
