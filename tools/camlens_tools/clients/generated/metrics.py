"""/metrics, read by the official Prometheus parser in both formats that it can have."""

from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as text_format

# What the parser makes of the metrics that grow. The types are those of docs/guide/operating.md.
COUNTERS = {
    "camlens_requests", "camlens_passes", "camlens_cache", "camlens_log_lines_dropped",
    "camlens_connections_ended",
}  # fmt: skip
HISTOGRAMS = {"camlens_request_duration_seconds", "camlens_stage_duration_seconds"}
INFO = "camlens_build"


def families(parse, text):
    return {family.name: family for family in parse(text)}


def check_counters(found):
    counters = {name: family for name, family in found.items() if family.type == "counter"}
    assert counters.keys() >= COUNTERS, sorted(COUNTERS - counters.keys())
    for family in counters.values():
        names = {sample.name for sample in family.samples}
        assert names <= {family.name + "_total"}, names
    named = {
        sample.name.removesuffix("_total")
        for family in found.values()
        for sample in family.samples
        if sample.name.endswith("_total")
    }
    assert named <= counters.keys(), named - counters.keys()
    for name in HISTOGRAMS:
        assert found[name].type == "histogram", (name, found[name].type)
        assert found[name].samples, name


def checks(plain):
    plain.post("/v1/explain", target="281")

    def text():
        """the text format: each counter is a counter, and ends in _total"""
        content_type, body = plain.get("/metrics")
        assert content_type.startswith("text/plain; version=0.0.4"), content_type
        body = body.decode()
        # `# EOF`, `# UNIT` and the type `info` belong to OpenMetrics.
        assert not {"EOF", "UNIT"} & {line.split()[1] for line in body.splitlines()
                                      if line.startswith("#")}  # fmt: skip
        found = families(text_format, body)
        check_counters(found)
        assert "unknown" not in {family.type for family in found.values()}

    def open_metrics_text():
        """OpenMetrics, if Accept names it: the strict parser reads it to its end mark"""
        accept = "application/openmetrics-text; version=1.0.0"
        content_type, body = plain.get("/metrics", accept=accept)
        assert content_type.startswith(accept), content_type
        assert body.endswith(b"# EOF\n"), body[-40:]
        found = families(open_metrics, body.decode())
        check_counters(found)
        assert found[INFO].type == "info", found[INFO].type

    return [text, open_metrics_text]
