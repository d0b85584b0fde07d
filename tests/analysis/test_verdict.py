from trafficsplit.analysis.verdict import Verdict
from trafficsplit.errors import ExitCode


def test_exit_codes_are_the_contract() -> None:
    # DESIGN.md 5; 2 and 5 are no verdicts.
    assert {str(verdict): int(verdict.exit_code) for verdict in Verdict} == {
        "match": 0,
        "mismatch": 1,
        "inconclusive": 3,
        "failing": 4,
    }
    assert (ExitCode.WRONG_USAGE, ExitCode.BROKEN) == (2, 5)


def test_a_verdict_is_its_word() -> None:
    assert Verdict("match") is Verdict.MATCH
    assert f"{Verdict.FAILING}" == "failing"
