"""Checks deploy/kubernetes and deploy/kserve as Kustomize renders them.

Kubernetes's own kinds are checked by kubernetes-validate, which carries the JSON schemas of each
release. KServe publishes no schema package, but its Python client lists every field of its kinds,
with types; `KServeSchema` turns that into a JSON schema. That references between objects lead
somewhere, and that numbers fit together, is checked here.
"""

import importlib
import importlib.util
import inspect
import re
import shutil
import subprocess
import sys
import types

import jsonschema
import kubernetes_validate
import yaml
from kubernetes_validate.utils import schema_contents

from camlens_tools.bench.common import Failure
from camlens_tools.deploy import limits
from camlens_tools.deploy.common import DEPLOY

# Releases that are checked, oldest and newest.
RELEASES = ("1.29", "1.37")


def render(folder):
    """Every object of a kustomization."""
    if shutil.which("kubectl"):
        command = ["kubectl", "kustomize"]
    elif shutil.which("kustomize"):
        command = ["kustomize", "build"]
    else:
        raise Failure("there is no kubectl or kustomize on the PATH")
    run = subprocess.run([*command, str(folder)], check=False, capture_output=True, text=True)
    if run.returncode != 0:
        raise Failure(f"kustomize {folder.name}: {run.stderr.strip()}")
    return list(yaml.safe_load_all(run.stdout))


def check_kubernetes():
    objects = render(DEPLOY / "kubernetes")
    for release in RELEASES:
        for item in objects:
            validate(item, release)
    by_kind = {item["kind"]: item for item in objects}
    check_references(by_kind)
    pod = by_kind["Deployment"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    settings = by_kind["ConfigMap"]["data"]
    check_container("Deployment", container, settings)
    limits.check_grace("Deployment", settings, pod["terminationGracePeriodSeconds"])
    releases = " and ".join(RELEASES)
    return f"kustomize and the schemas of Kubernetes {releases} accept {len(objects)} objects"


def check_references(by_kind):
    """Selectors, names and ports that point from one object to another."""
    template = by_kind["Deployment"]["spec"]["template"]
    labels = template["metadata"]["labels"].items()
    selectors = {
        "Service": by_kind["Service"]["spec"]["selector"],
        "PodDisruptionBudget": by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        "NetworkPolicy": by_kind["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        "Deployment": by_kind["Deployment"]["spec"]["selector"]["matchLabels"],
    }
    for kind, selector in selectors.items():
        if not selector.items() <= labels:
            raise Failure(f"{kind}: its selector {selector} does not match the pods")
    ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
    wanted = {port["targetPort"] for port in by_kind["Service"]["spec"]["ports"]}
    for rule in by_kind["NetworkPolicy"]["spec"]["ingress"]:
        wanted |= {port["port"] for port in rule["ports"]}
    if not wanted <= ports:
        raise Failure(f"the pods have no port {', '.join(wanted - ports)}")
    target = by_kind["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"]
    if target != by_kind["Deployment"]["metadata"]["name"]:
        raise Failure(f"HorizontalPodAutoscaler: there is no Deployment {target}")


def check_container(where, container, settings):
    limits.check_image(where, container["image"])
    limits.check_settings(where, settings)
    if not container["securityContext"]["readOnlyRootFilesystem"]:
        raise Failure(f"{where}: its root can be written")


def check_batch():
    """The job of Kubernetes, and the pods of KubeRay's, whose own schema no package carries."""
    (job,) = render(DEPLOY / "batch" / "kubernetes")
    for release in RELEASES:
        validate(job, release)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    limits.check_image("Job", container["image"])
    arguments = container["args"]
    shards = next(one for one in arguments if one.startswith("--shard=")).split("/")[1]
    if int(shards) != job["spec"]["completions"]:
        raise Failure(f"Job: {shards} shards, and {job['spec']['completions']} completions")
    objects = render(DEPLOY / "batch" / "ray")
    by_kind = {item["kind"]: item for item in objects}
    cluster = by_kind["RayJob"]["spec"]["rayClusterSpec"]
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, **group["template"]}
        validate(pod, RELEASES[1])
    (scripts,) = (
        volume["configMap"]["name"]
        for volume in cluster["headGroupSpec"]["template"]["spec"]["volumes"]
        if "configMap" in volume
    )
    if by_kind["ConfigMap"]["metadata"]["name"] != scripts:
        raise Failure("RayJob: its scripts have another name than the ConfigMap")
    return "Kubernetes's schemas accept the batch job and the pods of the Ray job"


def validate(item, release):
    try:
        kubernetes_validate.validate(item, release, strict=True)
    except kubernetes_validate.ValidationError as error:
        raise Failure(f"{name_of(item)}, Kubernetes {release}: {error.message}") from error


def check_kserve():
    objects = render(DEPLOY / "kserve")
    schema = KServeSchema()
    for item in objects:
        schema.validate(item)
        spec = item["spec"]
        for container in spec.get("containers", spec.get("explainer", {}).get("containers")):
            settings = {entry["name"]: entry["value"] for entry in container["env"]}
            check_container(item["kind"], container, settings)
            limits.check_grace(item["kind"], settings, limits.KUBERNETES_GRACE_S)
    return f"the fields and types of KServe's client accept {len(objects)} objects"


def name_of(item):
    return f"{item['kind']} {item['metadata']['name']}"


class KServeSchema:
    """A strict JSON schema of KServe's kinds, out of the classes of its Python client.

    The parts that KServe takes from Kubernetes, such as containers, refer to Kubernetes's schemas.
    """

    SCALARS = {
        "str": {"type": "string"},
        "int": {"type": "integer"},
        "bool": {"type": "boolean"},
        "float": {"type": "number"},
        "object": {},
    }
    # Types that the client names and does not describe, and a status, which is no manifest's: such
    # a field is refused rather than believed.
    UNKNOWN = re.compile(r"V1alpha1|V1beta1|Knative|V1Time")

    def __init__(self):
        self.models = load_kserve_models()
        folder = f"kubernetes-json-schema/v{RELEASES[1]}.0-local-strict"
        self.definitions = schema_contents(f"{folder}/_definitions.json", RELEASES[1])["$defs"]
        self.schemas = {}

    def validate(self, item):
        version = item["apiVersion"].split("/")[1]
        schema = self.of(version[0].upper() + version[1:] + item["kind"])
        schema = {**schema, "$defs": {**self.definitions, **self.schemas}}
        errors = jsonschema.Draft202012Validator(schema).iter_errors(item)
        error = next(iter(errors), None)
        if error:
            raise Failure(f"{name_of(item)}: {error.json_path}: {error.message}")

    def of(self, kind):
        """The schema of a type as the client writes it: V1Container, list[str], dict(str, str)."""
        if kind in self.SCALARS:
            return self.SCALARS[kind]
        if inner := re.fullmatch(r"list\[(.*)\]", kind):
            return {"type": "array", "items": self.of(inner[1])}
        if inner := re.fullmatch(r"dict\(str, (.*)\)", kind):
            return {"type": "object", "additionalProperties": self.of(inner[1])}
        if model := getattr(self.models, kind, None):
            return self.of_model(kind, model)
        if self.UNKNOWN.match(kind):
            return False
        return {"$ref": f"#/$defs/{self.kubernetes_name(kind)}"}

    def of_model(self, kind, model):
        if kind not in self.schemas:
            schema = self.schemas[kind] = {"type": "object", "additionalProperties": False}
            required = re.findall(r"`(\w+)`, must not be `None`", inspect.getsource(model))
            schema["required"] = [model.attribute_map[name] for name in sorted(set(required))]
            schema["properties"] = {
                model.attribute_map[name]: self.of(inner)
                for name, inner in model.openapi_types.items()
                if name != "status"
            }
        return {"$ref": f"#/$defs/{kind}"}

    def kubernetes_name(self, kind):
        short = re.sub(r"^(K8sIoApi\w+V\d|V1|Resource(?=Quantity))(?=[A-Z])", "", kind)
        found = [name for name in self.definitions if name.split(".")[-1] == short]
        # KServe takes pods from the core group; other groups have types of the same name.
        found.sort(key=lambda name: (".core." not in name and ".meta." not in name, name))
        if not found:
            raise Failure(f"KServe's client has a type {kind}, which Kubernetes has not")
        return found[0]


def load_kserve_models():
    """kserve.models alone: the whole package needs a web server and more."""
    if "kserve" not in sys.modules:
        package = types.ModuleType("kserve")
        package.__path__ = importlib.util.find_spec("kserve").submodule_search_locations
        sys.modules["kserve"] = package
    return importlib.import_module("kserve.models")
