"""What happens around a run: it is prepared, watched, judged and written down.

Registered with Locust's events at module level, because a listener that judges must have been
there before Locust's own (DESIGN.md 6).
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner
from locust.stats import CSV_STATS_INTERVAL_SEC

from analysis import InputError, write_run
from analysis.options import hosts_of
from analysis.run import BEGUN
from load import engine, workers
from load.options import add_options
from load.progress import show_progress
from load.session import Session

WRONG_USAGE = 2
# How long an answer may still come after somebody has asked the run to stop.
LAST_ANSWERS = 2.0  # seconds

_sessions: dict[int, Session] = {}
_workers: dict[int, workers.Workers] = {}


def session_of(environment: Environment) -> Session:
    """The run that is going on in an environment of Locust's."""
    return _sessions[id(environment)]


def register() -> None:
    """Listen to Locust's events."""
    events.init_command_line_parser.add_listener(add_options)
    events.init.add_listener(_on_init)
    events.test_start.add_listener(_on_test_start)
    events.test_stopping.add_listener(_on_test_stopping)
    events.test_stop.add_listener(_on_test_stop)
    events.spawning_complete.add_listener(_on_spawning_complete)
    events.reset_stats.add_listener(_on_reset_stats)
    events.quitting.add_listener(_on_quitting)
    events.quit.add_listener(_on_quit)
    events.report_to_master.add_listener(_on_report_to_master)
    events.worker_report.add_listener(_on_worker_report)


def _on_init(environment: Environment, **_: Any) -> None:
    """Refuse wrong options before anything is sent; the web form gets its chance at the start."""
    runner = environment.runner
    if isinstance(runner, MasterRunner):
        _workers[id(environment)] = workers.Workers(runner)
    try:
        session = _prepared(environment)
        if isinstance(runner, WorkerRunner):
            # Its options come with the start, from the master.
            workers.introduce(runner, lambda: session_of(environment).counter.close())
        elif environment.parsed_options and environment.parsed_options.headless:
            hosts_of(session.host)
    except InputError as error:
        print(f"trafficsplit: {error}", file=sys.stderr)
        sys.exit(WRONG_USAGE)
    if environment.web_ui:
        from load.web import extend

        extend(environment, lambda: session_of(environment))


def _prepared(environment: Environment) -> Session:
    """A session for the options as they are now. Raises InputError."""
    if before := _sessions.get(id(environment)):
        before.end()
    session = Session(environment, on_complete=partial(_on_complete, environment))
    session.client = _client(session)
    if session.client != "engine" and any(place.address for place in session.places):
        raise InputError(
            f"--client {session.client} cannot ask several addresses of one name: use the engine, "
            "or give each a --host"
        )
    users = session.options.num_users or 1
    if users < len(session.places) and not isinstance(environment.runner, WorkerRunner):
        raise InputError(
            f"{users} users cannot ask {len(session.places)} gateways: give more --users"
        )
    if session.client != "engine":
        # Without it Locust cuts off the answers that are on their way, and the slower variant
        # loses. The engine waits for its answers itself.
        timeout = float(session.load["timeout"])
        environment.stop_timeout = environment.stop_timeout or timeout
    _sessions[id(environment)] = session
    return session


def _client(session: Session) -> str:
    """The client that was asked for; else the engine, unless something speaks against it."""
    if asked := session.load["client"]:
        if asked == "engine" and not engine.AVAILABLE:
            raise InputError("there is no epoll on this system for --client engine: say stock")
        return asked
    listeners = [
        listener
        for listener in session.environment.events.request._handlers
        if not listener.__module__.startswith("locust.")
    ]
    why = ""
    if listeners:
        names = ", ".join(sorted({listener.__module__ for listener in listeners}))
        why = f"{names} listens to every request"
    elif not engine.AVAILABLE:
        why = "there is no epoll on this system"
    if why and id(session.environment) not in _sessions:
        print(f"trafficsplit: {why}, so Locust's FastHttpUser sends (--client)", file=sys.stderr)
    return "stock" if why else "engine"


def _on_test_start(environment: Environment, **_: Any) -> None:
    """A fresh tally, once the gateway answers."""
    runner, options = environment.runner, environment.parsed_options
    assert options
    if isinstance(runner, MasterRunner):
        options.shared_by = max(len(runner.clients.all), 1)
    try:
        session = _prepared(environment)
        hosts_of(session.host)
        if not isinstance(runner, WorkerRunner):
            session.unreachable = session.why_not_ready()
        session.begin()
        if options.run_dir and not session.unreachable:
            (Path(options.run_dir) / BEGUN).touch()
    except InputError as error:  # from the web form: the run is not begun, the page stays
        session = _sessions[id(environment)]
        session.unreachable = str(error)
    except Exception as error:  # Locust would go on with a run that never began
        session = _sessions[id(environment)]
        session.unreachable = f"the run could not begin ({type(error).__name__}: {error})"
    if session.unreachable:
        session.counter.close()
        _end(environment)
    elif options.progress >= 0:
        gevent.spawn(show_progress, session.question, session.counter, options.progress)


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
        _on_test_stopping(environment)
        if options.csv_prefix:  # Locust's CSV files are as old as its last look: one more
            gevent.sleep(1.2 * CSV_STATS_INTERVAL_SEC)
        runner.quit()

    gevent.spawn(leave)


def _on_test_stopping(environment: Environment, **_: Any) -> None:
    """Send no more, and let the last answers come in."""
    session = session_of(environment)
    counter, runner = session.counter, environment.runner
    if isinstance(runner, WorkerRunner) or session.finished:
        return
    if not counter.complete and not session.unreachable:
        run_time = session.options.run_time
        over = run_time and time.monotonic() - counter.began >= run_time
        session.ended_by = "--run-time was over" if over else "the run was interrupted"
    counter.close()
    if isinstance(runner, MasterRunner):
        _workers[id(environment)].close(session, LAST_ANSWERS + 4 * workers.REPORT_INTERVAL)
    else:
        deadline = time.monotonic() + LAST_ANSWERS
        while counter.under_way > 0 and time.monotonic() < deadline:
            gevent.sleep(0.01)


def _on_test_stop(environment: Environment, **_: Any) -> None:
    """With the web page: the run is over, Locust goes on."""
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
    """Headless: judge, write down, and set the exit code."""
    if isinstance(environment.runner, WorkerRunner):
        session_of(environment).end_recording()
        return
    if not environment.parsed_options:
        return
    session = _finish(environment)
    judgement = session.judged()
    if judgement and environment.parsed_options.headless:
        environment.process_exit_code = judgement.verdict.exit_code


def _finish(environment: Environment) -> Session:
    """Write the run down, once."""
    session = session_of(environment)
    if session.finished:
        return session
    _on_test_stopping(environment)
    session.finished = True
    session.end()
    if session.options.run_dir and session.question:
        try:
            write_run(session.run(session.question), Path(session.options.run_dir))
        except OSError as error:
            reason = error.strerror or str(error)
            # What was counted is not lost with the disk: it is said.
            print(
                f"trafficsplit: {session.options.run_dir} cannot be written ({reason}); the "
                f"verdict was {_spoken(session)}",
                file=sys.stderr,
            )
    return session


def _on_quit(**_: Any) -> None:
    """The verdict is the last word, after Locust's own tables."""
    for session in _sessions.values():
        if session.options.headless and not session.options.run_dir and session.finished:
            print(_spoken(session), file=sys.stderr)


def _spoken(session: Session) -> str:
    """The verdict, or the shares where none was asked for, in one line."""
    judgement = session.judged()
    if judgement:
        return f"{judgement.verdict}: {judgement.reason}"
    if session.unreachable:
        return f"trafficsplit: {session.unreachable}"
    tally = session.counter.tally
    shares = ", ".join(f"{v} {100 * (tally.share(v) or 0):.1f} %" for v in sorted(tally.counts))
    return f"{tally.requests:,} requests: {shares or 'no variant answered'}. " + (
        "No split was expected, so there is no verdict: give --weight or --weights."
    )


def _on_report_to_master(client_id: str, data: dict[str, Any]) -> None:
    for session in _sessions.values():
        workers.report(session, data)


def _on_worker_report(client_id: str, data: dict[str, Any]) -> None:
    for key, session in _sessions.items():
        _workers[key].take(session, client_id, data)
