"""report.html in a real browser: both themes, two widths, on paper, and among enemies."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.conftest import needs
from tests.support.runs import RUNS, made
from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.run import LatencyKey, Run
from trafficsplit.report.document import verdict_object
from trafficsplit.report.page import write_page
from trafficsplit.report.plots import write_plots

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
    write_page(run, verdict_object(run, judge(run)), write_plots(run, directory), directory)
    return (directory / "report.html").as_uri()


def opened(browser: Browser, url: str, width: int = 1200, **context: str) -> Page:
    """The page; what it says on the console, or asks of the network, fails the test."""
    page = browser.new_context(viewport={"width": width, "height": 900}, **context).new_page()  # type: ignore[arg-type]

    def no(what: str) -> None:
        raise AssertionError(what)

    page.on("pageerror", lambda error: no(str(error)))
    page.on("request", lambda request: request.url == url or no(request.url))
    page.goto(url)
    return page


@pytest.mark.parametrize("name", RUNS)
def test_every_run_is_drawn(browser: Browser, tmp_path: Path, name: str) -> None:
    run = RUNS[name]
    page = opened(browser, written(run, tmp_path))
    expect(page.locator("h1")).to_contain_text(str(judge(run).verdict))
    if run.tally.identified:
        expect(page.locator("#share canvas")).to_be_visible()
        expect(page.locator("#evidence canvas")).to_be_visible()
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_it_can_be_read_by_everyone(
    browser: Browser, tmp_path: Path, width: int, scheme: str
) -> None:
    run = dataclasses.replace(
        made({"blue": 600, "green": 400, "red": 1}, errors=60), losses={"HTTP 503": 60},
        command="trafficsplit verify --weight 25",
        latency={LatencyKey("blue", "2xx"): {200: 600}, LatencyKey("green", "2xx"): {220: 400}},
    )  # fmt: skip
    page = opened(browser, written(run, tmp_path), width, color_scheme=scheme)
    # No part of it is wider than the window.
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page)
    wrong = [(v["id"], [n["target"] for n in v["nodes"]]) for v in found.response["violations"]]
    assert not wrong
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(22, 22, 24)")
    page.emulate_media(media="print")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(255, 255, 255)"  # whatever the screen was
    page.context.close()


def test_a_chart_tells_its_values_and_zooms(browser: Browser, tmp_path: Path) -> None:
    page = opened(browser, written(RUNS["lossy"], tmp_path))
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
    assert page.locator("#share").screenshot() != before
    page.context.close()


def test_without_scripts_pictures_stand_in(browser: Browser, tmp_path: Path) -> None:
    url = written(RUNS["lossy"], tmp_path)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(url)
    assert page.locator("noscript img, figure img").count() >= 3
    expect(page.locator("figure img").first).to_be_visible()
    context.close()


def test_nothing_that_strangers_say_is_run(browser: Browser, tmp_path: Path) -> None:
    everything = " ".join(ATTACKS)
    counts = {"blue": 60, "green": 20, **dict.fromkeys(ATTACKS, 5)}
    run = dataclasses.replace(
        made(counts, errors=9), host=f"http://{everything}", path=f"/{everything}",
        losses=dict.fromkeys(ATTACKS, 9), command=everything, interrupted=everything,
        latency={LatencyKey(attack, "2xx"): {100: 5} for attack in ATTACKS},
    )  # fmt: skip
    page = opened(browser, written(run, tmp_path))
    page.wait_for_function("document.documentElement.dataset.drawn")
    assert page.title().startswith("mismatch: http://")
    assert page.locator("script").count() == 3
    assert page.locator("svg[onload], img[onerror]").count() == 0
    # And if there were one, the page's policy would not run it.
    page.evaluate(
        "(() => { const s = document.createElement('script'); s.textContent = "
        "\"document.title='owned'\"; document.body.append(s); })()"
    )
    assert page.title().startswith("mismatch: http://")
    page.context.close()
