"""The command line, with a file for each command, which parses its options and hands types on."""

from __future__ import annotations

import time

BEGAN = time.monotonic()  # before the imports that take long

import sys  # noqa: E402

import click  # noqa: E402

from trafficsplit import __version__  # noqa: E402
from trafficsplit.cli.analyze import analyze  # noqa: E402
from trafficsplit.cli.gate import gate  # noqa: E402
from trafficsplit.cli.lab import lab  # noqa: E402
from trafficsplit.cli.locustfile import locustfile  # noqa: E402
from trafficsplit.cli.plan import plan  # noqa: E402
from trafficsplit.cli.rollout import rollout  # noqa: E402
from trafficsplit.cli.set_weights import set_weights  # noqa: E402
from trafficsplit.cli.verify import verify  # noqa: E402
from trafficsplit.errors import ExitCode, InputError  # noqa: E402
from trafficsplit.frame import run_framed, say  # noqa: E402


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="%(version)s")
@click.pass_context
def trafficsplit(context: click.Context) -> None:
    """Does the gateway split traffic as its weights say?

    Every option can be set by an environment variable too: --max-failing is
    TRAFFICSPLIT_MAX_FAILING.
    """
    context.obj = BEGAN


for _command in (verify, plan, analyze, lab, rollout, gate, set_weights, locustfile):
    trafficsplit.add_command(_command)


def main() -> None:
    """Run a command; leave with its exit code, and never with a traceback."""
    sys.exit(run_framed(_run))


def _run() -> int:
    try:
        return int(trafficsplit.main(standalone_mode=False) or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message(), to_error=True)
        return ExitCode.WRONG_USAGE
    except click.ClickException as error:
        raise InputError(error.format_message()) from None
    except click.Abort as abort:  # Click raises it for a KeyboardInterrupt
        raise KeyboardInterrupt(*getattr(abort.__cause__, "args", ())) from None
