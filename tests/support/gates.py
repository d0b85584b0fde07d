"""Gates, and how their verifications have ended."""

from __future__ import annotations

from trafficsplit.analysis.split import Split
from trafficsplit.gate.requests import Verification
from trafficsplit.settings.commands import GateSettings, parse_gate
from trafficsplit.settings.options import GATE, Texts
from trafficsplit.settings.verify import VerifySettings


def gate_settings(**given: str) -> GateSettings:
    """Return a gate's settings, as `trafficsplit gate` reads these options."""
    return parse_gate(Texts(GATE, {"host": "http://gateway", **given}))


def verification(green: float = 25, identity: str = "") -> Verification:
    """Return a verification of green's weight in per cent."""
    split = Split({"blue": 100 - green, "green": green})
    return Verification(VerifySettings(("http://gateway",), split), identity)
