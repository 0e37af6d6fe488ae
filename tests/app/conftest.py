"""The app's real server, and headless Chromium."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from in_browser import CHROMIUM, FLAGS, engine_page

from hime.tools.serve import open_server


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = open_server(0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://localhost:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="module")
def browser(driver: Any) -> Iterator[Any]:
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def engine(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Evaluates an expression with the helpers of `ENGINE` and an argument."""
    page = engine_page(browser, address)
    yield page.evaluate
    page.close()


@pytest.fixture(scope="module")
def shared_if_any() -> Path | None:
    folder = Path(os.environ.get("HIME_SHARED", Path(__file__).parents[3] / "shared"))
    return folder if (folder / "photos").is_dir() else None


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page, ready; fails on whatever it asks of any other host, and on errors in its scripts."""
    context = browser.new_context(permissions=["camera"], accept_downloads=True)
    opened = context.new_page()
    opened.set_default_timeout(120_000)
    asked: list[str] = []
    problems: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.goto(f"{address}/")
    opened.get_by_text("Ready.").wait_for()
    yield opened
    elsewhere = [url for url in asked if not url.startswith((f"{address}/", f"blob:{address}/", "data:"))]
    context.close()
    assert elsewhere == []
    assert problems == []
