"""Numbers that stand in several files of deploy/ and must fit camlens's own defaults.

A shutdown takes the delay and the drain timeout, then DELIVERY_S: two seconds to deliver the last
responses, and one to abandon work that does not stop. Whoever kills the process must wait longer.
"""

import re

import tomllib
import yaml

from camlens_tools.bench.common import Failure
from camlens_tools.deploy.common import COMPOSE
from camlens_tools.paths import ROOT

DELIVERY_S = 3
# What Docker and Kubernetes wait by default between the signal to stop and the kill.
DOCKER_GRACE_S = 10
KUBERNETES_GRACE_S = 30
DELAY, DRAIN = "CAMLENS_SHUTDOWN_DELAY_MS", "CAMLENS_DRAIN_TIMEOUT_MS"
ADMIN_PORT = 8081
MEBIBYTE = 1 << 20


def image_name():
    """The image's name with the version in Cargo.toml."""
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))
    return f"camlens:{manifest['package']['version']}"


def defaults():
    return (ROOT / "config" / "default.toml").read_text(encoding="utf-8")


def check_image(where, image):
    if image != image_name():
        raise Failure(f"{where}: the image is {image}, and Cargo.toml's version is {image_name()}")


def check_settings(where, settings):
    """Every variable of camlens is one that config/default.toml documents."""
    names = {name for name in settings if name.startswith("CAMLENS_")}
    if unknown := names - set(re.findall(r"\[(CAMLENS_\w+)\]", defaults())):
        raise Failure(f"{where}: config/default.toml has no {', '.join(sorted(unknown))}")


def check_grace(where, settings, grace_s):
    """A shutdown ends before the kill."""
    delay_ms, drain_ms = int(settings.get(DELAY, 0)), int(settings[DRAIN])
    needed = (delay_ms + drain_ms) / 1000 + DELIVERY_S
    if needed >= grace_s:
        raise Failure(f"{where}: a shutdown takes {needed:.0f} s; the kill comes after {grace_s} s")


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text)[1])


def directive(text, name):
    """The value of an nginx directive that occurs once."""
    found = re.findall(rf"(?m)^\s*{name} (.*);$", text)
    if len(found) != 1:
        raise Failure(f"deploy/compose/nginx has {len(found)} times {name}")
    return found[0]


def check_nginx():
    server = tomllib.loads(defaults())["server"]
    text = (COMPOSE / "nginx" / "nginx.conf").read_text(encoding="utf-8")
    size = int(directive(text, "client_max_body_size").removesuffix("m")) * MEBIBYTE
    if not server["body_bytes"] < size <= server["body_bytes"] + MEBIBYTE:
        raise Failure(f"nginx.conf: client_max_body_size does not fit {server['body_bytes']} bytes")
    if seconds(directive(text, "proxy_read_timeout")) * 1000 <= server["request_timeout_ms"]:
        raise Failure("nginx.conf: proxy_read_timeout is not above server.request_timeout_ms")
    upstream = (COMPOSE / "nginx" / "upstream.conf").read_text(encoding="utf-8")
    if seconds(directive(upstream, "keepalive_timeout")) * 1000 >= server["keep_alive_ms"]:
        raise Failure("upstream.conf: keepalive_timeout is not below server.keep_alive_ms")


def check_compose():
    services = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))["services"]
    instances = {name: service for name, service in services.items() if "camlens" in name}
    for name, service in instances.items():
        check_image(name, service["image"])
        check_settings(name, service["environment"])
        check_grace(name, service["environment"], seconds(service["stop_grace_period"]))
    nginx = (COMPOSE / "nginx" / "upstream.conf").read_text(encoding="utf-8")
    prometheus = (COMPOSE / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    for name in instances:
        if f"server {name}:8080" not in nginx or f"{name}:{ADMIN_PORT}" not in prometheus:
            raise Failure(f"nginx or Prometheus does not know {name}")
    latest = [name for name, item in services.items() if not re.search(r":v?\d", item["image"])]
    if latest:
        raise Failure(f"{', '.join(latest)}: the image has no version")


def check_dockerfile():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    settings = dict(re.findall(r"(CAMLENS_\w+)=(\S+)", text))
    check_settings("Dockerfile", settings)
    check_grace("Dockerfile", settings, DOCKER_GRACE_S)


def check():
    check_nginx()
    check_compose()
    check_dockerfile()
    return "sizes, timeouts, names and settings fit camlens's defaults"
