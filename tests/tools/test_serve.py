"""The app's server with real sockets: clients that are slow, gone, or talk nonsense do not trouble it."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.server import HTTPServer
from pathlib import Path

import pytest

from hime import HimeError, cli
from hime.tools import serve

PAGE = b"<!DOCTYPE html><title>built</title>"
LARGE = bytes(range(256)) * 40_000
"""More than the sockets' buffers hold."""
PATIENCE = 30
"""Seconds after which a test gives up; none waits for it."""

Port = int


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `make app` builds, as far as a server sees it."""
    (tmp_path / "index.html").write_bytes(PAGE)
    (tmp_path / "large.wasm").write_bytes(LARGE)
    monkeypatch.setattr(serve, "BUILT", tmp_path)
    return tmp_path


@pytest.fixture
def port(site: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Port]:
    """Of a running server, which answers at the end as at the beginning, and has said nothing."""
    with serve.open_server(0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        number = server.server_address[1]
        yield number
        assert get(number) == (200, PAGE)
        server.shutdown()
        thread.join()
    assert capfd.readouterr() == ("", "")


def get(port: Port, address: str = "/") -> tuple[int, bytes]:
    """Status and content; what is no file is told as text."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    client.request("GET", address)
    answer = client.getresponse()
    assert (answer.status == 404) == (answer.getheader("Content-Type") == "text/plain")
    result = answer.status, answer.read()
    client.close()
    return result


def connect(port: Port, sent: bytes = b"") -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    client.settimeout(PATIENCE)
    client.connect(("127.0.0.1", port))
    client.sendall(sent)
    return client


def received(client: socket.socket) -> bytes:
    """All until the server closes."""
    parts = []
    with client:
        while part := client.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


def reset(client: socket.socket) -> None:
    """Close it as a program does that was killed: with RST, whatever was not read yet."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def test_files_are_answered_whole_and_others_not(port: Port, site: Path) -> None:
    assert get(port, "/large.wasm") == (200, LARGE)
    assert get(port, "/index.html?again")[1] == PAGE
    assert get(port, "/models/models.json")[0] == 200
    for address in ("/none", "/../index.html", "/%2e%2e/index.html", "/index.html/", "/%00", "/%ff"):
        assert get(port, address)[0] == 404, address
    (site / "large.wasm").unlink()
    assert get(port, "/large.wasm")[0] == 404


def test_one_connection_takes_several_requests(port: Port) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    for method, body in (("GET", PAGE), ("HEAD", b""), ("GET", PAGE)):
        client.request(method, "/")
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (200, body)
        assert answer.getheader("Content-Length") == str(len(PAGE))
        assert answer.getheader("Content-Security-Policy") == serve.HEADERS["Content-Security-Policy"]
    client.close()


@pytest.mark.parametrize(
    ("rubbish", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),  # TLS
        (b"\0\xff\n\n", 400),
        (b"GET / HTTP/1.1 HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 505),
        (b"GET / HTTP/1.\xb2\r\n\r\n", 400),
        (b"GET http://[ HTTP/1.0\r\n\r\n", 404),
        (b"GET /\xc3\xa9\xff HTTP/1.0\r\n\r\n", 404),
        (b"GET /" + 70_000 * b"a" + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nname: " + 70_000 * b"a" + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + 200 * b"name: value\r\n" + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", 501),
        (b"__class__ / HTTP/1.1\r\n\r\n", 501),
        (b"GET / HTTP/1.0\r\n: \xff\r\nConnection: \xe9\r\n\r\n", 200),
        (b"GET /\r\n\r\n", 200),  # HTTP/0.9: no head
    ],
)
def test_rubbish_gets_an_error(port: Port, rubbish: bytes, status: int) -> None:
    client = connect(port)
    try:
        client.sendall(rubbish)
        answer = received(client)
    except ConnectionError:  # what was too long to be read is in the way of the answer
        assert len(rubbish) > 65_536
        return
    told = f"HTTP/1.1 {status} ", f"Error code: {status}"  # without a head where no version was understood
    assert any(each.encode() in answer for each in told) or (status == 200 and answer == PAGE)


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET /large.wasm HTTP/1.1\r\n\r\n"]
)
def test_connections_reset_at_any_moment_leave_no_trace(port: Port, sent: bytes) -> None:
    for _ in range(5):
        client = connect(port, sent)
        if sent.endswith(b"\r\n\r\n"):
            client.recv(100)  # in the midst of the answer
        reset(client)


def test_silence_and_trickles_are_closed(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then gives no more time, neither does a request that was answered."""
    monkeypatch.setattr(serve, "REQUEST_SECONDS", 1)
    silent = connect(port)
    begun = connect(port, b"GET / HTTP/1.1\r\n")
    answered = connect(port, b"GET / HTTP/1.1\r\n\r\n")
    assert trickled(connect(port, b"GET / HTTP/1.1\r\n"))
    assert received(silent) == b""
    assert received(begun) == b""
    answer = received(answered)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(PAGE)


def trickled(client: socket.socket) -> bool:
    """Send a byte now and then, for as long as a test may take; whether the server closes before."""
    client.settimeout(0.01)
    with client:
        for _ in range(100 * PATIENCE):
            try:
                client.sendall(b"a")
                if client.recv(1) == b"":
                    return True
            except TimeoutError:
                continue
            except ConnectionError:
                return True
    return False


def test_answers_that_nobody_takes_are_closed(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "ANSWER_SECONDS", 1)
    slow = [connect(port, b"GET /large.wasm HTTP/1.1\r\n\r\n") for _ in range(3)]
    assert [client.recv(4) for client in slow] == 3 * [b"HTTP"]
    end = time.monotonic() + PATIENCE
    while threads():  # meanwhile others are answered
        assert get(port) == (200, PAGE)
        assert time.monotonic() < end
    for client in slow:
        with suppress(ConnectionError):  # what lay in the buffers may go with it
            assert len(received(client)) < len(LARGE)


def threads() -> list[threading.Thread]:
    """Those that wait for a client."""
    return [thread for thread in threading.enumerate() if "process_request_thread" in thread.name]


def test_a_crowd_of_slow_clients_keeps_nobody_out(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest waiting are closed for it, long before their time is over."""
    monkeypatch.setattr(serve, "MOST_CONNECTIONS", 8)
    crowd = [connect(port, b"GET / HTTP/1.1\r\nname: ") for _ in range(20)]
    assert get(port, "/large.wasm") == (200, LARGE)
    for client in crowd[:12]:
        assert received(client) == b""
    last = crowd[-1]
    last.sendall(b"value\r\nConnection: close\r\n\r\n")
    assert received(last).endswith(PAGE)
    for client in crowd[12:-1]:
        client.close()


def test_errors_say_what_to_do(port: Port, site: Path) -> None:
    for taken in (port, -1, 70_000):
        with pytest.raises(HimeError, match="choose another --port"):
            serve.open_server(taken)
    (site / "index.html").rename(site / "other.html")
    with pytest.raises(HimeError, match="make app"):
        serve.open_server(0)
    (site / "other.html").rename(site / "index.html")


def test_others_are_answered_only_if_one_says_so(site: Path) -> None:
    with serve.open_server(0) as server:
        assert server.server_address[0] == serve.LOCAL
    with serve.open_server(0, "0.0.0.0") as server:
        assert server.server_address[0] == "0.0.0.0"
    with pytest.raises(HimeError, match=r"none\.invalid, port 0, cannot be used .* or --host"):
        serve.open_server(0, "none.invalid")


@pytest.mark.parametrize(
    ("host", "shown"),
    [("127.0.0.1", "localhost"), ("localhost", "localhost"), ("0.0.0.0", "localhost"), ("127.0.0.2", None)],
)
def test_the_address_that_is_told_is_answered(
    site: Path,
    host: str,
    shown: str | None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def answer_once(server: HTTPServer) -> None:
        url = capsys.readouterr().out.split()[0]
        assert url == f"http://{shown or host}:{server.server_address[1]}/"
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            assert answer.read() == PAGE
        thread.join()

    monkeypatch.setattr(HTTPServer, "serve_forever", answer_once)
    serve.serve(0, host)


@pytest.mark.parametrize("option", ["--port=9000", "--host=0.0.0.0"])
def test_what_a_site_that_is_written_has_no_use_for_is_refused(
    site: Path, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["app", "--export", str(tmp_path / "out"), option])
    assert f"{option.partition('=')[0]} has no effect beside --export" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
