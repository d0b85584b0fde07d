"""The gate's HTTP: Flagger's webhooks, Argo Rollouts' web metric, health and metrics.

POST /flagger/HOOK   200 passes; 4xx with one line does not; 503: not measured, ask again
GET  /argo?weight=25 {"data": {"verdict": …}}, always 200; POST takes the same as JSON
GET  /healthz        without a token
GET  /metrics        Prometheus
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from trafficsplit.errors import InputError, NotAllowedError, TooManyError
from trafficsplit.frame import broken_line
from trafficsplit.gate.metrics import Metrics
from trafficsplit.gate.requests import Reader, Verification, text_of
from trafficsplit.gate.verifications import Result, Verifications
from trafficsplit.text import one_line

HOOKS = (
    "confirm-rollout",
    "pre-rollout",
    "rollout",
    "confirm-traffic-increase",
    "confirm-promotion",
    "post-rollout",
    "rollback",
)
LARGEST = 64 * 1024  # bytes of a request's body
PATIENCE = 10.0  # seconds for it to arrive
CHALLENGE = {"WWW-Authenticate": "Bearer"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gate:
    """What the service is made of. `wait` is how long a call of Flagger's waits for a verdict, and
    `patience` a call of Argo's, in seconds; `token` is empty where none is asked for.
    """

    reader: Reader
    verifications: Verifications
    metrics: Metrics
    token: str = ""
    wait: float = 8.0
    patience: float = 900.0


def application(gate: Gate) -> Starlette:
    """The ASGI application."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await gate.verifications.stop()

    routes = [
        Route("/healthz", _healthz(gate)),
        Route("/metrics", _guarded(gate, _metrics(gate))),
        Route("/argo", _guarded(gate, _argo(gate)), methods=["GET", "POST"]),
        *(
            Route(
                f"/flagger{end}",
                _guarded(gate, _flagger(gate, end), in_metadata=True),
                methods=["POST"],
            )
            for end in ("", *(f"/{hook}" for hook in HOOKS))
        ),
    ]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _refused})


Handler = Callable[[Request], Awaitable[Response]]


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return PlainTextResponse(f"{error.detail}\n", error.status_code, headers=error.headers)


def _guarded(gate: Gate, handler: Handler, *, in_metadata: bool = False) -> Handler:
    """Only for who has the token, and with nothing but a line where something is wrong.

    Flagger sends no headers of ours: it says the token `in_metadata`.
    """

    async def guarded(request: Request) -> Response:
        try:
            given = request.headers.get("authorization", "")
            if in_metadata and not given:
                with suppress(InputError):  # whoever has no token is told nothing else
                    given = f"Bearer {_token_of(await _body(request))}"
            if gate.token and not hmac.compare_digest(
                given.encode("utf-8", "replace"), f"Bearer {gate.token}".encode()
            ):
                return PlainTextResponse("a token is needed\n", 401, headers=CHALLENGE)
            return await handler(request)
        except HTTPException:
            raise
        except Exception as error:
            return _refusal(error)

    return guarded


def _refusal(error: Exception) -> Response:
    """Return the answer, of one line, to a request that cannot be answered as it was asked."""
    if isinstance(error, NotAllowedError):
        return PlainTextResponse(f"{error}\n", 403)
    if isinstance(error, TooManyError):
        return PlainTextResponse(f"{error}\n", 429, headers={"Retry-After": "10"})
    if isinstance(error, InputError):
        return PlainTextResponse(f"{one_line(str(error))}\n", 400)
    if isinstance(error, ClientDisconnect):
        return PlainTextResponse("", 400)
    # Our own fault: nothing has been measured, so it is worth asking again.
    log.exception("a request has failed", exc_info=error)
    return PlainTextResponse(f"{broken_line(error)}\n", 503)


def _token_of(payload: Any) -> str:
    metadata = payload.get("metadata") if isinstance(payload, dict) else None
    return str(metadata.get("token", "")) if isinstance(metadata, dict) else ""


def _healthz(gate: Gate) -> Handler:
    async def healthz(_: Request) -> Response:
        if gate.verifications.stopping.is_set():
            return PlainTextResponse("stopping\n", 503)
        return PlainTextResponse("ok\n")

    return healthz


def _metrics(gate: Gate) -> Handler:
    async def metrics(_: Request) -> Response:
        gate.metrics.running.set(gate.verifications.waiting)
        return Response(gate.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return metrics


def _flagger(gate: Gate, end: str) -> Handler:
    async def flagger(request: Request) -> Response:
        payload = await _body(request)
        # A cluster may have to be asked for the weights, which blocks.
        verification = await run_in_threadpool(gate.reader.of_flagger, payload)
        result = await gate.verifications.ask(verification, gate.wait)
        status, line = passes(result, rollback=end == "/rollback")
        _say(f"flagger{end}", verification, status, line)
        return PlainTextResponse(f"{line}\n", status)

    return flagger


def passes(result: Result | None, *, rollback: bool = False) -> tuple[int, str]:
    """Flagger's answer: a status, and one line.

    Up to 202 passes; it asks again on 5xx, whose line nobody sees. For `rollback` passing means to
    roll back.
    """
    if result is None:
        return 503, "still measuring: ask again"
    line = one_line(f"{result.name}: {result.reason}", 500)
    if result.wrong:
        return 400, line
    if result.name in ("error", "inconclusive"):
        return 503, line
    if rollback:
        return (409, line) if result.name == "match" else (200, line)
    return (200, line) if result.name == "match" else (409, line)


def _argo(gate: Gate) -> Handler:
    async def argo(request: Request) -> Response:
        try:
            said = await _said(request)
            identity = said.pop("id", "")
            verification = await run_in_threadpool(gate.reader.of_values, said, identity)
            result = await gate.verifications.ask(verification, gate.patience)
        except InputError as error:  # neither success nor failure: the rollout waits for a person
            return JSONResponse({"data": {"verdict": "error", "reason": one_line(str(error))}})
        except (HTTPException, ClientDisconnect):
            raise
        except Exception as error:
            log.exception("a request has failed")
            return JSONResponse({"data": {"verdict": "error", "reason": broken_line(error)}})
        data = measured(result)
        _say("argo", verification, 200, f"{data['verdict']}: {data['reason']}")
        return JSONResponse({"data": data})

    return argo


async def _said(request: Request) -> dict[str, str]:
    """What a query or a JSON object says, by name. Raises InputError."""
    said: dict[str, Any] = dict(request.query_params)
    if request.method == "POST":
        body = await _body(request)
        if not isinstance(body, dict):
            raise InputError("the body is no JSON object")
        said |= body
    return {str(name): text_of(value, str(name)) for name, value in said.items()}


def measured(result: Result | None) -> dict[str, Any]:
    """Argo Rollouts' measurement: neither `match` nor `mismatch` is inconclusive to it."""
    if result is None:
        return {"verdict": "running", "reason": "still measuring"}
    names = ("expected", "shares", "requests", "errors", "unidentified", "elapsed_seconds")
    return {
        "verdict": result.name,
        "reason": result.reason,
        **{name: result.verdict[name] for name in names if name in result.verdict},
        "report": result.report,
    }


async def _body(request: Request) -> Any:
    """The JSON of a request. Raises InputError; HTTPException where it is too large or too slow."""
    if hasattr(request.state, "body"):
        return request.state.body
    data = b""
    try:
        async with asyncio.timeout(PATIENCE):
            async for piece in request.stream():
                data += piece
                if len(data) > LARGEST:
                    raise HTTPException(413, f"the body exceeds {LARGEST:,} bytes")
    except TimeoutError:
        raise HTTPException(408, f"the body did not arrive within {PATIENCE:g} s") from None
    try:
        request.state.body = json.loads(data)
        return request.state.body
    except (ValueError, RecursionError):
        raise InputError("the body is no JSON") from None


def _say(who: str, verification: Verification, status: int, line: str) -> None:
    what = f"{verification.target} {verification.weights}"
    print(f"{who.lstrip('/')} {what}: {status} {line}", file=sys.stderr, flush=True)
