"""The pictures of README and docs, from real runs on the lab: python -m benchmarks.pictures

Needs Chromium. Writes docs/images/.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.conftest import ROOT
from tests.support.locusts import LOCUSTFILE, fetched
from trafficsplit import lab
from trafficsplit.analysis import series
from trafficsplit.analysis.run import Run
from trafficsplit.processes import free_port, stop
from trafficsplit.report.drawing import STYLE
from trafficsplit.report.run_files import read_run

IMAGES = ROOT / "docs" / "images"
BIN = Path(sys.executable).parent


def main() -> None:
    """Run, and draw."""
    IMAGES.mkdir(exist_ok=True)
    peeking()
    with tempfile.TemporaryDirectory() as name, lab.start(Path(name) / "lab") as gateway:
        report = Path(name) / "report"
        verify = (BIN / "trafficsplit", "verify", "--host", gateway.host, "--weight", "30")
        subprocess.run([*verify, "--report", report], check=False)
        evidence(read_run(report))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            page = browser.new_page(
                viewport={"width": 1100, "height": 1180},
                color_scheme="light",
                device_scale_factor=1.5,
            )
            page.goto((report / "report.html").as_uri())
            page.wait_for_function("document.documentElement.dataset.drawn")
            taken(page, "report")
            live(page, gateway.host)
            browser.close()


def taken(page: Page, name: str) -> None:
    """A screenshot, in few colors: pages have no more."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(128).save(IMAGES / f"{name}.png", optimize=True)


def live(page: Page, host: str) -> None:
    """The live tab, in the middle of a run."""
    port = str(free_port())
    process = subprocess.Popen(
        [
            *(BIN / "locust", "-f", LOCUSTFILE, "--host", host, "--weight", "25"),
            *("--users", "16", "--spawn-rate", "16", "--rate", "400", "--only-summary"),
            *("--autostart", "--web-host", "127.0.0.1", "--web-port", port),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}/trafficsplit/"
    try:
        fetched(url)
        page.set_viewport_size({"width": 1100, "height": 1000})
        page.goto(url)
        time.sleep(12)
        taken(page, "live")
    finally:
        stop([process])


def peeking() -> None:
    """False alarms of a chi-square test that is looked at again and again."""
    rng = np.random.default_rng(1)
    n = 100 * np.arange(1, 201)
    green = rng.binomial(100, 0.25, size=(4000, len(n))).cumsum(axis=1)
    alarm = ((green - 0.25 * n) ** 2 / (n * 0.1875) > 6.635).cumsum(axis=1) > 0
    with rc_context(STYLE):
        figure = Figure(figsize=(8, 3.4), layout="constrained", facecolor="white")
        axes = figure.add_subplot()
        axes.plot(n, alarm.mean(axis=0), color="#b00020", lw=2)
        axes.axhline(0.01, color="#555555", ls="--", lw=1)
        axes.annotate("what p < 1 % promises", (n[-1], 0.013), ha="right")
        axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
        axes.set_ylim(0)
        axes.set_xlabel("requests so far, looked at every 100")
        axes.set_title("Perfect gateways called wrong by a chi-square test")
        figure.savefig(IMAGES / "peeking.png", dpi=110)
    print(f"peeked at: {alarm[:, -1].mean():.1%} false alarms")


def evidence(run: Run) -> None:
    """The evidence of a real run on its way."""
    found = series.evidence(run)
    with rc_context(STYLE):
        figure = Figure(figsize=(8, 3.4), layout="constrained", facecolor="white")
        axes = figure.add_subplot()
        for name, series_of, color, style in (
            ("match", found["match"], "#1a7f37", "-"),
            ("mismatch", found["mismatch"], "#b00020", "--"),
        ):
            values = [np.nan if value is None else max(value, -1.0) for value in series_of]
            axes.plot(found["x"], values, style, color=color, lw=2, label=f"for {name}")
        axes.axhline(1, color="#555555", ls=":", lw=1.2)
        axes.annotate("a verdict", (0, 1.03))
        axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
        axes.set_ylim(-1.05, 1.2)
        axes.set_xlabel("responses")
        axes.set_title("Evidence, logarithms: the gateway gives 25 %, and 30 % were expected")
        axes.legend(loc="lower right")
        figure.savefig(IMAGES / "evidence.png", dpi=110)


if __name__ == "__main__":
    main()
