"""The app: the pages of `app/`, built, with the models beside them, served on this machine or as a folder.

The site is static, asks nothing of any other host, and works from any folder of any web server. It restores
in the browser: no picture leaves it. Needs neither PyTorch nor OpenCV.

    from hime.tools.serve import export_site, serve
    serve(8765)                    # until it is interrupted
    export_site(Path("public/"))   # for a web server of one's own
"""

from __future__ import annotations

import io
import json
import mimetypes
import shutil
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

import PIL.Image

from hime.data.people import LISA
from hime.errors import HimeError
from hime.files import write_atomically
from hime.pictures.arrays import resize
from hime.pictures.reading import read_image
from hime.restoring.card import FILES, read_card
from hime.restoring.exported import FAST_PHOTO_MODEL, PRETRAINED
from hime.terminal import say

BUILT = Path(__file__).parents[1] / "app"
"""What `make app` builds; part of the wheel."""
PAGE_MODEL = FAST_PHOTO_MODEL
"""The model that the page opens first: browsers compute more slowly, and live. The others are fetched when
they are chosen, and a reconstruction model when a dial first needs it; this one's once the page is ready."""
PAGE_MODELS = (PAGE_MODEL, "small-x4-real", "small-x4-p", "small-x4", "small-x8-p", "small-x8")
"""What the page offers. The models for 64→256 stay out, to keep the site small."""
EXAMPLE, EXAMPLE_SIDES = "45cm.jpg", (81, 61)
"""A photograph and the height and width that it is made small to: 40 pixels with hair and neck."""
EXAMPLE_PHOTOS = ("15cm.jpg", "60cm.jpg", "lisa1.jpg", "lisa2.jpg", "lisa3.jpg")
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "worker-src 'self'",
        "connect-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
"""Nothing but what came with the page is loaded, run or asked; also in the page itself, for web servers that
send no such header."""
HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",  # both: threads for WebAssembly
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
LOCAL = "127.0.0.1"
"""Answers this machine alone. Browsers give a page the camera and threads only from here or by HTTPS."""
EVERYWHERE = "0.0.0.0"
"""Answers whoever reaches this machine, by any of its addresses."""
REQUEST_SECONDS = 20
"""How long a connection may take for its next request, the time until it begins included. Browsers open a
connection again when they need it."""
ANSWER_SECONDS = 120
"""How long a client may take for an answer: the largest file has 17 MB, and lies on the same machine."""
MOST_CONNECTIONS = 128
"""Where there are more, that which has kept the server waiting longest is closed; a browser opens six."""
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}


def site() -> dict[str, Path | bytes]:
    """All files of the site: address below its root → a file, or what it holds.

    Raises:
        HimeError: the pages were not built.
    """
    if not (BUILT / "index.html").is_file():
        raise HimeError(
            f"{BUILT}: the app is not built; in the clone say make app and then install it again, or install "
            "a released hime-sr"
        )
    files: dict[str, Path | bytes] = {
        path.relative_to(BUILT).as_posix(): path for path in sorted(BUILT.rglob("*")) if path.is_file()
    }
    cards = [read_card(PRETRAINED / name) for name in PAGE_MODELS]
    entries = [
        {"name": card["name"], "scale": card["scale"], "fidelity": card.get("fidelity")} for card in cards
    ]
    files["models/models.json"] = json.dumps(entries).encode()
    for name in PAGE_MODELS:
        for file in ("card.json", *FILES):
            files[f"models/{name}/{file}"] = PRETRAINED / name / file
    return {**files, **_example()}


def _example() -> dict[str, Path | bytes]:
    """An example to try: a photograph of Lisa made small, as by `hime demo`, and others of her."""
    given = io.BytesIO()
    PIL.Image.fromarray(resize(read_image(LISA / EXAMPLE), *EXAMPLE_SIDES)).save(given, "JPEG", quality=75)
    names = {"picture": "small.jpg", "photos": list(EXAMPLE_PHOTOS)}
    return {
        "example/example.json": json.dumps(names).encode(),
        "example/small.jpg": given.getvalue(),
        **{f"example/{name}": LISA / name for name in EXAMPLE_PHOTOS},
    }


def export_site(folder: Path) -> Path:
    """Write the site as a folder; what else is in it stays.

    Beside the site goes ``_headers``, which hosts of static sites (Netlify, Cloudflare and others) take for
    the headers to send. Without them the first visit has one thread; from the second one on the page's
    service worker adds what threads need.

    Raises:
        HimeError: as for `site`, or ``folder`` cannot be written.
    """
    lines = [f"  {name}: {value}" for name, value in HEADERS.items()]
    headers = "\n".join(("/*", *lines, "")).encode()
    for address, content in {**site(), "_headers": headers}.items():
        write_atomically(folder / address, partial(_write, content))
    return folder


def _write(content: Path | bytes, path: Path) -> None:
    path.write_bytes(content.read_bytes() if isinstance(content, Path) else content)


def open_server(port: int, host: str = LOCAL) -> ThreadingHTTPServer:
    """A server of the site; ``serve_forever`` runs it. Port 0 takes any that is free.

    Clients that say nothing, or nonsense, or are slow, are closed (`REQUEST_SECONDS`, `ANSWER_SECONDS`,
    `MOST_CONNECTIONS`); the others are answered meanwhile.

    Raises:
        HimeError: as for `site`, or the port is taken, or ``host`` is no address of this machine.
    """
    files = site()

    class Handler(_Handler):
        addresses = files

    try:
        return _Server((host, port), Handler)
    except (OSError, OverflowError) as error:  # taken, not allowed, no port or no address at all
        where = f"port {port}" if host == LOCAL else f"{host}, port {port},"
        remedy = "choose another --port" if host == LOCAL else "choose another --port or --host"
        raise HimeError(f"{where} cannot be used ({error}); {remedy}") from error


def serve(port: int, host: str = LOCAL) -> None:
    """Serve the site until interrupted."""
    with open_server(port, host) as server:
        say(f"{address_of(server)} (Ctrl+C stops)")
        server.serve_forever()


def address_of(server: ThreadingHTTPServer) -> str:
    """Where a browser finds the site: on this machine if it is answered, since a page from there may have the
    camera and threads; else the address that is.
    """
    host, port = server.socket.getsockname()
    return f"http://{'localhost' if host in (LOCAL, EVERYWHERE) else host}:{port}/"


class _Server(ThreadingHTTPServer):
    """Connections have a thread each, and a time by which they must get on; the others are closed."""

    request_queue_size = MOST_CONNECTIONS

    def __init__(self, *arguments: Any) -> None:
        self._ends: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        super().__init__(*arguments)

    def allow(self, connection: socket.socket, seconds: float) -> None:
        """Let the connection take so long for what it begins now."""
        with self._lock:
            self._ends.pop(connection, None)  # so that the last to begin stands last
            self._ends[connection] = time.monotonic() + seconds

    def process_request(self, request: Any, client_address: Any) -> None:
        """Make room, then answer in a thread."""
        self.allow(request, REQUEST_SECONDS)
        with self._lock:
            crowd = list(self._ends)[:-MOST_CONNECTIONS]
        self._cut(crowd)
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Close what takes too long; called twice a second, and after each new connection."""
        now = time.monotonic()
        with self._lock:
            late = [connection for connection, end in self._ends.items() if end < now]
        self._cut(late)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection that is over."""
        with self._lock:
            self._ends.pop(request, None)
        super().shutdown_request(request)

    def _cut(self, connections: list[socket.socket]) -> None:
        """End them; the threads that wait for them see it and go."""
        for connection in connections:
            with self._lock:
                self._ends.pop(connection, None)
            with suppress(OSError):  # closed meanwhile
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    addresses: Mapping[str, Path | bytes]
    server: _Server

    def handle_one_request(self) -> None:
        self.server.allow(self.connection, REQUEST_SECONDS)
        try:
            super().handle_one_request()
        except OSError:  # of the connection: the page was closed, or loaded again, or took too long
            self.close_connection = True

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: what is restored is nobody's business."""

    def _answer(self, *, with_body: bool) -> None:
        self.server.allow(self.connection, ANSWER_SECONDS)
        status, address = HTTPStatus.OK, self._address()
        content = self._open(address)
        if content is None:
            status, address, content = HTTPStatus.NOT_FOUND, "none.txt", io.BytesIO(b"no such file\n")
        with content:
            size = content.seek(0, io.SEEK_END)
            content.seek(0)
            self.send_response(status)
            for name, value in HEADERS.items():
                self.send_header(name, value)
            self.send_header("Content-Type", _type_of(address))
            self.send_header("Content-Length", str(size))
            self.send_header("Cache-Control", "no-cache")
            self.end_headers()
            if with_body:
                shutil.copyfileobj(content, self.wfile)

    def _address(self) -> str:
        """Of the file that is asked for, below the site's root; one that is none if that is no address."""
        try:
            return unquote(urlsplit(self.path).path).removeprefix("/") or "index.html"
        except ValueError:  # such as http://[
            return "/"

    def _open(self, address: str) -> IO[bytes] | None:
        found = self.addresses.get(address)
        try:
            if isinstance(found, Path):
                return found.open("rb")
        except OSError:  # taken away since the server began
            return None
        return None if found is None else io.BytesIO(found)


def _type_of(address: str) -> str:
    known = TYPES.get(Path(address).suffix)
    return known or mimetypes.guess_type(address)[0] or "application/octet-stream"
