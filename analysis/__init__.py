"""What the counts mean. Pure: no network, no Locust, no clock.

The way through: a Split is what is configured, a Tally what came back, a Question how surely it is
to be known; `judge_fixed` makes a Judgement of them. `variant_of` and `reader_of` get a variant
out of a response, a Run is all that a run left, and `analysis.plots` draws it.

    InputError            the one exception: a line to show to a person
"""

from analysis.errors import InputError
from analysis.fixed import FixedTest, chi_square, clopper_pearson, power, sample_size
from analysis.judge import judge_fixed
from analysis.options import question_of_options
from analysis.question import Question
from analysis.reading import Reading, ResponseReader, reader_of, variant_of
from analysis.run import Run, read_run, write_run
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
    "Split",
    "Tally",
    "Verdict",
    "chi_square",
    "clopper_pearson",
    "judge_fixed",
    "power",
    "question_of_options",
    "read_run",
    "reader_of",
    "sample_size",
    "variant_of",
    "write_run",
]
