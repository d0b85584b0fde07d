"""One verification, from its settings to its verdict: the load, the judge, the report.

settings → Locust, in a process of its own → run → judgement → document and report
"""

from __future__ import annotations

import contextlib
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from trafficsplit.analysis.meeting import check_names_meet
from trafficsplit.analysis.run import Run, SourceReading
from trafficsplit.analysis.split import Split
from trafficsplit.errors import BrokenError, InputError
from trafficsplit.locust.process import LocustProcess, signals_passed_on
from trafficsplit.locust.warm import WarmProcess
from trafficsplit.report.directory import ReportDirectory, report_directory
from trafficsplit.report.document import VerdictDocument
from trafficsplit.report.publish import (
    Clock,
    HeldSignals,
    Saying,
    command_line,
    publish,
    signals_held_back,
)
from trafficsplit.settings.verify import VerifySettings
from trafficsplit.weights.sources import GatewayLocation, Source


@dataclass(frozen=True)
class Occasion:
    """What a verification is part of: where its report goes, and how its verdict is said.

    `report` is the directory, None for a new one in reports/. `source` is read again when the run
    is over; it is None if the weights came from the command line. `location` is where it said that
    the gateway is, None if it was not asked. `progress` shows on a terminal how far the run is.
    `warm` is a process that has imported Locust by then.
    """

    clock: Clock
    report: Path | None = None
    saying: Saying = field(default_factory=Saying)
    source: Source | None = None
    location: GatewayLocation | None = None
    progress: bool = True
    warm: WarmProcess | None = None


Gateway = Callable[[Path], "contextlib.AbstractContextManager[tuple[str, ...]]"]


def verify(
    settings: VerifySettings, occasion: Occasion, gateway: Gateway | None = None
) -> VerdictDocument:
    """Drive a gateway until the verdict is known, say it, and write the report.

    `gateway` is for settings without base URLs: a context manager that gives them for as long as it
    is entered, made with a directory for its own files. Raises InputError before anything is sent,
    BrokenError if this tool could not finish.
    """
    settings = replace(settings, run_id=uuid.uuid4().hex)
    with report_directory(occasion.report) as report, contextlib.ExitStack() as stack:
        with _hosts(settings, gateway, report) as hosts:
            occasion.clock.lap("lab")
            settings = replace(settings, hosts=hosts)
            # Beyond the load: while the lab ends, a second signal must not take the counts.
            held = stack.enter_context(signals_held_back())
            progress, warm = occasion.progress, occasion.warm
            run = drive(settings, report.aside, held, progress=progress, warm=warm)
            occasion.clock.lap("load")
            check_names_meet(run)
        run = replace(run, subject=replace(run.subject, command=command_line()))
        if occasion.source:
            run = replace(run, source=read_again(occasion.source, occasion.location))
        return publish(run, report, occasion.clock, occasion.saying)


@contextlib.contextmanager
def _hosts(
    settings: VerifySettings, gateway: Gateway | None, report: ReportDirectory
) -> Iterator[tuple[str, ...]]:
    if settings.hosts or gateway is None:
        yield settings.hosts
        return
    with gateway(report.aside) as hosts:
        yield hosts


def drive(
    settings: VerifySettings,
    directory: Path,
    held: HeldSignals,
    *,
    progress: bool = False,
    warm: WarmProcess | None = None,
) -> Run:
    """Send requests until the run is complete, and return it; `directory` is the run's own.

    SIGINT and SIGTERM, also those that were `held` back before, end the load early, and its counts
    come all the same. Raises KeyboardInterrupt if there are none yet, InputError, and BrokenError
    if there are no counts for another reason.
    """
    try:
        process = LocustProcess(settings, directory, progress=progress, warm=warm)
    except OSError as error:
        raise InputError(
            f"{directory} cannot be written ({error.strerror or error}): give another --report DIR"
        ) from None
    with process, signals_passed_on(process, held.caught):
        process.wait()
        try:
            return process.run()
        except BrokenError:
            if process.stopped_early:
                raise KeyboardInterrupt("interrupted before anything was counted") from None
            raise


def read_again(source: Source, location: GatewayLocation | None = None) -> SourceReading:
    """Return the split of a source now, or the reason why it cannot be read. Never raises.

    A run that has been made is worth keeping either way. `location` is where the gateway was at the
    beginning, None if its addresses did not come from the source.
    """
    try:
        moved = "" if location is None else difference(location, source.gateway())
        return SourceReading(
            str(source), reread=source.split(), moved=moved, set_at=source.set_at()
        )
    except InputError as error:
        return SourceReading(str(source), unread=str(error))


def difference(before: GatewayLocation, after: GatewayLocation) -> str:
    """Return which addresses of a gateway are gone, and which are new; empty if none is."""
    gone = sorted(_addresses(before) - _addresses(after))
    new = sorted(_addresses(after) - _addresses(before))
    parts = [f"{address} is gone" for address in gone]
    parts += [f"{address} is new" for address in new]
    return ", ".join(parts)


def _addresses(location: GatewayLocation) -> set[str]:
    named = set(chain(*location.addresses.values()))
    return named or set(location.hosts)


def expected_split(split: Split | None, source: Source | None) -> Split:
    """Return the split to expect: the source's, or else the given one. Raises InputError."""
    if source is not None:
        return source.split()
    if split is not None:
        return split
    raise InputError(
        "no split to expect: give --weight 25 (green), --weights blue=75,green=25, or --manifest "
        "FILE"
    )


def with_gateway_of(source: Source | None, settings: VerifySettings) -> VerifySettings:
    """Return settings with the gateway that a source knows, if they have none.

    Raises InputError.
    """
    if settings.hosts or source is None:
        return settings
    return with_gateway_at(source.gateway(), settings)


def with_gateway_at(gateway: GatewayLocation, settings: VerifySettings) -> VerifySettings:
    """Return settings with a gateway that is somewhere."""
    connection = settings.load.connection
    addresses = {**gateway.addresses, **connection.addresses}
    load = replace(settings.load, connection=replace(connection, addresses=addresses))
    return replace(settings, hosts=gateway.hosts, load=load)


def read_standard_input() -> str:
    """Return all of standard input. Raises InputError for what is no text."""
    try:
        return sys.stdin.read()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"standard input cannot be read: {error}") from None
