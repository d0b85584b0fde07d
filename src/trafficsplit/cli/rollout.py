"""`trafficsplit rollout`: set weights step by step, verify each, and go back where one fails."""

from __future__ import annotations

import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from trafficsplit.cli.options import options, texts_of
from trafficsplit.settings.options import ROLLOUT

if TYPE_CHECKING:
    from trafficsplit.rollout.state import Release
    from trafficsplit.rollout.walk import Walk
    from trafficsplit.settings.commands import RolloutSettings, SourceSettings
    from trafficsplit.settings.load import LoadSettings
    from trafficsplit.weights.sources import Source


@click.command()
@options(ROLLOUT)
@click.pass_context
def rollout(context: click.Context, /, **_: object) -> int:
    """Walk a release through its weights: on the lab, on a cluster, or in a manifest.

    Each step is set, awaited until it is in force, and verified. On a mismatch or failing, and
    where a step ends without a verdict, the weights go back to where they were, and that is
    verified too.

    Exit codes: as of verify, of the last step that was verified on the way there; 3 where it holds.
    """
    texts = texts_of(context, ROLLOUT)
    from trafficsplit.errors import ExitCode, InputError
    from trafficsplit.frame import say
    from trafficsplit.settings.commands import parse_rollout

    settings = parse_rollout(texts)
    walk = _walk(settings)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return walk.back() if settings.undo else walk.onward()
    except KeyboardInterrupt:
        say(f"interrupted: {walk.release.where}", to_error=True)
        try:
            walk.release.write()
        except InputError as error:  # where it stands has been said
            say(f"note: {error}", to_error=True)
        return ExitCode.INTERRUPTED


def _walk(settings: RolloutSettings) -> Walk:
    """Return a walk whose settings make sense, before any weight is set. Raises InputError."""
    from trafficsplit.report.plots_wanted import check_plots
    from trafficsplit.rollout.state import read_release
    from trafficsplit.rollout.walk import Walk

    check_plots(wanted=settings.plots)
    if settings.resume or settings.undo:
        release = _with_headers(read_release(settings.report), settings)
        verification = release.plan.verification
        source = _source(release.plan.source, verification.load, verification.hosts)
    else:
        release, source = _begun(settings)
    confirm = _confirm if sys.stdin is not None and sys.stdin.isatty() else None
    walk = Walk(release, source, settings.yes, settings.plots, confirm)
    walk.check(onward=not settings.undo)
    release.write()
    return walk


def _with_headers(release: Release, settings: RolloutSettings) -> Release:
    """Return a release with the values of its headers, which its state does not keep.

    Raises InputError for one that is not given anew.
    """
    from trafficsplit.errors import InputError
    from trafficsplit.settings.secrets import are_masked, names_of, with_values

    verification = release.plan.verification
    request = verification.load.request
    if not are_masked(request.headers):
        return release
    try:
        headers = with_values(request.headers, settings.load.request.headers)
    except KeyError:
        names = " ".join(f"--header '{name}: …'" for name in names_of(request.headers))
        raise InputError(f"the values of headers are not kept: give {names} again") from None
    load = replace(verification.load, request=replace(request, headers=headers))
    plan = replace(release.plan, verification=replace(verification, load=load))
    return replace(release, plan=plan)


def _confirm() -> bool:
    return click.confirm("Go back?", default=True)


def _begun(settings: RolloutSettings) -> tuple[Release, Source]:
    """Return a new release, on the lab where no other source is named. Raises InputError."""
    from trafficsplit.errors import InputError
    from trafficsplit.preparation import check_identifier
    from trafficsplit.rollout.state import Plan, Release, unfinished
    from trafficsplit.settings.verify import VerifySettings
    from trafficsplit.weights.percent import complete_weights, percent

    there = unfinished(settings.report)
    if there is not None:
        raise InputError(f"a rollout is unfinished ({there.where}), or --report elsewhere")
    source = _source(settings.source, settings.load, settings.hosts)
    split = source.split()
    before = percent(split)
    complete_weights({settings.variant: 0.0}, before)  # whether there is such a variant
    check_identifier(settings.load, split)
    verification = VerifySettings(
        settings.hosts, split, settings.limits, settings.load, settings.sending
    )
    plan = Plan(
        variant=settings.variant,
        steps=settings.steps,
        before=before,
        source=settings.source,
        verification=verification,
        pause=settings.pause,
        hold=settings.hold,
        in_force_within=settings.in_force_within,
    )
    return Release(settings.report, plan, before), source


def _source(source: SourceSettings, load: LoadSettings, hosts: tuple[str, ...]) -> Source:
    from trafficsplit.lab.source import LabSource
    from trafficsplit.preparation import source_for

    return source_for(source, load, hosts) or LabSource()
