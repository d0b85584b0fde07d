"""Locust's web page with a tab "Traffic split": a table like Locust's own, and our charts below.

Locust's extended tabs can only hold tables. A short script puts the page of charts, which is also
at /trafficsplit, into the tab.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from flask import Blueprint, Response, request, send_from_directory
from locust.env import Environment

from trafficsplit.locust import live
from trafficsplit.locust.session import Session

STATIC = Path(__file__).with_name("static")
KEY = "traffic-split"
LONGEST_AGE = 3600  # seconds that a browser may keep the library for charts


def extend(environment: Environment, session_of: Callable[[], Session]) -> None:
    """Add the tab, its data, and the page of charts to Locust's web page."""
    web: Any = environment.web_ui
    options = environment.parsed_options
    base = (options and options.web_base_path) or ""
    history = live.History()
    gevent.spawn(live.note_for_ever, session_of, history)

    def current() -> dict[str, Any]:
        session = session_of()
        if session.counter.began:
            history.note(session, last=session.finished)
        return live.state(session, history)

    def as_csv() -> str:
        return live.csv_of(history, list(session_of().counter.tally.counts))

    web.app.register_blueprint(_pages(web, base, current, as_csv))
    _extend_own_pages(web, base, current)
    columns = [{"key": key, "title": title} for key, title in live.COLUMNS.items()]
    web.template_args.update(
        extended_tabs=[{"title": "Traffic split", "key": KEY}],
        extended_tables=[{"key": KEY, "structure": columns}],
        extended_csv_files=[{"href": "./trafficsplit/csv", "title": "Download traffic split CSV"}],
    )


def _pages(
    web: Any, base: str, current: Callable[[], dict[str, Any]], as_csv: Callable[[], str]
) -> Blueprint:
    """Return our own pages: the charts, their files, their data and the table as CSV."""
    pages = Blueprint("trafficsplit", __name__, url_prefix=f"{base}/trafficsplit")

    @pages.route("/")
    @web.auth_required_if_enabled
    def page() -> Response:
        return send_from_directory(STATIC, "live.html", max_age=0)

    @pages.route("/static/<name>")
    def static(name: str) -> Response:
        age = LONGEST_AGE if "uPlot" in name else 0
        return send_from_directory(STATIC, name, max_age=age)

    @pages.route("/data")
    @web.auth_required_if_enabled
    def data() -> Response:
        return Response(json.dumps(current()), mimetype="application/json")

    @pages.route("/csv")
    @web.auth_required_if_enabled
    def download() -> Response:
        name = "attachment; filename=traffic-split.csv"
        return Response(as_csv(), mimetype="text/csv", headers={"Content-Disposition": name})

    return pages


def _extend_own_pages(web: Any, base: str, current: Callable[[], dict[str, Any]]) -> None:
    """Add our table to Locust's statistics, and our script to its page."""

    @web.app.after_request
    def extended(response: Response) -> Response:
        if request.path == f"{base}/stats/requests" and response.is_json:
            table = [{"key": KEY, "data": live.rows(current())}]
            response.set_data(json.dumps({**(response.json or {}), "extended_stats": table}))
        elif request.path in (base or "/", f"{base}/") and response.mimetype == "text/html":
            response.direct_passthrough = False
            script = '<script src="./trafficsplit/static/tab.js"></script></body>'
            response.set_data(response.get_data(as_text=True).replace("</body>", script, 1))
        return response
