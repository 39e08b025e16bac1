"""Image bombs: small files that become large images or profiles, under a memory budget."""

import http.client
import time

from camlens_tools.bench.load import inputs
from camlens_tools.bench.load.memory_group import MemoryGroup
from camlens_tools.bench.load.report import Promise, Section
from camlens_tools.bench.load.traffic import closed_loop, post, repeat
from camlens_tools.bench.load.watch import Watch, status

BUDGET_MIB = 1024
CLIENTS = 16
SECONDS = 20
WARM_UP_S = 3
# So much the plain server may have before the kernel kills it.
PLAIN_MIB = 4096
# Between two samples, an allocation can come and go.
SAMPLE_S = 0.05


def photo_requests(server):
    return repeat(post(server.predict, inputs.photo()))


def throw(server, picture, seconds):
    """The run, and the peak of the RSS during it; None for a server that has died."""
    content_type = "image/webp" if picture[:4] == b"RIFF" else "image/png"
    request = post(server.predict, picture, content_type)
    with Watch(server.pid, SAMPLE_S) as watch:
        run = closed_loop(server.address, repeat(request), CLIENTS, seconds)
    return run, watch.peak_mib(), server.process.poll() is None


def measure_server(name, start, context):
    """Rows of one server, and by how much each bomb raised its memory."""
    for bomb, picture in inputs.bombs():
        server = start()
        try:
            closed_loop(server.address, photo_requests(server), CLIENTS, WARM_UP_S)
            before = status(server.pid)["VmHWM"]
            run, peak, is_alive = throw(server, picture, context.seconds(SECONDS))
            peak = status(server.pid)["VmHWM"] if is_alive else peak
            is_answering = is_alive and answers(server)
        finally:
            server.stop()
        yield (
            [
                name,
                bomb,
                run.statuses(),
                f"{before:.0f}",
                f"{peak:.0f}",
                "yes" if is_answering else "no" if is_alive else "**killed**",
            ],
            peak - before,
            is_answering,
        )


def answers(server):
    """Whether a good request is answered afterwards."""
    deadline = time.perf_counter() + 30
    while time.perf_counter() < deadline:
        connection = http.client.HTTPConnection(*server.address, timeout=30)
        try:
            headers = {"Content-Type": "image/jpeg"}
            connection.request("POST", server.predict, inputs.photo(), headers)
            response = connection.getresponse()
            response.read()
            if response.status == 200:
                return True
        except OSError:
            return False
        finally:
            connection.close()
        time.sleep(0.5)
    return False


def measure(context):
    rows, growth, all_answer = [], 0, True
    with MemoryGroup(PLAIN_MIB) as group:
        if group.is_limited:
            start = lambda: context.plain_server(group.enter)  # noqa: E731
            rows += [row for row, _, _ in measure_server("plain server", start, context)]
    budget = {"CAMLENS_MEMORY_BUDGET": str(BUDGET_MIB << 20)}
    for row, grown, is_answering in measure_server(
        "camlens", lambda: context.camlens(budget), context
    ):
        rows.append(row)
        growth = max(growth, grown)
        all_answer = all_answer and is_answering
    beside = (
        f"The plain server may have {PLAIN_MIB} MiB, by a control group."
        if rows[0][0] == "plain server"
        else "The plain server does not take part: this machine allows no control group that "
        "would stop it."
    )
    return Section(
        "Image bombs",
        [
            f"{CLIENTS} clients send each for {context.seconds(SECONDS):.0f} s as predictions; "
            f"`CAMLENS_MEMORY_BUDGET` is {BUDGET_MIB} MiB. Memory is VmHWM, the peak of the RSS, "
            f"before (after {WARM_UP_S} s of photographs) and afterwards. {beside}",
        ],
        [
            "server",
            "bomb",
            "responses",
            "peak before, MiB",
            "peak, MiB",
            "answers a good request afterwards",
        ],
        3,
        rows,
        [
            Promise(
                "All requests together hold at most the budget, whatever their images claim",
                f"at most {growth:.0f} MiB more than before; the budget is {BUDGET_MIB} MiB",
                growth <= BUDGET_MIB and all_answer,
            ),
        ],
    )
