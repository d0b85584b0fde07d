"""Talking to a cluster's API: by whose credentials, and what its refusals mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trafficsplit.errors import ClusterError

TIMEOUT = 10.0  # seconds, for each call


def connect(context: str = "") -> Access:
    """Access by the kubeconfig ($KUBECONFIG, ~/.kube/config), or from within a pod.

    `context` is one of the kubeconfig's, its current one where it is empty. Raises ClusterError.
    """
    try:
        import kubernetes
    except ImportError:
        raise ClusterError(
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
        raise ClusterError(
            f"there are no credentials for a cluster ({_line(error)}): set KUBECONFIG, or run in a "
            "pod with a service account"
        ) from None
    except Exception as error:  # a kubeconfig may be anything, and its plug-ins may raise anything
        raise ClusterError(f"the kubeconfig cannot be used ({_line(error)})") from None
    return Access(kubernetes.client.ApiClient(configuration))


def _in_a_pod() -> bool:
    return Path("/var/run/secrets/kubernetes.io/serviceaccount/token").exists()


def _has_kubeconfig(config: Any) -> bool:
    try:
        return bool(config.list_kube_config_contexts()[0])
    except Exception:
        return False


def _line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


class Access:
    """One cluster's API."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.server = str(client.configuration.host)

    def get(self, path: str, what: str) -> dict[str, Any]:
        """An object, or a list. `what` names it in a refusal. Raises ClusterError."""
        return self._call("GET", path, what, {}, None, "")

    def apply(
        self, path: str, what: str, body: Mapping[str, Any], query: Mapping[str, str]
    ) -> dict[str, Any]:
        """Server-side apply. Raises ClusterError."""
        return self._call("PATCH", path, what, query, dict(body), "application/apply-patch+yaml")

    def _call(
        self,
        method: str,
        path: str,
        what: str,
        query: Mapping[str, str],
        body: dict[str, Any] | None,
        content_type: str,
    ) -> dict[str, Any]:
        import urllib3
        from kubernetes.client.exceptions import ApiException

        headers = {"Accept": "application/json"}
        if content_type:
            headers["Content-Type"] = content_type
        try:
            response = self._client.call_api(
                *self._client.param_serialize(
                    method, path, query_params=list(query.items()), header_params=headers,
                    body=body, auth_settings=["BearerToken"],
                ),
                _request_timeout=TIMEOUT,
            )  # fmt: skip
            response.read()
            if not 200 <= response.status < 300:
                said = (response.data or b"").decode("utf-8", "replace")
                raise ApiException(status=response.status, reason=response.reason, body=said)
            found = json.loads(response.data)
        except ApiException as error:
            raise ClusterError(self._refusal(error, what), int(error.status or 0)) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise ClusterError(
                f"the cluster's API at {self.server} does not answer ({_line(reason)}): is it up, "
                "and is this the right --context?"
            ) from None
        except ValueError:
            raise ClusterError(
                f"{self.server} is no Kubernetes API: its answer is no JSON"
            ) from None
        if not isinstance(found, dict):
            raise ClusterError(f"{self.server} is no Kubernetes API: its answer is no object")
        return found

    def _refusal(self, error: Any, what: str) -> str:
        try:
            said = str(json.loads(error.body)["message"])
        except (ValueError, TypeError, KeyError):
            said = str(error.reason or "no reason given")
        said = _line(said)
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
