"""How the driver talks to a worker: one JSON object a line, a question in, an answer out.

A worker says `hello` when it is ready. It times what it is asked to run by itself, so that no
pipe is in the figure. All that libraries print goes to stderr, which the driver keeps as a log.
"""

import json
import os
import sys
import time


def serve(actions, hello):
    """Answers questions until stdin ends. `actions` maps a name to a function of its arguments."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # a library's own print, even from C, must not break into the answers

    def answer(message):
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    answer(dict(hello, actions=sorted(actions)))
    for line in sys.stdin:
        question = json.loads(line)
        action = actions[question.pop("do")]
        start = time.perf_counter()
        result = action(**question)
        ms = (time.perf_counter() - start) * 1e3
        answer({"ms": ms, "result": result})


def refuse(reason):
    """The hello of a worker that cannot run here."""
    print(json.dumps({"skipped": reason}), flush=True)
    sys.exit(0)
