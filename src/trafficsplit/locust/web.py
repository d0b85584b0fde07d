"""Locust's web page, with a tab "Traffic split": tables in its own manner, and our charts below.

Locust's extended tabs hold tables only. A few lines of script put the chart page into the tab, so
that it is one click away; it also stands by itself, at /trafficsplit.
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


def extend(environment: Environment, session_of: Callable[[], Session]) -> None:
    """Add the tab, its data, and the page of charts."""
    web: Any = environment.web_ui
    options = environment.parsed_options
    base = (options.web_base_path if options else None) or ""
    history = live.History()
    gevent.spawn(live.note_for_ever, session_of, history)
    pages = Blueprint("trafficsplit", __name__, url_prefix=f"{base}/trafficsplit")

    def current() -> dict[str, Any]:
        session = session_of()
        if session.counter.began:
            history.note(session, last=session.finished)
        return live.state(session, history)

    @pages.route("/")
    @web.auth_required_if_enabled
    def page() -> Response:
        return send_from_directory(STATIC, "live.html", max_age=0)

    @pages.route("/static/<name>")
    def static(name: str) -> Response:
        return send_from_directory(STATIC, name, max_age=3600 if "uPlot" in name else 0)

    @pages.route("/data")
    @web.auth_required_if_enabled
    def data() -> Response:
        return Response(json.dumps(current()), mimetype="application/json")

    @pages.route("/csv")
    @web.auth_required_if_enabled
    def download() -> Response:
        text = live.as_csv(history, list(session_of().counter.tally.counts))
        name = "attachment; filename=traffic-split.csv"
        return Response(text, mimetype="text/csv", headers={"Content-Disposition": name})

    @web.app.after_request
    def into_locusts_own(response: Response) -> Response:
        if request.path == f"{base}/stats/requests" and response.is_json:
            table = [{"key": KEY, "data": live.rows(current())}]
            response.set_data(json.dumps({**(response.json or {}), "extended_stats": table}))
        elif request.path in (base or "/", f"{base}/") and response.mimetype == "text/html":
            response.direct_passthrough = False
            script = '<script src="./trafficsplit/static/tab.js"></script></body>'
            response.set_data(response.get_data(as_text=True).replace("</body>", script, 1))
        return response

    web.app.register_blueprint(pages)
    columns = [{"key": k, "title": t} for k, t in zip(live.KEYS, live.TITLES, strict=True)]
    web.template_args.update(
        extended_tabs=[{"title": "Traffic split", "key": KEY}],
        extended_tables=[{"key": KEY, "structure": columns}],
        extended_csv_files=[{"href": "./trafficsplit/csv", "title": "Download traffic split CSV"}],
    )
