"""The site as it is served and exported: whole, small, offline, nothing but its own."""

from __future__ import annotations

import functools
import gzip
import http.server
import threading
from pathlib import Path
from typing import Any

from in_browser import fetched_ahead, needs_browser, one_face, restored, run, two_faces

from hime.restoring.card import read_card
from hime.restoring.exported import PRETRAINED
from hime.tools.serve import BUILT, HEADERS, PAGE_MODEL, POLICY, site

pytestmark = needs_browser


def test_exported_site_is_whole_and_small(tmp_path: Path) -> None:
    run("app", "--export", tmp_path / "site")
    files = [path for path in (tmp_path / "site").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 64_000_000
    assert "Content-Security-Policy" in (tmp_path / "site" / "_headers").read_text()
    for name in ("index.html", "worker.js", "faces/sface.onnx", "models/models.json"):
        assert (tmp_path / "site" / name).is_file()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Of Python's own server, without its log."""

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


def test_static_host_serves_threads_and_offline_from_the_second_visit_on(
    browser: Any, demo_people: Path, tmp_path: Path
) -> None:
    """From a subfolder of a web server that sends no headers of ours, and is gone after the first visit."""
    run("app", "--export", tmp_path / "public" / "faces")
    handler = functools.partial(QuietHandler, directory=tmp_path / "public")
    page = browser.new_page()
    page.set_default_timeout(120_000)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.goto(f"http://localhost:{server.server_address[1]}/faces/")
        page.get_by_text("Ready.").wait_for()
        assert not page.evaluate("crossOriginIsolated")
        assert "one thread" in page.locator("#runs-on").text_content()
        restored(page, *one_face(tmp_path, demo_people, None))
        fetched_ahead(page)
        server.shutdown()
    page.reload()
    page.get_by_text("Ready.").wait_for()
    assert page.evaluate("crossOriginIsolated")
    restored(page, *one_face(tmp_path, demo_people, None))
    page.set_input_files("#picture-file", two_faces(tmp_path, demo_people))
    page.get_by_text("1 of 2 faces restored in").wait_for()
    page.get_by_text("Settings").click()
    page.get_by_label("Model").select_option("small-x8")  # never loaded
    page.get_by_role("alert").get_by_text("check the connection").wait_for()
    page.close()


class LeadingHandler(QuietHandler):
    """Leads to the address without the file's name, as several hosts do."""

    def do_GET(self) -> None:
        if self.path != "/index.html":
            return super().do_GET()
        self.send_response(308)
        self.send_header("Location", "/")
        self.send_header("Content-Length", "0")
        self.end_headers()


def test_an_address_that_leads_elsewhere_does_so_at_every_visit(browser: Any, tmp_path: Path) -> None:
    run("app", "--export", tmp_path / "site")
    handler = functools.partial(LeadingHandler, directory=tmp_path / "site")
    page = browser.new_page()
    page.set_default_timeout(120_000)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        home = f"http://localhost:{server.server_address[1]}/"
        for _ in range(2):  # the second time by the service worker
            assert page.goto(f"{home}index.html").status == 200
            assert page.url == home
            page.get_by_text("Ready.").wait_for()
        server.shutdown()
    page.close()


def test_rules_of_the_page_are_those_of_the_server() -> None:
    assert POLICY in (BUILT / "index.html").read_text()
    assert HEADERS["Content-Security-Policy"].startswith(POLICY)


def test_first_visit_loads_what_it_uses_and_then_what_the_next_pictures_may(
    browser: Any, address: str, demo_people: Path, tmp_path: Path
) -> None:
    """Compressed as a web server would, with the first result."""
    context = browser.new_context()
    asked: dict[str, None] = {}  # in order
    context.on(
        "request", lambda request: asked.setdefault(request.url.removeprefix(f"{address}/") or "index.html")
    )
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(f"{address}/")
    page.get_by_text("Ready.").wait_for()
    restored(page, *one_face(tmp_path, demo_people, None))
    fetched_ahead(page)
    context.close()
    other = read_card(PRETRAINED / PAGE_MODEL)["reconstruction"]
    assert {Path(file).parent.name for file in asked if file.endswith("weights.bin")} == {PAGE_MODEL, other}
    assert not [file for file in asked if "jspi" in file]  # no WebGPU
    order = list(asked)
    ahead = {file for file in order if "sface" in file or file.startswith(f"models/{other}/")}
    assert min(map(order.index, ahead)) > order.index("faces/yunet.onnx")  # nothing needed waits for it
    assert min(map(order.index, ahead)) > order.index(f"models/{PAGE_MODEL}/weights.bin")
    assert 4_000_000 < compressed(set(order) - ahead) <= 12_000_000
    assert 4_000_000 < compressed(ahead) <= 12_000_000


def compressed(addresses: set[str]) -> int:
    """Bytes of those of them that the site has."""
    files = site()
    loaded = [files[file] for file in addresses if file in files]
    raw = [file.read_bytes() if isinstance(file, Path) else file for file in loaded]
    return sum(len(gzip.compress(content, 6)) for content in raw)
