"""Checks the Prometheus files and the Grafana dashboard against the metrics that camlens exports.

promtool checks the syntax and runs the alerts' own tests. Then a real Prometheus, configured as in
deploy/compose, scrapes a real camlens that has served requests, and every expression of the alerts
and of the dashboard is parsed and evaluated: each metric and each label in it must exist, and each
panel must show something.
"""

import json
import shutil
import subprocess
import tempfile
import time
import urllib.parse
from collections import defaultdict
from pathlib import Path

import promql_parser
import yaml

from camlens_tools.bench.common import Failure
from camlens_tools.deploy.common import COMPOSE, DEPLOY, MODEL, eventually, free_port, request

SOURCE = COMPOSE / "prometheus"
DASHBOARD = COMPOSE / "grafana" / "dashboards" / "camlens.json"
DATASOURCE = COMPOSE / "grafana" / "provisioning" / "datasources" / "prometheus.yml"
JOB = "camlens"
SCRAPES = 4


def tool(name):
    found = shutil.which(name)
    if not found:
        raise Failure(f"there is no {name} (Debian: apt install prometheus)")
    return found


def promtool(*arguments):
    command = [tool("promtool"), *map(str, arguments)]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    if run.returncode != 0:
        raise Failure(f"promtool {' '.join(arguments[:2])}: {(run.stdout + run.stderr).strip()}")


def check_files():
    promtool("check", "config", "--lint-fatal", SOURCE / "prometheus.yml")
    promtool("check", "rules", "--lint-fatal", SOURCE / "alerts.yml")
    promtool("test", "rules", SOURCE / "alerts.test.yml")
    tested = (SOURCE / "alerts.test.yml").read_text(encoding="utf-8")
    names = [rule["alert"] for rule in alert_rules()]
    untested = [name for name in names if f'alertname="{name}"' not in tested]
    untested = [name for name in untested if f"alertname: {name}\n" not in tested]
    if untested:
        raise Failure(f"alerts.test.yml does not test {', '.join(untested)}")
    return f"promtool accepts prometheus.yml and {len(names)} alerts, and their tests pass"


def alert_rules():
    groups = yaml.safe_load((SOURCE / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels():
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    found = dashboard["panels"]
    if len({panel["id"] for panel in found}) != len(found):
        raise Failure("two panels of the dashboard have the same id")
    source = yaml.safe_load(DATASOURCE.read_text(encoding="utf-8"))["datasources"][0]["uid"]
    for panel in found:
        if any(target["datasource"]["uid"] != source for target in panel["targets"]):
            raise Failure(f"panel {panel['title']!r} reads another source than {source!r}")
    return found


def expressions():
    """(where, expression, whether it must show something) for alerts, dashboard and autoscaler."""
    for rule in alert_rules():
        yield f"alert {rule['alert']}", rule["expr"], False
    for panel in panels():
        for target in panel["targets"]:
            text = target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*")
            yield f"panel {panel['title']}", text, True
    adapter = yaml.safe_load((DEPLOY / "kubernetes" / "prometheus-adapter.yaml").read_bytes())
    for rule in adapter["rules"]["custom"]:
        text = rule["metricsQuery"].replace("<<.Series>>", rule["seriesQuery"].split("{")[0])
        text = text.replace("<<.LabelMatchers>>", "").replace("<<.GroupBy>>", "instance")
        yield "prometheus-adapter.yaml", text, True
    scaler = yaml.safe_load((DEPLOY / "kubernetes" / "autoscaler.yaml").read_bytes())
    for metric in scaler["spec"]["metrics"]:
        yield "autoscaler.yaml", metric["pods"]["metric"]["name"], True


def selectors_and_groupings(expression):
    """The (metric, labels) of each selector in an expression, and the labels of its groupings."""
    found, groupings = [], set()
    pending = [promql_parser.parse(expression)]
    while pending:
        node = pending.pop()
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql_parser.VectorSelector):
            found.append((node.name, {matcher.name for matcher in node.matchers.matchers}))
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            groupings |= set(node.modifier.labels)
        children = [getattr(node, name, None) for name in ("expr", "lhs", "rhs")]
        pending += [child for child in children + list(getattr(node, "args", [])) if child]
    return found, groupings


def labels_of_metrics(series):
    """The label names of each metric, out of Prometheus's list of series."""
    found = defaultdict(set)
    for labels in series:
        found[labels["__name__"]] |= set(labels) - {"__name__"}
    return found


def check_expressions(prometheus):
    known = labels_of_metrics(prometheus.get("series", ("match[]", f'{{job="{JOB}"}}')))
    count = 0
    for where, expression, must_show in expressions():
        try:
            found, groupings = selectors_and_groupings(expression)
        except ValueError as error:
            raise Failure(f"{where}: {error}") from error
        available = set()
        for metric, labels in found:
            if metric not in known:
                raise Failure(f"{where}: there is no metric {metric}")
            if not labels <= known[metric]:
                raise Failure(f"{where}: {metric} has no label {labels - known[metric]}")
            available |= known[metric]
        if not groupings <= available:
            raise Failure(f"{where}: no metric in it has the label {groupings - available}")
        result = prometheus.get("query", ("query", expression))["result"]
        if must_show and not result:
            raise Failure(f"{where} shows nothing: {expression}")
        count += 1
    exported = sorted(name for name in known if name.startswith("camlens_"))
    return (
        f"{count} expressions of alerts, dashboard and autoscaler are right for the "
        f"{len(exported)} series names that camlens exports"
    )


def serve_requests(instance):
    """One request of each kind that the dashboard distinguishes."""
    picture = MODEL.picture.read_bytes()
    headers = {"Content-Type": "application/octet-stream"}
    for path in ("explain", "explain", "predict", "explain?method=nothing"):
        request(instance.port, "POST", f"/v1/{path}", picture, headers)
    request(instance.port, "GET", "/v1/models")


class Prometheus:
    """A running Prometheus that scrapes one instance, once a second."""

    def __init__(self, instance):
        self.folder = tempfile.TemporaryDirectory(prefix="camlens-prometheus-")
        self.port = free_port()
        folder = Path(self.folder.name)
        config = yaml.safe_load((SOURCE / "prometheus.yml").read_text(encoding="utf-8"))
        config["global"]["scrape_interval"] = "1s"
        config["rule_files"] = [str(SOURCE / "alerts.yml")]
        for job in config["scrape_configs"]:
            port = instance.port if job["job_name"] == JOB else self.port
            job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen(
            [
                tool("prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )

    def __enter__(self):
        if not eventually(self.is_ready, 30, 0.2):
            log = Path(self.folder.name, "log").read_text(encoding="utf-8").splitlines()
            raise Failure(f"Prometheus did not start: {log[-1:]}")
        return self

    def __exit__(self, *exception):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()
        self.folder.cleanup()

    def is_ready(self):
        try:
            return request(self.port, "GET", "/-/ready", timeout=5)[0] == 200
        except OSError:
            return False

    def get(self, resource, *parameters):
        path = f"/api/v1/{resource}?{urllib.parse.urlencode(parameters)}"
        answer = json.loads(request(self.port, "GET", path)[2])
        if answer["status"] != "success":
            raise Failure(f"Prometheus: {answer['error']}: {parameters}")
        return answer["data"]

    def check_target(self):
        """Waits until camlens has been scraped a few times without an error."""

        def scraped():
            count = f'count_over_time(up{{job="{JOB}"}}[1m])'
            result = self.get("query", ("query", count))["result"]
            return bool(result) and int(result[0]["value"][1]) >= SCRAPES

        done = eventually(scraped, 30, 0.5)
        targets = self.get("targets")["activeTargets"]
        target = next(target for target in targets if target["labels"]["job"] == JOB)
        if not done or target["health"] != "up":
            raise Failure(f"Prometheus cannot scrape camlens: {target['lastError']}")


def check_metrics(instance):
    with Prometheus(instance) as prometheus:
        serve_requests(instance)
        time.sleep(2)
        serve_requests(instance)
        prometheus.check_target()
        return check_expressions(prometheus)
