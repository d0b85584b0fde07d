"""The run seen live, in a real browser: Locust's page with our tab, and the charts."""

import contextlib
import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import FrameLocator, Page, expect, sync_playwright

from tests.conftest import ROOT, needs
from tests.fakes.servers import free_port
from tests.support.gateways import nginx
from tests.support.locusts import fetched
from tests.support.waiting import until

LOCUST = [
    str(Path(sys.executable).with_name("locust")), "-f",
    str(ROOT / "locustfiles" / "color.py"), "--loglevel", "WARNING",
]  # fmt: skip
THREE = (
    'split_clients "$request_id" $v { 50% blue; 30% green; * red; }',
    "location /color { default_type text/plain; return 200 $v; }",
)
# Wide enough a question for a browser to look on while it is being answered.
LONG = ("--weights", "blue=50,green=30,red=20", "--tolerance", "0.05", "--requests", "9000000")


@contextlib.contextmanager
def started(*options: str, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    log = directory / "locust.log"
    with log.open("ab") as output:
        process = subprocess.Popen([*LOCUST, *options], cwd=directory, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    assert "Traceback" not in log.read_text()


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


def show_tab(page: Page) -> None:
    page.get_by_role("tab", name="Traffic split").click()
    expect(page.get_by_text("unidentified", exact=True)).to_be_visible()
    expect(charts(page).locator("#evidence canvas")).to_be_visible()


def data_of(url: str) -> dict[str, Any]:
    found = json.loads(fetched(f"{url}/trafficsplit/data"))
    assert isinstance(found, dict)
    return found


def test_three_variants_are_seen_while_they_are_counted(
    tmp_path: Path, gateway: str, page: Page
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    options = ("--host", gateway, "--web-host", "127.0.0.1", "--web-port", port, *LONG)
    with started(*options, "-u", "4", "-r", "4", directory=tmp_path):
        fetched(url)
        page.goto(url)
        assert data_of(url)["reason"] == "The run has not begun."
        page.get_by_role("button", name="Start").click()
        show_tab(page)
        assert until(lambda: len(data_of(url)["series"]) > 3)
        page.wait_for_timeout(2500)  # the page asks every two seconds
        table = cells(page)
        assert table["blue"][0] == "50.00 %"
        assert re.fullmatch(r"\d\d\.\d\d %", table["red"][1])
        assert re.fullmatch(r"[\d.]+ % to [\d.]+ %", table["green"][2])
        assert float(table["green"][4]) > 0
        assert "verdict: inconclusive" in table
        frame = charts(page)
        expect(frame.locator("#reason")).to_contain_text("Evidence so far")
        for chart in ("share", "evidence", "latency"):
            assert coloured(frame, chart) > 100, chart
        # Its theme is Locust's, and follows when that is changed.
        paper = "getComputedStyle(document.body).backgroundColor"
        body = frame.locator("body")
        assert body.evaluate(paper) == "rgb(255, 255, 255)"
        page.get_by_role("banner").get_by_role("button").last.click()
        page.wait_for_timeout(2500)
        assert body.evaluate(paper) == "rgb(18, 18, 18)"

        page.get_by_role("button", name="Reset").click()
        assert until(lambda: 0 < data_of(url)["elapsed_seconds"] < 2)
        assert data_of(url)["series"] == [] or data_of(url)["series"][0]["elapsed"] < 1
        page.wait_for_timeout(2500)
        assert "blue" in cells(page)
        page.get_by_role("button", name="Stop").click()
        assert until(lambda: not data_of(url)["running"], 20)
        found = data_of(url)
        stats = json.loads(fetched(f"{url}/stats/requests"))
        assert until(
            lambda: (
                json.loads(fetched(f"{url}/stats/requests"))["stats"][-1]["num_requests"]
                == found["requests"]
            )
        ), (stats["stats"][-1], found["requests"])
        assert stats["extended_stats"][0]["data"][1]["what"] == "blue"
        rows = list(csv.DictReader(io.StringIO(fetched(f"{url}/trafficsplit/csv"))))
        assert int(rows[-1]["responses"]) == found["requests"]
        # by itself, and on a small screen
        page.set_viewport_size({"width": 420, "height": 900})
        page.goto(f"{url}/trafficsplit/")
        expect(page.locator("#verdict")).to_have_text("inconclusive")
        expect(page.locator("#rows")).to_contain_text("unidentified")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 420


def test_a_distributed_run_is_seen_at_the_master(tmp_path: Path, gateway: str, page: Page) -> None:
    web, bind = free_port(), free_port()
    url = f"http://127.0.0.1:{web}"
    master = ("--master", "--master-bind-port", bind, "--expect-workers", "2", "--autostart",
              "-u", "4", "-r", "4", "--host", gateway, "--web-host", "127.0.0.1", "--web-port",
              web, *LONG)  # fmt: skip
    worker = ("--worker", "--master-port", bind)
    with (
        started(*master, directory=tmp_path),
        started(*worker, directory=tmp_path),
        started(*worker, directory=tmp_path),
    ):
        fetched(url)
        assert until(lambda: len(data_of(url)["series"]) > 3, 30)
        page.goto(url)
        show_tab(page)
        page.wait_for_timeout(2500)
        before = int(cells(page)["blue"][3].replace(",", ""))
        page.wait_for_timeout(2500)
        assert int(cells(page)["blue"][3].replace(",", "")) > before > 0
        assert coloured(charts(page), "share") > 100
