"""The run seen live, in a real browser: Locust's page with our tab, and the charts."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import FrameLocator, Page, expect, sync_playwright

from tests.conftest import needs
from tests.fakes.servers import free_port
from tests.support.gateways import nginx
from tests.support.locusts import fetched, said_in, started_locust
from tests.support.waiting import PATIENCE, until

THREE = (
    'split_clients "$request_id" $v { 50% blue; 30% green; * red; }',
    "location /color { default_type text/plain; return 200 $v; }",
)
expect.set_options(timeout=PATIENCE * 1000)
# Wide enough a question for a browser to look on while it is being answered.
LONG = ("--weights", "blue=50,green=30,red=20", "--tolerance", "0.05%", "--requests", "9000000")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[str]:
    with nginx(tmp_path, *THREE) as url:
        yield url


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=needs("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        try:
            page = browser.new_page(color_scheme="light", viewport={"width": 1280, "height": 1200})
            page.set_default_timeout(PATIENCE * 1000)
            mistakes: list[str] = []
            page.on("pageerror", lambda error: mistakes.append(str(error)))
            yield page
            assert not mistakes
        finally:
            browser.close()


def cells(page: Page) -> dict[str, list[str]]:
    """The table of the tab: its rows, by what they are of."""
    rows = page.locator("table tbody tr").all()
    texts = [row.locator("td").all_inner_texts() for row in rows]
    return {first: rest for first, *rest in texts}


def charts(page: Page) -> FrameLocator:
    return page.frame_locator("iframe[title='Traffic split, charts']")


def coloured(frame: Any, chart: str) -> int:
    """Pixels of a chart that are in colour: lines and bands, not paper, grid or text."""
    count = frame.locator(f"#{chart} canvas").evaluate(
        """canvas => {
            const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            let n = 0;
            for (let i = 0; i < data.length; i += 4) {
                const low = Math.min(data[i], data[i+1], data[i+2]);
                n += data[i+3] > 100 && Math.max(data[i], data[i+1], data[i+2]) - low > 60;
            }
            return n;
        }"""
    )
    return int(count)


def is_drawn(frame: Any, chart: str) -> bool:
    """Return whether there is something to be seen on a chart."""
    return coloured(frame, chart) > 100


def show_tab(page: Page) -> None:
    page.get_by_role("tab", name="Traffic split").click()
    expect(page.get_by_text("unidentified", exact=True)).to_be_visible()
    expect(charts(page).locator("#evidence canvas")).to_be_visible()


def data_of(url: str) -> dict[str, Any]:
    found = json.loads(fetched(f"{url}/trafficsplit/data"))
    assert isinstance(found, dict)
    return found


def count_of(page: Page, variant: str) -> int:
    """Return the responses of a variant as the table of the tab has them, 0 before there is one."""
    row = cells(page).get(variant)
    return int(row[3].replace(",", "")) if row else 0


def requests_in_locusts_table(url: str) -> int:
    return int(json.loads(fetched(f"{url}/stats/requests"))["stats"][-1]["num_requests"])


def check_table(page: Page) -> None:
    """The tab's table tells weights, shares, confidence and the verdict."""
    assert until(lambda: count_of(page, "red") > 100)
    table = cells(page)
    assert table["blue"][0] == "50.00 %"
    assert re.fullmatch(r"\d\d\.\d\d %", table["red"][1])
    assert re.fullmatch(r"[\d.]+ % to [\d.]+ %", table["green"][2])
    assert float(table["green"][4]) > 0
    assert "verdict: inconclusive" in table


def check_charts(page: Page) -> None:
    """The charts are drawn, and their theme is Locust's, and follows when that is changed."""
    frame = charts(page)
    expect(frame.locator("#reason")).to_contain_text("Evidence so far")
    for chart in ("share", "evidence", "latency"):
        assert until(partial(is_drawn, frame, chart)), chart
    body = frame.locator("body")
    expect(body).to_have_css("background-color", "rgb(255, 255, 255)")
    page.get_by_role("banner").get_by_role("button").last.click()
    expect(body).to_have_css("background-color", "rgb(18, 18, 18)")


def check_reset(page: Page, url: str) -> None:
    """Locust's button makes the counts begin again."""
    before = data_of(url)["elapsed_seconds"]
    page.get_by_role("button", name="Reset").click()
    assert until(lambda: 0 < data_of(url)["elapsed_seconds"] < before)
    series = data_of(url)["series"]
    assert series == [] or series[0]["elapsed"] < before
    assert until(lambda: "blue" in cells(page))


def check_end(page: Page, url: str) -> None:
    """Stopped, our figures and Locust's are the same."""
    page.get_by_role("button", name="Stop").click()
    assert until(lambda: not data_of(url)["running"])
    found = data_of(url)
    assert until(lambda: requests_in_locusts_table(url) == found["requests"])
    stats = json.loads(fetched(f"{url}/stats/requests"))
    assert stats["extended_stats"][0]["data"][1]["what"] == "blue"
    rows = list(csv.DictReader(io.StringIO(fetched(f"{url}/trafficsplit/csv"))))
    assert int(rows[-1]["responses"]) == found["requests"]


@pytest.mark.slow
def test_three_variants_are_seen_while_they_are_counted(
    tmp_path: Path, gateway: str, page: Page
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    options = ("--host", gateway, "--web-host", "127.0.0.1", "--web-port", port, *LONG)
    with started_locust(tmp_path, *options, "-u", "4", "-r", "4"):
        fetched(url)
        page.goto(url)
        assert data_of(url)["reason"] == "The run has not begun."
        page.get_by_role("button", name="Start").click()
        show_tab(page)
        assert until(lambda: len(data_of(url)["series"]) > 3)
        check_table(page)
        check_charts(page)
        check_reset(page, url)
        check_end(page, url)
        # by itself, and on a small screen
        page.set_viewport_size({"width": 420, "height": 900})
        page.goto(f"{url}/trafficsplit/")
        expect(page.locator("#verdict")).to_have_text("inconclusive")
        expect(page.locator("#rows")).to_contain_text("unidentified")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 420
    assert "Traceback" not in said_in(tmp_path)


@pytest.mark.slow
def test_a_distributed_run_is_seen_at_the_master(tmp_path: Path, gateway: str, page: Page) -> None:
    web = free_port()
    bind = free_port()
    url = f"http://127.0.0.1:{web}"
    master = (
        *("--master", "--master-bind-port", bind, "--expect-workers", "2", "--autostart"),
        *("-u", "4", "-r", "4", "--host", gateway, "--web-host", "127.0.0.1", "--web-port", web),
        *LONG,
    )
    worker = ("--worker", "--master-port", bind)
    with (
        started_locust(tmp_path, *master),
        started_locust(tmp_path, *worker),
        started_locust(tmp_path, *worker),
    ):
        fetched(url)
        assert until(lambda: len(data_of(url)["series"]) > 3)
        page.goto(url)
        show_tab(page)
        assert until(lambda: count_of(page, "blue") > 0)
        before = count_of(page, "blue")
        assert until(lambda: count_of(page, "blue") > before)
        assert until(partial(is_drawn, charts(page), "share"))
    assert "Traceback" not in said_in(tmp_path)
