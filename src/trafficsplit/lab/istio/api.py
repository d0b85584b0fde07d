"""A small client of the cluster's API server, for the lab's own needs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import requests

from trafficsplit.errors import LabError

Document = dict[str, Any]
TIMEOUT = 10.0  # seconds for an answer
WATCHED = 60  # seconds after which a watch is asked for anew
MERGE = "application/strategic-merge-patch+json"


class MissingError(Exception):
    """What was asked for is not there, or not any more."""


class Api:
    """The API server at `url`; its certificate is checked against `certificate`."""

    def __init__(self, url: str, token: str, certificate: Path) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {token}"
        self._session.verify = str(certificate)

    def is_ready(self) -> bool:
        """Return whether the server serves."""
        try:
            answer = self._session.get(f"{self._url}/readyz", timeout=1)
        except requests.RequestException:
            return False
        return answer.status_code == 200

    def get(self, path: str) -> Document:
        """Return an object or a list. Raises MissingError or LabError."""
        return self._ask("GET", path)

    def create(self, path: str, document: Mapping[str, Any]) -> Document:
        """Create an object in a collection. Raises MissingError or LabError."""
        return self._ask("POST", path, json.dumps(document), "application/json")

    def patch(self, path: str, document: Mapping[str, Any], kind: str = MERGE) -> Document:
        """Change an object. Raises MissingError or LabError."""
        return self._ask("PATCH", path, json.dumps(document), kind)

    def delete(self, path: str, grace: int) -> None:
        """Delete an object, and let it have `grace` seconds. Raises MissingError or LabError."""
        self._ask("DELETE", f"{path}?gracePeriodSeconds={grace}")

    def _ask(self, method: str, path: str, body: str = "", kind: str = "") -> Document:
        headers = {"Content-Type": kind} if kind else {}
        try:
            answer = self._session.request(
                method, f"{self._url}{path}", data=body or None, headers=headers, timeout=TIMEOUT
            )
            document: Document = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise LabError(f"the API server does not answer: {error}") from None
        if answer.status_code in {404, 409, 410}:
            raise MissingError(document.get("message", path))
        if answer.status_code >= 400:
            raise LabError(f"the API server: {document.get('message', answer.status_code)}")
        return document

    def watch(self, path: str, version: str) -> Iterator[Document]:
        """Yield the changes of a collection since a version of it, until the server ends it.

        Raises LabError where it does not answer.
        """
        query = f"watch=1&resourceVersion={version}&timeoutSeconds={WATCHED}"
        try:
            with self._session.get(
                f"{self._url}{path}?{query}", stream=True, timeout=(TIMEOUT, 2 * WATCHED)
            ) as answer:
                for line in answer.iter_lines(chunk_size=None):
                    if line:
                        yield json.loads(line)
        except (requests.RequestException, ValueError) as error:
            raise LabError(f"the API server does not answer: {error}") from None
