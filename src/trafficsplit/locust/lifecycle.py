"""The listeners to Locust's events, which prepare, begin, end and judge a run, and hand it over.

They are registered when the locustfile is imported, because the one that judges has to be there
before Locust's own (DESIGN.md 6). A fault of ours in any of them ends the run, and is never taken
for a verdict.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec

import gevent
from locust import events
from locust import log as locust_log
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner
from locust.stats import CSV_STATS_INTERVAL_SEC

from trafficsplit.errors import BrokenError, ExitCode, InputError
from trafficsplit.frame import DEBUG, broken_line
from trafficsplit.load.engine import AVAILABLE
from trafficsplit.locust import fleet, patches
from trafficsplit.locust.options import add_options
from trafficsplit.locust.parent import parent
from trafficsplit.locust.plan import RunPlan, check_gateways, check_hosts, plan_of
from trafficsplit.locust.progress import show_progress, tell_progress
from trafficsplit.locust.session import Session
from trafficsplit.report.run_files import write_run

P = ParamSpec("P")
log = logging.getLogger(__name__)

# The time in which an answer may still come after a run was asked to stop.
LAST_ANSWERS = 2.0  # seconds
PAUSE = 0.01  # seconds between two looks at whether the last answer has come

_sessions: dict[int, Session] = {}
_fleets: dict[int, fleet.Fleet] = {}


def session_of(environment: Environment) -> Session:
    """Return the present run of an environment of Locust's."""
    return _sessions[id(environment)]


def register() -> None:
    """Listen to Locust's events."""
    patches.apply()
    events.init_command_line_parser.add_listener(add_options)
    events.init.add_listener(_on_init)
    events.test_start.add_listener(_guarded(_on_test_start))
    events.test_stopping.add_listener(_guarded(_on_test_stopping))
    events.test_stop.add_listener(_guarded(_on_test_stop))
    events.spawning_complete.add_listener(_guarded(_on_spawning_complete))
    events.reset_stats.add_listener(_guarded(_on_reset_stats))
    events.quitting.add_listener(_guarded(_on_quitting))
    events.quit.add_listener(_guarded(_on_quit))
    events.report_to_master.add_listener(_guarded(_on_report_to_master))
    events.worker_report.add_listener(_guarded(_on_worker_report))


def _guarded(listener: Callable[P, None]) -> Callable[P, None]:
    """Return a listener whose exceptions end the run; Locust would log them and go on."""

    @functools.wraps(listener)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            listener(*args, **kwargs)
        except Exception as error:
            for session in _sessions.values():
                break_run(session, error)

    return guarded


def break_run(session: Session, error: BaseException) -> None:
    """End a run for a fault of ours: there is no verdict."""
    if session.notes.broken:
        return
    session.notes.broken = broken_line(error)
    # locust.log shows where; people who run Locust themselves see a traceback when they ask.
    if parent() or os.environ.get(DEBUG):
        log.error(session.notes.broken, exc_info=error)
    print(f"trafficsplit: {session.notes.broken}", file=sys.stderr, flush=True)
    if isinstance(session.environment.runner, WorkerRunner):
        session.environment.runner.send_message(fleet.BROKEN, {"why": session.notes.broken})
    session.environment.process_exit_code = ExitCode.BROKEN
    session.counter.close()
    if not session.finished:
        _end(session.environment)


def _on_init(environment: Environment, **_: object) -> None:
    """Refuse wrong options before anything is sent; those of the web form come with the start."""
    try:
        _initialise(environment)
    except InputError as error:
        _leave(str(error), ExitCode.WRONG_USAGE)
    except Exception as error:
        _leave(broken_line(error), ExitCode.BROKEN)


def _leave(message: str, code: ExitCode) -> None:
    """End this process with one line."""
    print(f"trafficsplit: {message}", file=sys.stderr)
    sys.exit(code)


def _initialise(environment: Environment) -> None:
    runner = environment.runner
    options = environment.parsed_options
    if isinstance(runner, MasterRunner):
        _fleets[id(environment)] = fleet.Fleet(
            runner, lambda why: break_run(session_of(environment), BrokenError(why))
        )
    session = _prepared(environment)
    if isinstance(runner, WorkerRunner):
        # Its options come with the start, from the master.
        fleet.introduce(
            runner,
            close=lambda: session_of(environment).counter.close(),
            keep_pace=lambda pace: session_of(environment).sending.keep_pace(pace),
        )
    elif options and options.headless:
        check_hosts(session.plan)
    if environment.web_ui:
        from trafficsplit.locust.web import extend

        extend(environment, lambda: session_of(environment))


def _prepared(environment: Environment) -> Session:
    """Return a new session for the present options. Raises InputError."""
    before = _sessions.get(id(environment))
    if before:
        before.end()
    assert environment.parsed_options
    plan = plan_of(environment.parsed_options, environment.host)
    client = _client(environment, plan)
    check_gateways(plan, client, alone=not isinstance(environment.runner, WorkerRunner))
    if client != "engine":
        # Locust would cut off the requests under way, which are the slower variant's more often.
        # The engine waits for its answers itself.
        environment.stop_timeout = environment.stop_timeout or plan.load.request.timeout
    session = Session(
        environment,
        plan,
        client,
        _fleets.get(id(environment)),
        on_complete=partial(_on_complete, environment),
    )
    _sessions[id(environment)] = session
    return session


def _client(environment: Environment, plan: RunPlan) -> str:
    """Return the client that --client names, or else the engine, where it can be used.

    Raises InputError where the system has no epoll for the engine.
    """
    wanted = plan.load.client
    if wanted == "engine" and not AVAILABLE:
        raise InputError("there is no epoll on this system for --client engine: say stock")
    if wanted:
        return wanted
    why = _why_not_the_engine(environment)
    if not why:
        return "engine"
    if id(environment) not in _sessions:
        print(f"trafficsplit: {why}, so Locust's FastHttpUser sends (--client)", file=sys.stderr)
    return "stock"


def _why_not_the_engine(environment: Environment) -> str:
    """Return why the engine cannot be used, empty where it can."""
    listeners = {handler.__module__ for handler in environment.events.request._handlers}
    foreign = [name for name in sorted(listeners) if not name.startswith("locust.")]
    if foreign:
        return f"{', '.join(foreign)} listens to every request"
    if not AVAILABLE:
        return "there is no epoll on this system"
    return ""


def _on_test_start(environment: Environment, **_: object) -> None:
    """Begin a new run, when the gateway answers."""
    runner = environment.runner
    options: Any = environment.parsed_options
    if isinstance(runner, MasterRunner):
        options.shared_by = max(len(runner.clients.all), 1)
    try:
        session = _prepared(environment)
        check_hosts(session.plan)
        if not session.is_worker:
            session.notes.unreachable = session.why_not_ready()
        session.begin(partial(break_run, session))
    except InputError as error:  # in the web form: the run does not begin, and the page stays
        session = session_of(environment)
        session.notes.unreachable = str(error)
    if session.notes.unreachable:
        session.counter.close()
        _end(environment)
        return
    above = parent()
    if above and not session.is_worker:
        above.tell_begun()
    if options.progress >= 0:
        gevent.spawn(show_progress, session.plan.question, session.counter, options.progress)
    elif waiting := parent():
        told = waiting.tell_progress
        gevent.spawn(tell_progress, session.plan.question, session.counter, told)


def _on_complete(environment: Environment) -> None:
    if not isinstance(environment.runner, WorkerRunner):
        _end(environment)


def _end(environment: Environment) -> None:
    """Stop the run, and headless all of Locust, in a greenlet that is not one of the users'."""
    options: Any = environment.parsed_options
    runner: Any = environment.runner

    def leave() -> None:
        if not options.headless:
            runner.stop()
            return
        _guarded(_on_test_stopping)(environment)
        if options.csv_prefix:  # Locust is to write its CSV files once more
            gevent.sleep(1.2 * CSV_STATS_INTERVAL_SEC)
        runner.quit()

    gevent.spawn(leave)


def _on_test_stopping(environment: Environment, **_: object) -> None:
    """Send no more, and wait for the last answers."""
    session = session_of(environment)
    counter = session.counter
    if session.is_worker or session.finished:
        return
    if not counter.complete and not session.notes.unreachable:
        session.notes.interrupted = _why_interrupted(session)
        log.info("ends early: %s", session.notes.interrupted)
    counter.close()
    if session.fleet:
        session.fleet.close(LAST_ANSWERS + 4 * patches.REPORT_INTERVAL)
        return
    deadline = time.monotonic() + LAST_ANSWERS
    while counter.under_way > 0 and time.monotonic() < deadline:
        gevent.sleep(PAUSE)
    if counter.under_way > 0:
        log.info("requests that are still under way at the end: %s", counter.under_way)


def _why_interrupted(session: Session) -> str:
    run_time = session.options.run_time
    if run_time and time.monotonic() - session.counter.began >= run_time:
        return "--run-time was over"
    return "the run was interrupted"


def _on_test_stop(environment: Environment, **_: object) -> None:
    """Say how a run has ended, where Locust goes on with its web page."""
    options: Any = environment.parsed_options
    if isinstance(environment.runner, WorkerRunner):
        session_of(environment).end_recording()
    elif not options.headless:
        session = _finish(environment)
        print(_result_line(session), file=sys.stderr)


def _on_spawning_complete(**_: object) -> None:
    for session in _sessions.values():
        if session.environment.reset_stats:
            session.reset()


def _on_reset_stats(**_: object) -> None:
    for session in _sessions.values():
        if not session.finished:
            session.reset()


def _on_quitting(environment: Environment, **_: object) -> None:
    """Hand the run over; headless, judge it and set the exit code too."""
    if isinstance(environment.runner, WorkerRunner):
        session_of(environment).end_recording()
        return
    if not environment.parsed_options:
        return
    session = _finish(environment)
    if environment.parsed_options.headless:
        code = _exit_code(session)
        if code is not None:
            environment.process_exit_code = code


def _exit_code(session: Session) -> ExitCode | None:
    """Return the exit code of a run; None leaves it to Locust."""
    if session.notes.broken or locust_log.unhandled_greenlet_exception:
        return ExitCode.BROKEN
    if parent():
        return ExitCode.MATCH  # our parent judges the run
    judgement = session.judged()
    if judgement is None:
        return None
    return judgement.verdict.exit_code


def _finish(environment: Environment) -> Session:
    """Hand the run over, once."""
    session = session_of(environment)
    if session.finished:
        return session
    _on_test_stopping(environment)
    session.finished = True
    session.end()
    question = session.plan.question
    if question is None:
        return session
    above = parent()
    if above:
        above.hand_over(session.run(question))
    elif session.options.run_dir:
        _write_down(session)
    return session


def _write_down(session: Session) -> None:
    assert session.plan.question
    directory = session.options.run_dir
    try:
        write_run(session.run(session.plan.question), Path(directory))
    except OSError as error:
        reason = error.strerror or str(error)
        # The verdict needs no disk.
        print(
            f"trafficsplit: {directory} cannot be written ({reason}); the verdict was "
            f"{_result_line(session)}",
            file=sys.stderr,
        )


def _on_quit(**_: object) -> None:
    """Print the verdict, below Locust's own tables."""
    if parent():
        return
    for session in _sessions.values():
        if session.options.headless and not session.options.run_dir and session.finished:
            print(_result_line(session), file=sys.stderr)


def _result_line(session: Session) -> str:
    """Return the verdict in one line, or the shares where no split was expected."""
    if session.notes.broken:
        return f"trafficsplit: {session.notes.broken}"
    judgement = session.judged()
    if judgement:
        return f"{judgement.verdict}: {judgement.reason}"
    if session.notes.unreachable:
        return f"trafficsplit: {session.notes.unreachable}"
    tally = session.counter.tally
    shares = []
    for variant in sorted(tally.counts):
        shares.append(f"{variant} {100 * (tally.share(variant) or 0):.1f} %")
    answered = ", ".join(shares) or "no variant answered"
    return (
        f"{tally.requests:,} requests: {answered}. No split was expected, so there is no verdict: "
        "give --weight or --weights."
    )


def _on_report_to_master(client_id: str, data: dict[str, Any]) -> None:
    for session in _sessions.values():
        data[fleet.KEY] = fleet.report_of(session.counter, session.sender)


def _on_worker_report(client_id: str, data: dict[str, Any]) -> None:
    for key, session in _sessions.items():
        _fleets[key].take(session.counter, client_id, data)
