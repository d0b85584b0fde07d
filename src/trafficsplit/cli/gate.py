"""`trafficsplit gate`: verifications over HTTP, for delivery controllers."""

from __future__ import annotations

import click

from trafficsplit.cli.options import options, texts_of
from trafficsplit.errors import InputError
from trafficsplit.settings.options import GATE

MISSING = (
    "the gate needs Starlette, uvicorn and Prometheus' client: pip install 'trafficsplit[gate]'"
)


@click.command()
@options(GATE)
@click.pass_context
def gate(context: click.Context, /, **_: object) -> None:
    """Serve verifications over HTTP, for Flagger and Argo Rollouts.

    Only the gateways that --host names are asked. Verifications run one at a time, with at most
    --requests each, and at most --rate a second. SIGTERM ends the gate.
    """
    texts = texts_of(context, GATE)
    from trafficsplit.settings.commands import parse_gate

    settings = parse_gate(texts)
    try:
        from trafficsplit.gate.server import serve
    except ImportError:
        raise InputError(MISSING) from None
    serve(settings)
