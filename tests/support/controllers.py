"""The real Flagger and the real Argo Rollouts in the lab's cluster, and the gate beside them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.conftest import ROOT
from tests.support.istio import TRAFFICSPLIT, Cluster
from trafficsplit.lab.istio import parts
from trafficsplit.lab.istio.images import COMMAND
from trafficsplit.lab.istio.network import NODE

INTEGRATIONS = ROOT / "integrations"
COLOR_FILES = ("color-istio-gw-client-header.yaml", "color-istio-gw-client-cookie.yaml")
Document = dict[str, Any]

POD = """
apiVersion: v1
kind: Namespace
metadata: {{name: {namespace}}}
---
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: {namespace}
  labels: {{app: {name}}}
  annotations: {{{annotation}: "{command}"}}
spec:
  containers: [{{name: main, image: none, ports: [{{containerPort: {port}}}]}}]
"""


def documents_of(file: str) -> Iterator[Document]:
    """Yield the documents of a file of integrations/."""
    for document in YAML(typ="safe").load_all((INTEGRATIONS / file).read_text("utf-8")):
        if document:
            yield document


def kubeconfig(istio: Cluster, name: str, token: str = "") -> Path:
    """Return a kubeconfig for a pod, with the administrator's token or another."""
    config = json.loads((istio.directory / ".lab" / "inside.kubeconfig").read_text("utf-8"))
    config["clusters"][0]["cluster"]["server"] = f"https://{NODE}:6443"
    if token:
        config["users"][0]["user"]["token"] = token
    file = istio.directory / f"{name}.kubeconfig"
    file.write_text(json.dumps(config))
    return file


def start_flagger(istio: Cluster) -> None:
    """Start Flagger, without metrics of its own."""
    file = kubeconfig(istio, "flagger")
    command = (
        f"{parts.program('flagger')} -kubeconfig={file} -mesh-provider=istio -port=8080"
        " -metrics-server=http://127.0.0.1:9090 -enable-leader-election=false"
    )
    _start(istio, "flagger-system", "flagger", command, 8080)


def start_argo(istio: Cluster) -> None:
    """Start Argo Rollouts."""
    file = kubeconfig(istio, "argo-rollouts")
    command = (
        f"{parts.program('rollouts-controller')} --kubeconfig={file} --leader-elect=false"
        " --healthzPort=8080 --metricsport=8090"
    )
    _start(istio, "argo-rollouts", "argo-rollouts", command, 8080)


def _start(istio: Cluster, namespace: str, name: str, command: str, port: int) -> None:
    text = POD.format(
        namespace=namespace, name=name, annotation=COMMAND, command=command, port=port
    )
    istio.kubectl("apply", "-f", "-", text=text)
    istio.kubectl("wait", "pod", name, "-n", namespace, "--for=condition=Ready", "--timeout=60s")


def start_gate(istio: Cluster, hosts: Sequence[str] = (), **variables: str) -> str:
    """Start the gate as integrations/gate/gate.yaml has it; return its URL within the cluster.

    `hosts` are the names by which it asks the gateway, whose address it is where none is given.
    Other than there: its command, since there are no images; the address of the gateway and of
    the API server, since there are no names; and where its results are, since there are no volumes.
    """
    found = list(documents_of("gate/gate.yaml"))
    istio.kubectl("apply", "-f", "-", text=_listed(d for d in found if d["kind"] != "Deployment"))
    namespace = ("-n", "trafficsplit")
    istio.try_kubectl(
        *("create", "secret", "generic", "trafficsplit-gate", *namespace),
        "--from-literal=token=the-gate-s-token",
    )
    token = istio.kubectl("create", "token", "trafficsplit-gate", *namespace).strip()
    (deployment,) = (one for one in found if one["kind"] == "Deployment")
    template = deployment["spec"]["template"]
    arguments = " ".join(template["spec"]["containers"][0]["args"])
    template["metadata"]["annotations"][COMMAND] = f"{TRAFFICSPLIT} {arguments}"
    gateway = address_of(istio, "istio-system", "istio=ingressgateway")
    given = {
        "TRAFFICSPLIT_HOST": "\n".join(f"http://{host}:8080" for host in hosts or [gateway]),
        "TRAFFICSPLIT_RESOLVE": "\n".join(f"{host}:{gateway}" for host in hosts),
        "TRAFFICSPLIT_RESULTS": str(istio.directory / "gate-results"),
        "KUBECONFIG": str(kubeconfig(istio, "gate", token)),
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(istio.directory),
        **variables,
    }
    _set_variables(template["spec"]["containers"][0], given)
    istio.kubectl("apply", "-f", "-", text=json.dumps(deployment))
    rollout = ("rollout", "status", "deployment/trafficsplit-gate", "--timeout=60s")
    istio.kubectl(*rollout, *namespace)
    return f"http://{address_of(istio, 'trafficsplit', 'app=trafficsplit-gate')}:8080"


def _set_variables(container: Document, given: Mapping[str, str]) -> None:
    kept = [entry for entry in container["env"] if entry["name"] not in given]
    container["env"] = kept + [{"name": name, "value": value} for name, value in given.items()]


def address_of(istio: Cluster, namespace: str, selector: str) -> str:
    """Return the address of the newest pod with labels."""
    path = "jsonpath={.items[-1:].status.podIP}"
    order = "--sort-by=.metadata.creationTimestamp"
    return istio.kubectl("get", "pods", "-n", namespace, "-l", selector, order, "-o", path)


def _listed(documents: Iterator[Document]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(documents)})


PODS = """\
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers:
        - name: color
          image: color:1
          ports: [{{name: http, containerPort: 8080}}]
          env: [{{name: COLOR, value: {color}}}]
          readinessProbe: {{httpGet: {{path: /, port: 8080}}}}
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: 2
"""


def release(istio: Cluster, name: str, color: str) -> None:
    """Apply the Deployment of an application, with pages of a color."""
    istio.kubectl("apply", "-f", "-", text=(DEPLOYMENT + PODS).format(name=name, color=color))


ROLLOUT = """
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {{name: {name}}}
spec:
  replicas: 4
  strategy: {{canary: {{}}}}
"""
ROUTED = (
    "{{canaryService: {name}-canary, stableService: {name}-stable, "
    "trafficRouting: {{istio: {{virtualService: {{name: {name}}}}}}}}}"
)
ROUTES = """
apiVersion: v1
kind: Service
metadata: {{name: {name}-stable}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}-canary}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: [{name}.test]
  gateways: [color-is-gw]
  http:
    - route:
        - {{destination: {{host: {name}-stable}}, weight: 100}}
        - {{destination: {{host: {name}-canary}}, weight: 0}}
"""
# A step's verification, as the head of integrations/argo-rollouts/analysis.yaml has it.
ANALYSIS: Document = {
    "analysis": {
        "templates": [{"templateName": "split-by-gate"}],
        "args": [
            {"name": "rollout", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "namespace", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        ],
    }
}


def rollout(
    istio: Cluster, name: str, color: str, *, weights: Sequence[int] = (25, 50), routed: bool = True
) -> None:
    """Apply a Rollout of an application, with pages of a color, each of whose steps is verified."""
    steps: list[Document] = []
    for weight in weights:
        steps += [{"setWeight": weight}, ANALYSIS]
    strategy = YAML(typ="safe").load(ROUTED.format(name=name)) if routed else {}
    document = YAML(typ="safe").load((ROLLOUT + PODS).format(name=name, color=color))
    document["spec"]["strategy"]["canary"] = {**strategy, "steps": steps}
    istio.kubectl("apply", "-f", "-", text=json.dumps(document))


def analysis(istio: Cluster, gate: str, host: str) -> None:
    """Apply the AnalysisTemplate of integrations/argo-rollouts that asks the gate."""
    (template, _) = documents_of("argo-rollouts/analysis.yaml")
    for argument in template["spec"]["args"]:
        if argument["name"] == "host":
            argument["value"] = f"http://{host}:8080"
    text = json.dumps(template).replace("http://trafficsplit-gate.trafficsplit:8080", gate)
    istio.kubectl("apply", "-f", "-", text=text)
    istio.try_kubectl(
        *("create", "secret", "generic", "trafficsplit-gate"),
        "--from-literal=token=the-gate-s-token",
    )


def canary(gate: str, name: str = "color", **analysis: Any) -> Document:
    """Return the Canary of integrations/flagger, which asks the gate, at Flagger's fastest."""
    (document,) = documents_of("flagger/canary.yaml")
    document["metadata"]["name"] = name
    document["spec"]["targetRef"]["name"] = name
    settings = document["spec"]["analysis"]
    document["spec"]["service"]["hosts"] = [f"{name}.test"]
    settings |= {"interval": "10s", "maxWeight": 50, "stepWeight": 25, **analysis}
    for hook in settings["webhooks"]:
        hook["metadata"]["host"] = f"http://{name}.test:8080"
        hook["url"] = hook["url"].replace("http://trafficsplit-gate.trafficsplit:8080", gate)
    return document
