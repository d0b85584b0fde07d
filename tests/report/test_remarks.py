import dataclasses

import pytest

from tests.support.runs import having, made
from trafficsplit.analysis.run import Sender
from trafficsplit.report.remarks import remarks


@pytest.mark.parametrize(
    ("sender", "said"),
    [
        (Sender(), ""),
        (Sender(processes=3, lost=1), "a worker was lost, with what had not yet been reported"),
        (Sender(processes=3, lost=2), "2 workers were lost"),
        (Sender(rate=900, achieved=500), "500 requests a second were sent and not 900"),
        (Sender(rate=900, achieved=899, late=7), "7 requests had to wait for a free connection"),
        (Sender(rate=900, achieved=899), ""),
        (Sender(rate=900, achieved=500, late=7), "give more --users, or a slower --rate"),
        (Sender(cpu=0.97), "the client itself was busy (the client had 97 % of a core"),
        (
            Sender(lag=0.5),
            "something else (the client had 0 % of a core, and was up to 500.0 ms",
        ),
    ],
)
def test_what_the_client_could_not_do_is_told(sender: Sender, said: str) -> None:
    run = having(made({"blue": 60, "green": 20}), sender=sender, elapsed=5.0)
    found = remarks(run)
    assert len(found) == bool(said)
    assert said in "".join(found)
    # In an instant neither CPU nor lag means anything.
    short = having(run, elapsed=0.1)
    assert len(remarks(short)) == (bool(said) and "busy" not in "".join(found))


def test_a_recording_that_is_not_whole_is_told() -> None:
    run = made({"blue": 60, "green": 20}, unrecorded="the disk is full")
    assert remarks(run) == ["the recording is not whole: the disk is full"]


def test_one_trouble_hides_no_other() -> None:
    sender = Sender(processes=3, lost=1, rate=900, achieved=500, cpu=0.97)
    run = made({"blue": 60, "green": 20}, unrecorded="the disk is full")
    assert len(remarks(having(run, sender=sender))) == 4
    assert len(remarks(having(run, sender=dataclasses.replace(sender, lost=0)))) == 3
