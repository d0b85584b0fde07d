"""The command line's door: commands, and what a person is told when something is wrong."""

from __future__ import annotations

import time

BEGAN = time.monotonic()  # before the imports that take long

import sys  # noqa: E402

import click  # noqa: E402

from trafficsplit import __version__  # noqa: E402
from trafficsplit.analyze import analyze  # noqa: E402
from trafficsplit.gate import gate  # noqa: E402
from trafficsplit.lab import lab  # noqa: E402
from trafficsplit.plan import plan  # noqa: E402
from trafficsplit.rollout import rollout  # noqa: E402
from trafficsplit.setting import set_weights  # noqa: E402
from trafficsplit.verify import verify  # noqa: E402

WRONG_USAGE = 2
INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="%(version)s")
@click.pass_context
def trafficsplit(context: click.Context) -> None:
    """Does the gateway split traffic as its weights say?

    Every option is settable by an environment variable too: --max-failing is
    TRAFFICSPLIT_MAX_FAILING.
    """
    context.obj = BEGAN


trafficsplit.add_command(verify)
trafficsplit.add_command(plan)
trafficsplit.add_command(analyze)
trafficsplit.add_command(lab)
trafficsplit.add_command(rollout)
trafficsplit.add_command(gate)
trafficsplit.add_command(set_weights)


def main() -> None:
    """Run a command; leave with its exit code, and never with a traceback for a user's mistake."""
    from analysis import InputError

    try:
        code = trafficsplit.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        sys.exit(WRONG_USAGE)
    except click.ClickException as error:
        sys.exit(_refused(error.format_message()))
    except InputError as error:
        sys.exit(_refused(str(error)))
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # whoever read our output has gone
        sys.stderr.close()
        sys.exit(0)
    sys.exit(code or 0)


def _refused(message: str) -> int:
    print("trafficsplit: " + " ".join(message.split()), file=sys.stderr)
    return WRONG_USAGE
