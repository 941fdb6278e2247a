"""The pages in a real Chromium, over a server started as the command line starts it.

BAKEOFF_SCREENSHOTS=FOLDER keeps a picture of every page, light and dark.
"""

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from abtest.events import lake
from abtest.events.sqlite import SQLiteLog
from abtest.types import Exposure
from dashboards import launch
from experiments.home import Home
from tests.dashboards.test_readout_states import deep
from tests.dashboards.worlds import START, board, broken, decision, definition, keep, publish, readout
from tests.experiments.test_plans import measured

pytestmark = pytest.mark.browser

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 30_000
"""Milliseconds to wait for a thing to appear."""
THEMES = ["light", "dark"] if os.environ.get("BAKEOFF_SCREENSHOTS") else ["light"]
"""The dark pages are there to be looked at; nothing else differs."""
PAGES = [
    ("experiments", "/", "stDataFrame"),
    ("readout", "/readout?experiment=won", "stVegaLiteChart"),
    ("readout-three-arms", "/readout?experiment=three", "stVegaLiteChart"),
    ("readout-invalid", "/readout?experiment=broken", "stAlert"),
    ("readout-everything", "/readout?experiment=deep", "stVegaLiteChart"),
    ("slates-empty", "/slates?experiment=won", "stAlert"),
    ("plan", "/plan?experiment=past", "stVegaLiteChart"),
    ("models", "/models", "stVegaLiteChart"),
    ("offline-online", "/offline-online", "stAlert"),
    ("serving", "/serving", "stVegaLiteChart"),
]
"""What needs registered models (slates, promises) is looked at over a whole line in test_line_pages."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; missing: a skip here, a failure in CI."""
    path = shutil.which("chromium")
    if path is None:
        missing = "no chromium on the path: apt-get install chromium"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard that serves a home with experiments in several states and a leaderboard."""
    home, three = Home.at(tmp_path_factory.mktemp("home")), ("control", "fusion", "als")
    keep(home, definition("young"))
    keep(home, definition("past"), measured(), decision("past", "stop"))
    keep(home, definition("deep"), deep("deep"), decision("deep", "ship", "treatment"))
    keep(home, definition("broken"), broken("broken"), decision("broken", "invalid"))
    keep(home, definition("three", variants=three), readout("three", three), decision("three", "continue"))
    keep(home, definition("won"), readout("won"), decision("won", "ship", "treatment"))
    with SQLiteLog(home.events) as log:
        log.append([Exposure(id="x", unit="u", experiment="past", variant="control", at=START, items=("a",))])
        lake.export(log, home.lake)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        publish(home, board())
    port = free_port()
    with (home.root / "server.log").open("w") as log:
        server = subprocess.Popen(launch.command(home, port), stdout=log, stderr=log, env=plain_environment())
        try:
            wait_until_healthy(f"http://127.0.0.1:{port}", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(timeout=20)


@pytest.mark.parametrize("theme", THEMES)
def test_pages_open_without_errors_and_without_the_internet(browser: Browser, address: str, theme: str) -> None:
    context = browser.new_context(viewport={"width": 1366, "height": 768}, color_scheme=theme)  # type: ignore[arg-type]
    page = context.new_page()
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname or ""))
    for name, path, mark in PAGES:
        page.goto(address + path)
        settle(page, mark)
        assert page.locator('[data-testid="stException"]').count() == 0, name
        wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0, f"{name} scrolls sideways by {wider} pixels"
        keep_picture(page, f"{name}-{theme}")
    context.close()
    assert hosts <= {"127.0.0.1", ""}  # "" is the host of data: and blob: addresses


def test_the_menu_leads_to_every_page(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 1366, "height": 768})
    page.goto(address)
    settle(page, "stDataFrame")
    for title in ("Readout", "What users saw", "Plan", "Models", "Offline against online", "Serving", "Experiments"):
        page.get_by_role("link", name=title, exact=True).click()
        page.get_by_role("heading", name=title, exact=True).wait_for(timeout=PATIENCE)
        assert page.locator('[data-testid="stException"]').count() == 0
    page.close()


def test_a_row_of_the_list_opens_its_readout(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 1366, "height": 768})
    page.goto(address)
    settle(page, "stDataFrame")
    box = page.locator('[data-testid="stDataFrame"]').bounding_box()
    assert box is not None
    # the grid is a canvas, its cells have no elements: the link stands 63 pixels from the right, in the first row
    x, y = box["x"] + box["width"] - 63, box["y"] + 52
    with page.context.expect_page(timeout=PATIENCE) as opened:
        page.mouse.move(x, y)
        page.mouse.click(x, y)
    opened.value.get_by_role("heading", name="Fusion against ALS: won").wait_for(timeout=PATIENCE)
    assert opened.value.url == f"{address}/readout?experiment=won"
    page.close()


def settle(page: Page, mark: str) -> None:
    """Wait until the page's main thing is there and the script has run to its end."""
    page.locator(f'[data-testid="{mark}"]').first.wait_for(timeout=PATIENCE)
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for(timeout=PATIENCE)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(300)  # grids are drawn after the network is quiet


def keep_picture(page: Page, name: str) -> None:
    """A screenshot of the whole page, where a folder for it was named."""
    folder = os.environ.get("BAKEOFF_SCREENSHOTS")
    if folder:
        height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        page.set_viewport_size({"width": 1366, "height": max(768, int(height))})
        page.wait_for_timeout(700)  # Streamlit's charts and grids draw themselves anew
        page.screenshot(path=Path(folder) / f"{name}.png")
        page.set_viewport_size({"width": 1366, "height": 768})


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def plain_environment() -> dict[str, str]:
    """This environment without what would name the home a second way: `command` alone must be enough."""
    return {name: value for name, value in os.environ.items() if name not in ("BAKEOFF_HOME", "MLFLOW_TRACKING_URI")}


def wait_until_healthy(address: str, server: subprocess.Popen[bytes]) -> None:
    """Return when the server answers; give up when it died or after 30 seconds."""
    for _ in range(150):
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"the dashboard did not start; exit code {server.poll()}")
