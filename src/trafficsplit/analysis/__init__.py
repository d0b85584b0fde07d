"""What the counts mean. Pure: no network, no Locust, no clock.

The way through: a Split is what is configured, a Tally what came back, a Question how surely it is
to be known. A SequentialTest finds the verdict while counts arrive; a Run is all that a run left,
`judge` makes a Judgement of it, and `analysis.plots` draws it. `variant_of` and `reader_of` get a
variant out of a response, `requests_to_match` and `sample_size` plan.

    InputError            the one exception: a line to show to a person
"""

from analysis.errors import InputError
from analysis.fixed import FixedTest, chi_square, clopper_pearson, power, sample_size
from analysis.judge import judge, replay
from analysis.options import question_of_options
from analysis.planning import planned, requests_to_match
from analysis.question import Question
from analysis.reading import Reading, ResponseReader, reader_of, variant_of
from analysis.run import Run, read_run, write_run
from analysis.sequential import SequentialTest
from analysis.split import Split
from analysis.tally import Tally
from analysis.verdict import Judgement, Verdict

__all__ = [
    "FixedTest",
    "InputError",
    "Judgement",
    "Question",
    "Reading",
    "ResponseReader",
    "Run",
    "SequentialTest",
    "Split",
    "Tally",
    "Verdict",
    "chi_square",
    "clopper_pearson",
    "judge",
    "planned",
    "power",
    "question_of_options",
    "read_run",
    "reader_of",
    "replay",
    "requests_to_match",
    "sample_size",
    "variant_of",
    "write_run",
]
