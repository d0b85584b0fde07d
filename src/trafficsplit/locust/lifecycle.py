"""What happens around a run: it is prepared, watched, judged and handed on, by Locust's events.

Registered at module level, because a listener that judges must have been there before Locust's own
(DESIGN.md 6). A fault of our own in any of them ends the run, and is never taken for a verdict.
"""

from __future__ import annotations

import functools
import logging
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

from trafficsplit.errors import ExitCode, InputError
from trafficsplit.frame import broken_line
from trafficsplit.load.engine import AVAILABLE
from trafficsplit.locust import fleet, patches
from trafficsplit.locust.options import add_options
from trafficsplit.locust.parent import parent
from trafficsplit.locust.plan import RunPlan, check_gateways, check_hosts, plan_of
from trafficsplit.locust.progress import show_progress
from trafficsplit.locust.session import Session
from trafficsplit.report.run_files import write_run

P = ParamSpec("P")
log = logging.getLogger(__name__)

# How long an answer may still come after a run was asked to stop.
LAST_ANSWERS = 2.0  # seconds

_sessions: dict[int, Session] = {}
_fleets: dict[int, fleet.Fleet] = {}


def session_of(environment: Environment) -> Session:
    """Return the run that is going on in an environment of Locust's."""
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
    """Return a listener of which no exception is lost: Locust would log it, and go on."""

    @functools.wraps(listener)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            listener(*args, **kwargs)
        except Exception as error:
            for session in _sessions.values():
                _break(session, error)

    return guarded


def _break(session: Session, error: BaseException) -> None:
    """End a run that we cannot go on with: there is no verdict."""
    if session.notes.broken:
        return
    session.notes.broken = broken_line(error)
    log.error(session.notes.broken, exc_info=error)
    print(f"trafficsplit: {session.notes.broken}", file=sys.stderr, flush=True)
    session.environment.process_exit_code = ExitCode.BROKEN
    session.counter.close()
    if not session.finished:
        _end(session.environment)


def _on_init(environment: Environment, **_: Any) -> None:
    """Refuse wrong options before anything is sent; the web form gets its chance at the start."""
    try:
        _initialise(environment)
    except InputError as error:
        _leave(str(error), ExitCode.WRONG_USAGE)
    except Exception as error:
        _leave(broken_line(error), ExitCode.BROKEN)


def _leave(message: str, code: ExitCode) -> None:
    print(f"trafficsplit: {message}", file=sys.stderr)
    sys.exit(code)


def _initialise(environment: Environment) -> None:
    runner = environment.runner
    options = environment.parsed_options
    if isinstance(runner, MasterRunner):
        _fleets[id(environment)] = fleet.Fleet(runner)
    session = _prepared(environment)
    if isinstance(runner, WorkerRunner):
        # Its options come with the start, from the master.
        fleet.introduce(runner, lambda: session_of(environment).counter.close())
    elif options and options.headless:
        check_hosts(session.plan)
    if environment.web_ui:
        from trafficsplit.locust.web import extend

        extend(environment, lambda: session_of(environment))


def _prepared(environment: Environment) -> Session:
    """Return a session for the options as they are now. Raises InputError."""
    before = _sessions.get(id(environment))
    if before:
        before.end()
    assert environment.parsed_options
    plan = plan_of(environment.parsed_options, environment.host)
    client = _client(environment, plan)
    check_gateways(plan, client, alone=not isinstance(environment.runner, WorkerRunner))
    if client != "engine":
        # Without it Locust cuts off the answers that are on their way, and the slower variant
        # loses. The engine waits for its answers itself.
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
    """Return the client that was asked for; else the engine, unless something speaks against it."""
    wanted = plan.load.client
    if wanted == "engine" and not AVAILABLE:
        raise InputError("there is no epoll on this system for --client engine: say stock")
    if wanted:
        return wanted
    why = _why_not_the_engine(environment)
    if why and id(environment) not in _sessions:
        print(f"trafficsplit: {why}, so Locust's FastHttpUser sends (--client)", file=sys.stderr)
    return "stock" if why else "engine"


def _why_not_the_engine(environment: Environment) -> str:
    handlers = environment.events.request._handlers
    listeners = {one.__module__ for one in handlers if not one.__module__.startswith("locust.")}
    if listeners:
        return f"{', '.join(sorted(listeners))} listens to every request"
    return "" if AVAILABLE else "there is no epoll on this system"


def _on_test_start(environment: Environment, **_: Any) -> None:
    """Begin with a fresh tally, once the gateway answers."""
    runner = environment.runner
    options: Any = environment.parsed_options
    if isinstance(runner, MasterRunner):
        options.shared_by = max(len(runner.clients.all), 1)
    try:
        session = _prepared(environment)
        check_hosts(session.plan)
        if not session.is_worker:
            session.notes.unreachable = session.why_not_ready()
        session.begin(partial(_break, session))
    except InputError as error:  # from the web form: the run is not begun, the page stays
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


def _on_complete(environment: Environment) -> None:
    if not isinstance(environment.runner, WorkerRunner):
        _end(environment)


def _end(environment: Environment) -> None:
    """Stop the run from outside of the user that noticed it should: headless, all of Locust."""
    options: Any = environment.parsed_options
    runner: Any = environment.runner

    def leave() -> None:
        if not options.headless:
            runner.stop()
            return
        _guarded(_on_test_stopping)(environment)
        if options.csv_prefix:  # Locust's CSV files are as old as its last look: one more
            gevent.sleep(1.2 * CSV_STATS_INTERVAL_SEC)
        runner.quit()

    gevent.spawn(leave)


def _on_test_stopping(environment: Environment, **_: Any) -> None:
    """Send no more, and let the last answers come in."""
    session = session_of(environment)
    counter = session.counter
    if session.is_worker or session.finished:
        return
    if not counter.complete and not session.notes.unreachable:
        session.notes.interrupted = _why_it_ends(session)
    counter.close()
    if session.fleet:
        session.fleet.close(LAST_ANSWERS + 4 * patches.REPORT_INTERVAL)
        return
    deadline = time.monotonic() + LAST_ANSWERS
    while counter.under_way > 0 and time.monotonic() < deadline:
        gevent.sleep(0.01)


def _why_it_ends(session: Session) -> str:
    run_time = session.options.run_time
    over = run_time and time.monotonic() - session.counter.began >= run_time
    return "--run-time was over" if over else "the run was interrupted"


def _on_test_stop(environment: Environment, **_: Any) -> None:
    """Say how a run ended, where Locust goes on because it has a web page."""
    options: Any = environment.parsed_options
    if isinstance(environment.runner, WorkerRunner):
        session_of(environment).end_recording()
    elif not options.headless:
        session = _finish(environment)
        print(_spoken(session), file=sys.stderr)


def _on_spawning_complete(**_: Any) -> None:
    for session in _sessions.values():
        if session.environment.reset_stats:
            session.reset()


def _on_reset_stats(**_: Any) -> None:
    for session in _sessions.values():
        if not session.finished:
            session.reset()


def _on_quitting(environment: Environment, **_: Any) -> None:
    """Headless: judge, hand over, and set the exit code."""
    if isinstance(environment.runner, WorkerRunner):
        session_of(environment).end_recording()
        return
    if not environment.parsed_options:
        return
    session = _finish(environment)
    if not environment.parsed_options.headless:
        return
    if session.notes.broken or locust_log.unhandled_greenlet_exception:
        environment.process_exit_code = ExitCode.BROKEN
        return
    judgement = None if parent() else session.judged()
    if judgement:
        environment.process_exit_code = judgement.verdict.exit_code
    elif parent():
        environment.process_exit_code = ExitCode.MATCH  # the verdict is our parent's affair


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
        # What was counted is not lost with the disk: it is said.
        print(
            f"trafficsplit: {directory} cannot be written ({reason}); the verdict was "
            f"{_spoken(session)}",
            file=sys.stderr,
        )


def _on_quit(**_: Any) -> None:
    """The verdict is the last word, after Locust's own tables."""
    if parent():
        return
    for session in _sessions.values():
        if session.options.headless and not session.options.run_dir and session.finished:
            print(_spoken(session), file=sys.stderr)


def _spoken(session: Session) -> str:
    """Return the verdict, or the shares where none was asked for, in one line."""
    if session.notes.broken:
        return f"trafficsplit: {session.notes.broken}"
    judgement = session.judged()
    if judgement:
        return f"{judgement.verdict}: {judgement.reason}"
    if session.notes.unreachable:
        return f"trafficsplit: {session.notes.unreachable}"
    tally = session.counter.tally
    shares = ", ".join(f"{v} {100 * (tally.share(v) or 0):.1f} %" for v in sorted(tally.counts))
    return (
        f"{tally.requests:,} requests: {shares or 'no variant answered'}. No split was expected, "
        "so there is no verdict: give --weight or --weights."
    )


def _on_report_to_master(client_id: str, data: dict[str, Any]) -> None:
    for session in _sessions.values():
        data[fleet.KEY] = fleet.report_of(session.counter, session.sender)


def _on_worker_report(client_id: str, data: dict[str, Any]) -> None:
    for key, session in _sessions.items():
        _fleets[key].take(session.counter, client_id, data)
