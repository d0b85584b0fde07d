"""A cluster's API: with which credentials it is asked, and what its refusals mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trafficsplit.errors import ClusterError, NoClusterError

TIMEOUT = 10.0  # seconds, for each call
ACCEPT = {"Accept": "application/json"}
LONGEST_SHOWN = 300  # characters of a reason in a message


def connect(context: str = "") -> Access:
    """Return access by the kubeconfig ($KUBECONFIG, ~/.kube/config), or by a pod's account.

    `context` is one of the kubeconfig's; where it is empty, the current one is taken. Raises
    ClusterError.
    """
    try:
        import kubernetes
    except ImportError:
        raise NoClusterError(
            "asking a cluster needs the Kubernetes client: pip install 'trafficsplit[cluster]'"
        ) from None
    config = kubernetes.config
    configuration = kubernetes.client.Configuration()
    configuration.retries = False
    try:
        if _in_a_pod() and not context and not _has_kubeconfig(config):
            config.load_incluster_config(client_configuration=configuration)
        else:
            config.load_kube_config(context=context or None, client_configuration=configuration)
    except config.ConfigException as error:
        raise NoClusterError(
            f"there are no credentials for a cluster ({_first_line(error)}): set KUBECONFIG, or "
            "run in a pod with a service account"
        ) from None
    except Exception as error:  # a kubeconfig may be anything, and its plug-ins may raise anything
        raise ClusterError(f"the kubeconfig cannot be used ({_first_line(error)})") from None
    return Access(kubernetes.client.ApiClient(configuration))


def _in_a_pod() -> bool:
    return Path("/var/run/secrets/kubernetes.io/serviceaccount/token").exists()


def _has_kubeconfig(config: Any) -> bool:
    try:
        return bool(config.list_kube_config_contexts()[0])
    except Exception:
        return False


def _first_line(error: object) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:LONGEST_SHOWN]


class Access:
    """One cluster's API. `server` is its base URL.

    `what` in its methods names the object or the act in a refusal.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.server = str(client.configuration.host)

    def get(self, path: str, what: str) -> dict[str, Any]:
        """Return an object or a list of objects. Raises ClusterError."""
        return self._call(what, "GET", path, header_params=dict(ACCEPT))

    def merge(
        self, path: str, what: str, body: Mapping[str, Any], query: Mapping[str, str]
    ) -> dict[str, Any]:
        """Merge a part into an object, and return the object. Raises ClusterError."""
        return self._call(
            what,
            "PATCH",
            path,
            query_params=list(query.items()),
            header_params={**ACCEPT, "Content-Type": "application/merge-patch+json"},
            body=dict(body),
        )

    def _call(self, what: str, method: str, path: str, **parameters: Any) -> dict[str, Any]:
        """Return the object that a call answers with; `parameters` are the client's own."""
        import urllib3
        from kubernetes.client.exceptions import ApiException

        try:
            answer = json.loads(self._answer(method, path, parameters))
        except ApiException as error:
            raise ClusterError(self._refusal(error, what), int(error.status or 0)) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            reason = _first_line(getattr(error, "reason", None) or error)
            raise ClusterError(
                f"the cluster's API at {self.server} does not answer ({reason}): is it up, and is "
                "this the right --context?"
            ) from None
        except ValueError:
            raise ClusterError(
                f"{self.server} is no Kubernetes API: its answer is no JSON"
            ) from None
        if not isinstance(answer, dict):
            raise ClusterError(f"{self.server} is no Kubernetes API: its answer is no object")
        return answer

    def _answer(self, method: str, path: str, parameters: Mapping[str, Any]) -> Any:
        """Return the body of a 2xx answer. Raises ApiException for another, and OSError."""
        from kubernetes.client.exceptions import ApiException

        call = self._client.param_serialize(
            method, path, **parameters, auth_settings=["BearerToken"]
        )
        response = self._client.call_api(*call, _request_timeout=TIMEOUT)
        response.read()
        if not 200 <= response.status < 300:
            body = (response.data or b"").decode("utf-8", "replace")
            raise ApiException(status=response.status, reason=response.reason, body=body)
        return response.data

    def _refusal(self, error: Any, what: str) -> str:
        """Return what an ApiException means, and the way out."""
        try:
            said = str(json.loads(error.body)["message"])
        except (ValueError, TypeError, KeyError):
            said = str(error.reason or "no reason given")
        said = _first_line(said)
        if error.status == 401:
            return (
                f"the cluster at {self.server} does not know these credentials (401: {said}): log "
                "in again, or choose another --context"
            )
        if error.status == 403:
            return f"the cluster forbids us {what} (403: {said}): ask for a role that allows it"
        if error.status == 404:
            return f"the cluster has no {what} (404: {said})"
        if error.status == 409:
            return f"the cluster does not change {what} (409: {said})"
        return f"the cluster refuses {what} ({error.status}: {said})"
