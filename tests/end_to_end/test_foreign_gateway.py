"""A gateway that the project did not start: nginx with split_clients and the tutorial's page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.support.gateways import nginx
from tests.support.questions import SURE_25
from trafficsplit.lab import Lab

PAGE = """<!DOCTYPE html>
<html><head><title>ITWL Color App</title><style>
body {{font-family: Arial;}} .modal {{background-color:#fefefe;}}
</style></head>
<body style="background-color:{color};">
<div class="modal"><h1>Color</h1><input type="text" name="color" value="{color}">
<textarea name="requests">GET $request_uri
$http_user_agent $http_cookie $request_id</textarea></div>
{padding}
</body></html>"""


def page(color: str, *, long: bool) -> str:
    text = PAGE.format(color=color, padding="<p>more</p>" * 200 if long else "")
    return text.replace("'", "\\'").replace("\n", " ")


@pytest.fixture(params=["short", "long"])
def foreign(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """75 % blue, 25 % green, each request for itself."""
    http = f"""
      split_clients $request_id $body_of {{
        25% '{page("green", long=request.param == "long")}';
        *   '{page("blue", long=request.param == "long")}';
      }}"""
    server = "location /color { default_type text/html; return 200 $body_of; }"
    with nginx(tmp_path, http, server) as url:
        yield url


@pytest.mark.nginx
def test_a_gateway_of_somebody_else_is_judged_right(cli: Cli, foreign: str) -> None:
    right = cli("verify", "--host", foreign, *SURE_25)
    assert (right.returncode, right.stdout[:6]) == (0, "match:"), right.stdout + right.stderr
    wrong = cli("verify", "--host", foreign, "--weight", "50")
    assert (wrong.returncode, wrong.stdout[:9]) == (1, "mismatch:"), wrong.stdout + wrong.stderr


ANSWERS: dict[str, tuple[str, str]] = {
    "plain text as JSON": ("default_type text/plain; return 200 '\"$color\"';", "page"),
    "a header": ("add_header X-Version $color; return 200 'x';", "header:x-version"),
    "a cookie": ("add_header Set-Cookie 'color=$color; Path=/'; return 200 'x';", "cookie:color"),
    "JSON": ('return 200 \'{"v": {"color": "$color"}}\';', "json:$.v.color"),
    "text": ("return 200 'served by $color-v1';", "regex:by (\\w+)-v"),
}


@pytest.mark.nginx
@pytest.mark.parametrize("kind", ANSWERS)
def test_other_applications_name_their_variant_elsewhere(
    cli: Cli, tmp_path: Path, kind: str
) -> None:
    answer, source = ANSWERS[kind]
    http = "split_clients $request_id $color { 25% green; * blue; }"
    with nginx(tmp_path, http, f"location /color {{ {answer} }}") as url:
        result = cli("verify", "--host", url, *SURE_25, "--variant-from", source)
        assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.nginx
@pytest.mark.parametrize(
    ("server", "said"),
    [
        ("location /color { return 302 http://127.0.0.1:1/login; }", "redirects to http://127"),
        ("location /color { return 503; }", "answers 503"),
        ("location /color { default_type text/html; return 200 '<p>hi'; }", "named no variant"),
    ],
)
def test_answers_that_tell_nothing_are_failing(
    cli: Cli, tmp_path: Path, server: str, said: str
) -> None:
    with nginx(tmp_path, "", server) as url:
        result = cli("verify", "--host", url, "--weight", "25")
        assert result.returncode == 4, result.stdout + result.stderr
        assert said in result.stdout


@pytest.mark.lab
@pytest.mark.nginx
def test_a_cache_in_between_is_named(cli: Cli, the_lab: Lab, tmp_path: Path) -> None:
    http = f"""proxy_cache_path {tmp_path}/cache keys_zone=pages:1m;
      upstream color {{ server {the_lab.host.removeprefix("http://")}; keepalive 16; }}"""
    server = """location /color { proxy_pass http://color; proxy_cache pages;
      proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache_valid 200 1s; proxy_ignore_headers Set-Cookie Cache-Control; }"""
    with nginx(tmp_path, http, server) as url:
        result = cli("verify", "--host", url, "--weight", "60")
        assert result.returncode in (1, 3), result.stdout + result.stderr
        assert "came out of a cache" in result.stdout
