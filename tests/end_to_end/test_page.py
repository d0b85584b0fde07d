"""report.html in a real browser: both themes, two widths, on paper, and among enemies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from tests.conftest import needs
from tests.support.runs import RUNS, having, made
from tests.support.waiting import PATIENCE, until
from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.run import LatencyKey, Run
from trafficsplit.report.document import document_of
from trafficsplit.report.page import write_page

expect.set_options(timeout=PATIENCE * 1000)
ATTACKS = (
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "\"><svg onload=document.title='owned'>",
    "</script><script>document.title='owned'</script>",
    "</style><script>document.title='owned'</script>",
    "{{ 7 * 7 }}<!--",
    "javascript:document.title='owned'",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=needs("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


def written(run: Run, directory: Path) -> str:
    write_page(run, document_of(run, judge(run)), directory)
    return (directory / "report.html").as_uri()


@contextlib.contextmanager
def opened(
    browser: Browser,
    url: str,
    *,
    width: int = 1200,
    scheme: Literal["light", "dark"] = "light",
    scripts: bool = True,
) -> Iterator[Page]:
    """A page. An error of its scripts, or a request to the network, fails the test."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=scripts
    )
    page = context.new_page()
    mistakes: list[str] = []

    def check_request(request: Request) -> None:
        if request.url != url:
            mistakes.append(request.url)

    page.on("pageerror", lambda error: mistakes.append(str(error)))
    page.on("request", check_request)
    page.goto(url)
    yield page
    context.close()
    assert not mistakes


@pytest.mark.parametrize("name", RUNS)
def test_every_run_is_drawn(browser: Browser, tmp_path: Path, name: str) -> None:
    run = RUNS[name]
    with opened(browser, written(run, tmp_path)) as page:
        expect(page.locator("h1")).to_contain_text(str(judge(run).verdict))
        if run.tally.identified:
            expect(page.locator("#share canvas")).to_be_visible()
            expect(page.locator("#evidence canvas")).to_be_visible()


def paper_of(page: Page) -> object:
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_it_can_be_read_by_everyone(
    browser: Browser, tmp_path: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    run = having(
        made({"blue": 600, "green": 400, "red": 1}, errors=60),
        losses={"HTTP 503": 60},
        command="trafficsplit verify --weight 25",
        latency={LatencyKey("blue", "2xx"): {200: 600}, LatencyKey("green", "2xx"): {220: 400}},
    )
    with opened(browser, written(run, tmp_path), width=width, scheme=scheme) as page:
        # No part of it is wider than the window.
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = Axe().run(page)
        wrong = [(v["id"], [n["target"] for n in v["nodes"]]) for v in found.response["violations"]]
        assert not wrong
        paper = {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 22, 24)"}
        assert paper_of(page) == paper[scheme]
        page.emulate_media(media="print")
        assert paper_of(page) == "rgb(255, 255, 255)"  # whatever the screen was


def test_a_chart_tells_its_values_and_zooms(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, written(RUNS["lossy"], tmp_path)) as page:
        chart = page.locator("#share .u-over")
        chart.scroll_into_view_if_needed()
        box = chart.bounding_box()
        assert box
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + box["width"] * 0.7, middle)
        expect(page.locator("#share .u-legend")).to_contain_text("%")
        before = page.locator("#share").screenshot()
        page.mouse.move(box["x"] + box["width"] * 0.3, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.6, middle, steps=5)
        page.mouse.up()
        page.mouse.move(box["x"] + box["width"] * 0.7, middle)
        assert until(lambda: page.locator("#share").screenshot() != before)


def test_without_scripts_words_stand_in(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, written(RUNS["lossy"], tmp_path), scripts=False) as page:
        words = page.locator("figure noscript p")
        assert words.count() >= 3
        expect(words.first).to_be_visible()
        expect(words.first).to_contain_text("ends at")
        expect(page.locator("svg.intervals")).to_be_visible()


INJECTION = """() => {
    const script = document.createElement('script');
    script.textContent = "document.title='owned'";
    document.body.append(script);
}"""


def test_nothing_that_strangers_say_is_run(browser: Browser, tmp_path: Path) -> None:
    everything = " ".join(ATTACKS)
    counts = {"blue": 60, "green": 20, **dict.fromkeys(ATTACKS, 5)}
    run = having(
        made(counts, errors=9),
        host=f"http://{everything}",
        path=f"/{everything}",
        losses=dict.fromkeys(ATTACKS, 9),
        command=everything,
        interrupted=everything,
        latency={LatencyKey(attack, "2xx"): {100: 5} for attack in ATTACKS},
    )
    with opened(browser, written(run, tmp_path)) as page:
        page.wait_for_function("document.documentElement.dataset.drawn")
        assert page.title().startswith("mismatch: http://")
        assert page.locator("script").count() == 3
        assert page.locator("svg[onload], img[onerror]").count() == 0
        # And if there were one, the page's policy would not run it.
        page.evaluate(INJECTION)
        assert page.title().startswith("mismatch: http://")
