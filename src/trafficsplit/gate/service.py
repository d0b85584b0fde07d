"""The gate's HTTP: Flagger's webhooks, Argo Rollouts' web metric, health and metrics.

POST /flagger/HOOK   200 passes; 4xx with one line does not; 503 is not known yet: ask again
GET  /argo?weight=25 {"data": {"verdict": …}}, always with 200; POST takes the same as JSON
GET  /healthz        without a token
GET  /metrics        Prometheus
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import sys
import time
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
PATIENCE = 10.0  # seconds in which a request's body has to arrive
SLICE = 5.0  # seconds after which a caller that waits may have gone away
LONGEST_LINE = 900  # characters of an answer
CHALLENGE = {"WWW-Authenticate": "Bearer"}
# What a measurement has of a verdict.
MEASURED = ("expected", "shares", "requests", "errors", "unidentified", "elapsed_seconds")

Handler = Callable[[Request], Awaitable[Response]]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gate:
    """The parts of the service.

    A call of Flagger's waits for a verdict for `wait` seconds, a call of Argo's for `patience`
    seconds. `token` is empty where requests need none.
    """

    reader: Reader
    verifications: Verifications
    metrics: Metrics
    token: str = ""
    wait: float = 8.0
    patience: float = 900.0


def application(gate: Gate) -> Starlette:
    """Return the ASGI application."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await gate.verifications.stop()

    routes = [
        Route("/healthz", _healthz(gate)),
        Route("/metrics", _guarded(gate, _metrics(gate))),
        Route("/argo", _guarded(gate, _argo(gate)), methods=["GET", "POST"]),
    ]
    for hook in ("", *HOOKS):
        path = f"/flagger/{hook}".rstrip("/")
        handler = _guarded(gate, _flagger(gate, hook), in_metadata=True)
        routes.append(Route(path, handler, methods=["POST"]))
    handlers = {HTTPException: _http_error}
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)


def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return PlainTextResponse(f"{error.detail}\n", error.status_code, headers=error.headers)


def _guarded(gate: Gate, handler: Handler, *, in_metadata: bool = False) -> Handler:
    """Return a handler that needs the token, and answers any error with one line.

    Flagger cannot send a header, and has the token `in_metadata`.
    """

    async def guarded(request: Request) -> Response:
        try:
            credentials = request.headers.get("authorization", "")
            if in_metadata and not credentials:
                with suppress(InputError):  # without the token, only the token is asked for
                    credentials = f"Bearer {_token_of(await _body(request))}"
            if gate.token and not _is_token(credentials, gate.token):
                answer: Response = PlainTextResponse("a token is needed\n", 401, headers=CHALLENGE)
            else:
                return await handler(request)
        except HTTPException as error:
            answer = _http_error(request, error)
        except Exception as error:
            answer = _refusal(error)
        line = bytes(answer.body).decode("utf-8", "replace")
        _note_refusal(gate, request, answer.status_code, line)
        return answer

    return guarded


def _note_refusal(gate: Gate, request: Request, status: int, line: str) -> None:
    """Show an operator that a controller was refused, in the log and in the metrics."""
    gate.metrics.count_refusal(status)
    path = request.url.path.strip("/")
    said = one_line(line, LONGEST_LINE)
    print(f"{path} refused: {status} {said}", file=sys.stderr, flush=True)


def _refusal(error: Exception) -> Response:
    """Return the answer, of one line, to a request that has raised an exception."""
    if isinstance(error, NotAllowedError):
        return PlainTextResponse(f"{error}\n", 403)
    if isinstance(error, TooManyError):
        return PlainTextResponse(f"{error}\n", 429, headers={"Retry-After": "10"})
    if isinstance(error, InputError):
        return PlainTextResponse(f"{one_line(str(error))}\n", 400)
    if isinstance(error, ClientDisconnect):
        return PlainTextResponse("", 400)
    # A fault of ours: nothing has been measured, so the client may ask again.
    log.exception("a request has failed", exc_info=error)
    return PlainTextResponse(f"{broken_line(error)}\n", 503)


def _is_token(credentials: str, token: str) -> bool:
    """Return whether credentials are the token; the time that it takes tells nothing of it."""
    return hmac.compare_digest(credentials.encode("utf-8", "replace"), f"Bearer {token}".encode())


def _token_of(payload: Any) -> str:
    """Return the token in Flagger's metadata, empty where there is none."""
    if not isinstance(payload, dict):
        return ""
    metadata = payload.get("metadata")
    if not isinstance(metadata, dict):
        return ""
    return str(metadata.get("token", ""))


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


def _flagger(gate: Gate, hook: str) -> Handler:
    async def flagger(request: Request) -> Response:
        payload = await _body(request)
        # The weights may come from a cluster, and the call to it blocks.
        verification = await run_in_threadpool(gate.reader.of_flagger, payload)
        result = await gate.verifications.ask(verification, gate.wait)
        status, line = flagger_answer(result, rollback=hook == "rollback")
        if result is not None and result.stands:
            line += f" {gate.verifications.validity(result)}"
        _print_answer(f"flagger/{hook}".rstrip("/"), verification, status, line)
        return PlainTextResponse(f"{line}\n", status)

    return flagger


def flagger_answer(result: Result | None, *, rollback: bool = False) -> tuple[int, str]:
    """Return the status of the answer to Flagger, and its one line.

    A status up to 202 passes; after a 5xx, whose line Flagger does not show, it asks again. For the
    hook `rollback`, passing means to roll back.
    """
    if result is None:
        return 503, "still measuring: ask again"
    line = one_line(f"{result.name}: {explained(result)}", LONGEST_LINE)
    if result.wrong:
        return 400, line
    if result.name in ("error", "inconclusive"):
        return 503, line
    passes = result.name == "match"
    if rollback:
        passes = not passes
    return 200 if passes else 409, line


def explained(result: Result) -> str:
    """Return why a verification has ended so, with the diagnosis where there is one."""
    diagnosis = result.verdict.get("diagnosis") or {}
    return f"{result.reason} {diagnosis.get('summary', '')}".strip()


def _argo(gate: Gate) -> Handler:
    async def argo(request: Request) -> Response:
        try:
            values = await _values(request)
            identity = values.pop("id", "")
            verification = await run_in_threadpool(gate.reader.of_values, values, identity)
            result = await _ask_patiently(gate, request, verification)
        except InputError as error:  # neither success nor failure: the rollout waits for a person
            reason = one_line(str(error))
            _note_refusal(gate, request, 400, reason)
            return JSONResponse({"data": {"verdict": "error", "reason": reason}})
        except (HTTPException, ClientDisconnect):
            raise
        except Exception as error:
            log.exception("a request has failed")
            return JSONResponse({"data": {"verdict": "error", "reason": broken_line(error)}})
        data = argo_measurement(result)
        if result is not None and result.stands:
            data["validity"] = gate.verifications.validity(result)
        _print_answer("argo", verification, 200, f"{data['verdict']}: {data['reason']}")
        return JSONResponse({"data": data})

    return argo


async def _ask_patiently(gate: Gate, request: Request, verification: Verification) -> Result | None:
    """Return the result, None where the caller goes away first, or patience is over."""
    deadline = time.monotonic() + gate.patience
    while True:
        left = deadline - time.monotonic()
        result = await gate.verifications.ask(verification, min(left, SLICE))
        over = left <= SLICE or gate.verifications.stopping.is_set()
        if result is not None or over or await request.is_disconnected():
            return result


async def _values(request: Request) -> dict[str, str]:
    """Return the values of a query and of a JSON object, by name. Raises InputError."""
    values: dict[str, Any] = dict(request.query_params)
    if request.method == "POST":
        body = await _body(request)
        if not isinstance(body, dict):
            raise InputError("the body is no JSON object")
        values |= body
    return {str(name): text_of(value, str(name)) for name, value in values.items()}


def argo_measurement(result: Result | None) -> dict[str, Any]:
    """Return a measurement for Argo Rollouts.

    A verdict that is neither `match` nor `mismatch` is inconclusive for it.
    """
    if result is None:
        return {"verdict": "running", "reason": "still measuring"}
    return {
        "verdict": result.name,
        "reason": explained(result),
        **{name: result.verdict[name] for name in MEASURED if name in result.verdict},
        "report": result.report,
    }


async def _body(request: Request) -> Any:
    """Return the JSON of a request, whose body is read once.

    Raises InputError where there is none, HTTPException where it is too large or too slow.
    """
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


def _print_answer(path: str, verification: Verification, status: int, line: str) -> None:
    """Print an answer on standard error: the gate's log for people."""
    question = f"{verification.target} {verification.weights}"
    print(f"{path} {question}: {status} {line}", file=sys.stderr, flush=True)
