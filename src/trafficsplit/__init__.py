"""Does a gateway split traffic as its weights say?

This is the public API. A name is imported when it is first used, so that a command does not wait
for what it does not need:

    Split, Tally, Question              what is configured, what came back, how surely to know
    SequentialTest, Verdict             the judge, which may be looked at as often as you like
    FixedTest, chi_square               the fixed-sample tests, and what they found
    power, sample_size                  their power, and the responses that they need
    planned, requests_to_match          the requests that a verdict takes as a rule
    Identifier, identifier_of           which variants the responses of a run name
    variant_of                          which variant one body names
    InputError                          the exception for whatever a person gave that is wrong
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trafficsplit.analysis.fixed import FixedTest, chi_square
    from trafficsplit.analysis.fixed_power import power, sample_size
    from trafficsplit.analysis.planning import planned, requests_to_match
    from trafficsplit.analysis.question import Question
    from trafficsplit.analysis.sequential import SequentialTest
    from trafficsplit.analysis.split import Split
    from trafficsplit.analysis.tally import Tally
    from trafficsplit.analysis.verdict import Verdict
    from trafficsplit.errors import InputError
    from trafficsplit.identify.identifier import Identifier, identifier_of, variant_of

__version__ = version("trafficsplit")

__all__ = [
    "FixedTest",
    "Identifier",
    "InputError",
    "Question",
    "SequentialTest",
    "Split",
    "Tally",
    "Verdict",
    "__version__",
    "chi_square",
    "identifier_of",
    "planned",
    "power",
    "requests_to_match",
    "sample_size",
    "variant_of",
]

_MODULES = {
    "FixedTest": "analysis.fixed",
    "InputError": "errors",
    "Question": "analysis.question",
    "Identifier": "identify.identifier",
    "SequentialTest": "analysis.sequential",
    "Split": "analysis.split",
    "Tally": "analysis.tally",
    "Verdict": "analysis.verdict",
    "chi_square": "analysis.fixed",
    "planned": "analysis.planning",
    "power": "analysis.fixed_power",
    "identifier_of": "identify.identifier",
    "requests_to_match": "analysis.planning",
    "sample_size": "analysis.fixed_power",
    "variant_of": "identify.identifier",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
