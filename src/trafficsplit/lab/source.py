"""The lab as a gateway, and as a source of weights that can be set."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from trafficsplit import lab
from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError
from trafficsplit.lab.weights import weights_of
from trafficsplit.weights.percent import complete_weights, in_words, percent
from trafficsplit.weights.sources import GatewayLocation

_NO_HOST = "without --host this was"


@dataclass(frozen=True)
class LabSource:
    """The lab in the background, started where none is up."""

    def __str__(self) -> str:
        return "the lab"

    def split(self) -> Split:
        """Return the weights that are in force."""
        state = lab.status() or lab.up()
        if state.kubeconfig:
            raise InputError(
                "the lab that is up is a cluster: say which weights, --virtual-service "
                'NAMESPACE/NAME, after eval "$(trafficsplit lab env)"'
            )
        return Split(dict(state.weights))

    def others(self) -> Mapping[str, Split]:
        """Return nothing: the lab has routes of one split."""
        return {}

    def set(self, weights: Mapping[str, float], *, dry_run: bool = False) -> str:
        """Set weights by file-based RDS, and return when they are in force."""
        if dry_run:
            complete_weights(weights, percent(self.split()))
            return f"would set {in_words(weights)}"
        state = lab.set_weights(weights)
        return f"in force: {in_words(state.weights)} (the lab at {state.host})"

    def gateway(self) -> GatewayLocation:
        """Return where the lab's gateway is."""
        state = lab.status()
        if state is None:
            raise InputError("the lab has ended: trafficsplit lab up")
        return GatewayLocation((state.host,))

    def set_at(self) -> str:
        """Return nothing: weights are in force when `set` returns."""
        return ""

    def last_change(self) -> str:
        """Return nothing: the lab does not know who asks it."""
        return ""


@contextlib.contextmanager
def gateway_of_the_lab(
    directory: Path, tell: Callable[[str], None] = lambda _: None
) -> Iterator[tuple[str, ...]]:
    """Yield the base URL of the lab that is up, or else of one that ends with this context.

    The files of the latter are in `directory`. `tell` is called with the note that it is the lab.
    """
    state = lab.status()
    if state:
        weights = f", with {in_words(state.weights)}" if state.weights else ", with the real Istio"
        tell(f"{_NO_HOST} the lab that is up at {state.host}{weights}")
        yield (state.host,)
        return
    with lab.start(directory / "lab") as started:
        tell(f"{_NO_HOST} a lab on this machine, with {in_words(weights_of(started.system))}")
        yield (started.host,)
