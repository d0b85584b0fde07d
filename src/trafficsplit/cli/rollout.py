"""`trafficsplit rollout`: set weights step by step, verify each, and go back where one fails."""

from __future__ import annotations

import datetime
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trafficsplit.options import LINES, option, source_options

if TYPE_CHECKING:
    from trafficsplit.release import Release

WHERE_FROM = (
    "manifest", "route", "map", "virtual_service", "http_route", "context", "gateway_service",
    "force_conflicts", "host", "path", "header",
)  # fmt: skip
HELD, INTERRUPTED = 3, 130


@click.command(context_settings={"ignore_unknown_options": True})
@option("--steps", "The canary's weights in per cent, one after the other.", metavar="5,25,50,100")
@option("--pause", "Wait between steps, after a match.", metavar="SECONDS", default="0s")
@option("--in-force-within", "Weights that come into force later are a mismatch.",
        metavar="SECONDS")  # fmt: skip
@option("--variant", "The canary.", metavar="NAME", default="green", show_default=True)
@option("--hold", "Leave the weights as they are where a step does not match.", is_flag=True)
@option("--yes", "Ask nothing: on inconclusive go back.", is_flag=True)
@option("--continue", "Go on with an interrupted rollout, with its step.", is_flag=True)
@option("--undo", "Go back to where an interrupted rollout began.", is_flag=True)
@source_options
@option("--host", "The gateway's base URL.  [the lab's, or the cluster's]", metavar="URL", **LINES)
@option("--path", "What to ask for.", metavar="PATH", default="/color", show_default=True)
@option("--header", "Send this header too; may be repeated.", metavar="NAME: VALUE", **LINES)
@option("--report", "Where its state and the report go.", metavar="DIR", default="reports/rollout",
        show_default=True, type=click.Path(path_type=Path, file_okay=False))  # fmt: skip
@click.argument("verify_options", nargs=-1, type=click.UNPROCESSED)
def rollout(verify_options: tuple[str, ...], **options: Any) -> int:
    """Walk a release through its weights: on the lab, on a cluster, or in a manifest.

    Each step is set, awaited until it is in force, and verified; options that are not rollout's
    are verify's (--tolerance, --max-p99-ratio …). On a mismatch or failing the weights go back to
    where they were, and that is verified too.

    Exit codes: as of verify, of the last step that was verified on the way there; 3 where it holds.
    """
    from analysis import InputError
    from analysis.options import hosts_of
    from trafficsplit.release import Release, seconds, steps_of

    if options["continue"] and options["undo"]:
        raise InputError("--continue and --undo: give one of them")
    if options["host"]:
        options["host"] = ",".join(hosts_of(options["host"]))
    directory: Path = options["report"]
    if options["continue"] or options["undo"]:
        release = Release.read(directory)
    else:
        release = Release.begun(
            directory,
            steps=steps_of(options["steps"]),
            variant=options["variant"],
            pause=seconds(options["pause"], "--pause"),
            in_force_within=seconds(options["in_force_within"], "--in-force-within")
            if options["in_force_within"]
            else None,
            verify_options=verify_options,
            where_from={name: options[name] for name in WHERE_FROM if options[name]},
            hold=options["hold"],
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if options["undo"]:
            return _go_back(release, 0)
        return _walk(release, yes=options["yes"])
    except KeyboardInterrupt:
        release.write()
        print(f"interrupted: {release.where()}", file=sys.stderr)
        return INTERRUPTED


def _walk(release: Release, *, yes: bool) -> int:
    """All steps that are left."""
    from analysis.weights import in_words

    while (weights := release.next_weights()) is not None:
        verdict = _step(release, weights)
        code = int(verdict["exit_code"])
        if code == 0:
            release.passed()
            if release.next_weights() is not None and release.pause:
                print(f"pause: {release.pause:g} s", flush=True)
                time.sleep(release.pause)
            continue
        if code == HELD and not yes:
            if not release.hold and sys.stdin.isatty() and click.confirm("Go back?", default=True):
                return _go_back(release, code)
            print(f"it holds: {release.where()}")
            return code
        if release.hold:
            release.finish()
            return code
        return _go_back(release, code)
    release.finish()
    print(f"done: {in_words(release.before)} → {in_words(release.weights)}, every step verified")
    print(f"report: {release.directory / 'rollout.html'}")
    return 0


def _go_back(release: Release, code: int) -> int:
    """To where it began; the code says why."""
    from analysis.weights import in_words

    print(f"going back to {in_words(release.before)}", flush=True)
    release.going_back()
    verdict = _step(release, release.before)
    release.finish()
    if verdict["exit_code"] == 0:
        print(f"it is back at {in_words(release.before)}, which is verified")
    else:
        print(f"it was set back to {in_words(release.before)}, but that is not verified")
        code = code or int(verdict["exit_code"])
    print(f"report: {release.directory / 'rollout.html'}")
    return code


def _step(release: Release, weights: Mapping[str, float]) -> Mapping[str, Any]:
    """Set weights, wait until they are in force, and verify them."""
    from analysis.weights import in_words

    print(f"step: {in_words(weights)}", flush=True)
    effect = release.set(weights)
    if effect:
        print(f"  {effect}", flush=True)
    verdict = release.verify(weights, effect)
    at = datetime.datetime.fromisoformat(str(verdict["at"])).strftime("%H:%M:%S")
    print(f"  {at} {verdict['verdict']}: {verdict['reason']}", flush=True)
    return verdict
