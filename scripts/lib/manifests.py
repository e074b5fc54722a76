"""Checks manifests of Kubernetes: usage: manifests.py FILE...

Kinds that Kubernetes has itself are held against its published schemas, the oldest version that
the files are meant for and the newest, where an unknown field is a fault. Kueue's are held against the
fields that its definitions publish. Then come the rules that every manifest here keeps.
"""

import sys

import jsonschema
import kubernetes_validate
import yaml

VERSIONS = ("1.33", "1.37")

NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 253}
QUANTITY = {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^[0-9]+([KMGTPE]i|[mkMGTPE])?$"}]}


def fields(required=(), **properties):
    """An object with these fields and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def kueue(spec, namespaced):
    metadata = {"name": NAME, "labels": {"type": "object"}}
    if namespaced:
        metadata["namespace"] = NAME
    return fields(
        ["apiVersion", "kind", "metadata"],
        apiVersion={"const": "kueue.x-k8s.io/v1beta2"},
        kind={"type": "string"},
        metadata=fields(["name"], **metadata),
        spec=spec,
    )


KUEUE = {
    "ResourceFlavor": kueue(
        fields(
            nodeLabels={"type": "object", "maxProperties": 8},
            nodeTaints={"type": "array", "maxItems": 8},
            tolerations={"type": "array", "maxItems": 8},
            topologyName=NAME,
        ),
        namespaced=False,
    ),
    "ClusterQueue": kueue(
        fields(
            cohortName=NAME,
            namespaceSelector={"type": "object"},
            queueingStrategy={"enum": ["StrictFIFO", "BestEffortFIFO"]},
            stopPolicy={"enum": ["None", "Hold", "HoldAndDrain"]},
            preemption={"type": "object"},
            resourceGroups={
                "type": "array",
                "maxItems": 16,
                "items": fields(
                    ["coveredResources", "flavors"],
                    coveredResources={"type": "array", "items": {"type": "string"}, "minItems": 1},
                    flavors={
                        "type": "array",
                        "minItems": 1,
                        "items": fields(
                            ["name", "resources"],
                            name=NAME,
                            resources={
                                "type": "array",
                                "items": fields(
                                    ["name", "nominalQuota"],
                                    name={"type": "string"},
                                    nominalQuota=QUANTITY,
                                    borrowingLimit=QUANTITY,
                                    lendingLimit=QUANTITY,
                                ),
                            },
                        ),
                    },
                ),
            },
        ),
        namespaced=False,
    ),
    "LocalQueue": kueue(
        fields(["clusterQueue"], clusterQueue=NAME, stopPolicy={"enum": ["None", "Hold", "HoldAndDrain"]}),
        namespaced=True,
    ),
}

# What another try does not mend, as docs/guides/tasks-at-scale.md has the codes.
FINAL = [1, 64, 65, 66, 73, 74, 77, 78, 124, 143]
# What init needs to give everything away.
KEPT = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"}


def schema_faults(document):
    if document["apiVersion"].startswith("kueue."):
        schema = KUEUE.get(document["kind"])
        if schema is None:
            yield "is of no kind that is known here"
            return
        for error in jsonschema.Draft202012Validator(schema).iter_errors(document):
            yield f"{error.json_path}: {error.message}"
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"Kubernetes {version}: {error.json_path}: {error.message}"
        except kubernetes_validate.SchemaNotFoundError as error:
            yield error.message


def job_faults(spec):
    pod = spec["template"]["spec"]
    if pod.get("automountServiceAccountToken") is not False:
        yield "gives the agent a token of the cluster's"
    if pod.get("enableServiceLinks") is not False:
        yield "lets Services set variables"
    if pod.get("restartPolicy") != "Never":
        yield "starts containers again, which its failure policy forbids"
    if "fsGroup" in pod.get("securityContext", {}):
        yield "opens its secrets to a group"
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield f"has {name}"
    for volume in pod.get("volumes", []):
        if "hostPath" in volume:
            yield f"volume {volume['name']} is the machine's"
        if "secret" in volume and volume["secret"].get("defaultMode") != 0o400:
            yield f"secret {volume['name']} can be read by others than root"
    rules = spec["podFailurePolicy"]["rules"]
    codes = [rule["onExitCodes"] for rule in rules if "onExitCodes" in rule]
    if [sorted(code["values"]) for code in codes] != [FINAL]:
        yield f"does not end with the codes {FINAL}"
    for container in pod["containers"] + pod.get("initContainers", []):
        yield from (f"{container['name']} {fault}" for fault in container_faults(container))


def container_faults(container):
    context = container.get("securityContext", {})
    capabilities = context.get("capabilities", {})
    added = set(capabilities.get("add", []))
    if context.get("privileged") or context.get("allowPrivilegeEscalation") is not False:
        yield "may become more than it is"
    if capabilities.get("drop") != ["ALL"]:
        yield "keeps capabilities that nobody named"
    holds = {"name": "CIB_PROXY_MODE", "value": "hold"} in container.get("env", [])
    if added - KEPT != ({"NET_ADMIN"} if holds else set()):
        yield f"has {sorted(added - KEPT)}"
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "has no seccomp profile"
    if "memory" not in container.get("resources", {}).get("limits", {}):
        yield "may use all memory"
    for variable in container.get("env", []):
        if variable["name"].endswith(("_TOKEN", "_KEY")) and variable["name"] != "CIB_TASK_KEY":
            yield f"has {variable['name']} in its environment"


def faults(document):
    yield from schema_faults(document)
    if document["kind"] == "Job":
        yield from job_faults(document["spec"])


def main(files):
    found = 0
    for file in files:
        with open(file, encoding="utf-8") as stream:
            documents = list(yaml.safe_load_all(stream))
        for document in documents:
            for fault in faults(document):
                print(f"{file}: {document['kind']}: {fault}", file=sys.stderr)
                found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
