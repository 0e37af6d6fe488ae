"""Models from the Hugging Face Hub, fetched by its own library from a server that speaks its protocol."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hime.errors import HimeError
from hime.restoring.card import FILES
from hime.restoring.hub import fetch_model

FIRST, SECOND = 40 * "a", 40 * "b"
"""Commits."""
LARGE = ("weights.bin",)
"""Files that the Hub keeps apart and leads to by a redirection."""


class Hub(ThreadingHTTPServer):
    """Repositories by their commits, branches and tags that lead to them, and what was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}
        self.names: dict[str, str] = {"main": FIRST}
        self.gated: set[str] = set()
        self.broken: set[str] = set()
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def elsewhere(self) -> str:
        """The same under another name: large files of the Hub lie on other machines."""
        return f"http://localhost:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *arguments: object) -> None:
        """Nothing."""

    def _answer(self, *, with_body: bool) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        parts = self.path.strip("/").split("/")
        if parts[0] == "apart":
            return self._send(200, self._file("/".join(parts[1:3]), parts[3], "/".join(parts[4:])), with_body)
        repository, revision, file = "/".join(parts[:2]), parts[3], "/".join(parts[4:])
        if parts[2] != "resolve" or repository not in self.server.commits:
            return self._refuse(401, "RepoNotFound")
        if repository in self.server.gated:
            return self._refuse(403, "GatedRepo")
        commit = self.server.names.get(revision, revision)
        if commit not in self.server.commits[repository]:
            return self._refuse(404, "RevisionNotFound")
        if file not in self.server.commits[repository][commit]:
            return self._refuse(404, "EntryNotFound", commit)
        content = self._file(repository, commit, file)
        if file in LARGE:
            headers = {
                "Location": f"{self.server.elsewhere}/apart/{repository}/{commit}/{file}",
                "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"',
                "X-Linked-Size": str(len(content)),
                "X-Repo-Commit": commit,
            }
            return self._send(302, b"", with_body, headers)
        tag = hashlib.sha1(b"blob" + content).hexdigest()
        return self._send(200, content, with_body, {"ETag": f'"{tag}"', "X-Repo-Commit": commit})

    def _file(self, repository: str, commit: str, file: str) -> bytes:
        return self.server.commits[repository][commit][file]

    def _refuse(self, status: int, code: str, commit: str | None = None) -> None:
        known = {"X-Repo-Commit": commit} if commit else {}
        self._send(status, b"", True, {"X-Error-Code": code, **known})

    def _send(
        self, status: int, content: bytes, with_body: bool, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
            breaks_off = any(self.path.endswith(file) for file in self.server.broken)
            self.wfile.write(content[: len(content) // 2] if breaks_off else content)


def files_of(folder: Path, below: str = "") -> dict[str, bytes]:
    """An exported model as files of a repository."""
    return {f"{below}{file}": (folder / file).read_bytes() for file in ("README.md", "card.json", *FILES)}


@pytest.fixture
def hub(tiny_model: Path) -> Iterator[Hub]:
    """A server with ``somebody/tiny-x4``."""
    with Hub() as server:
        server.commits["somebody/tiny-x4"] = {FIRST: files_of(tiny_model)}
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


Ask = Callable[..., str]


@pytest.fixture
def ask(hub: Hub, tmp_path: Path) -> Ask:
    """Restores with a model in a process of its own; what it prints: picture's shape and model, or the error.

    The Hub's library takes its settings from the environment when it is first imported.
    """
    program = """
import os, sys, time, numpy as np, hime
if "HURRIED" in os.environ:
    time.sleep = lambda seconds: None  # the library waits half a minute in all for a host that is not there
try:
    restorer = hime.load(sys.argv[1], threads=1, fidelity=float(sys.argv[2]) if sys.argv[2:] else None)
    print(restorer.restore(np.zeros((8, 8, 3), np.uint8)).image.shape, restorer.name)
except hime.HimeError as error:
    print(error)
"""

    def asked(address: str, *arguments: str, **settings: str) -> str:
        environment = {
            **os.environ,
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(tmp_path / "cache"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            **settings,
        }
        command = [sys.executable, "-c", program, address, *arguments]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, encoding="utf-8"
        )
        assert done.stdout.count("\n") == 1, done.stdout
        return done.stdout.strip()

    return asked


RESTORED = "(32, 32, 3) tiny-x4"


def test_a_model_is_fetched_once_and_taken_from_the_cache(hub: Hub, ask: Ask) -> None:
    pinned = f"hf:somebody/tiny-x4@{FIRST}"
    assert ask(pinned) == RESTORED
    fetched = [
        line for line in hub.asked if line.startswith("GET /somebody") or line.startswith("GET /apart")
    ]
    assert len([line for line in fetched if "weights.bin" in line]) >= 1
    assert not [line for line in hub.asked if "README" in line]
    hub.asked.clear()
    assert ask(pinned) == RESTORED
    assert not [line for line in hub.asked if "somebody" in line]  # a commit never changes
    assert ask("hf:somebody/tiny-x4") == RESTORED
    assert [line.split()[0] for line in hub.asked if "somebody" in line] == [
        "HEAD"
    ]  # where main leads to now


def test_offline_takes_what_is_there_and_says_what_is_not(hub: Hub, ask: Ask) -> None:
    told = ask("hf:somebody/tiny-x4", HF_HUB_OFFLINE="1")
    assert "card.json is not in the cache" in told
    assert "HF_HUB_OFFLINE forbids to fetch it" in told
    assert hub.asked == []
    assert ask("hf:somebody/tiny-x4@main") == RESTORED
    hub.asked.clear()
    assert ask("hf:somebody/tiny-x4", HF_HUB_OFFLINE="1") == RESTORED
    assert hub.asked == []


def test_offline_a_model_opens_whose_dial_has_no_other_end(hub: Hub, ask: Ask) -> None:
    files = hub.commits["somebody/tiny-x4"][FIRST]
    card = {**json.loads(files["card.json"]), "reconstruction": "elsewhere-x4", "fidelity": 0.0}
    files["card.json"] = json.dumps(card).encode()
    assert ask("hf:somebody/tiny-x4") == RESTORED
    hub.asked.clear()
    for address in ("hf:somebody/tiny-x4", f"hf:somebody/tiny-x4@{FIRST}"):
        assert ask(address, HF_HUB_OFFLINE="1") == RESTORED
    assert "elsewhere-x4" in ask("hf:somebody/tiny-x4", "0.5", HF_HUB_OFFLINE="1")
    assert hub.asked == []


def test_a_dial_without_another_end_is_not_asked_for_again(hub: Hub, ask: Ask, tmp_path: Path) -> None:
    """What a commit lacks it lacks for ever; and where that is not known, without a network too."""
    files = hub.commits["somebody/tiny-x4"][FIRST]
    card = {**json.loads(files["card.json"]), "reconstruction": "elsewhere-x4", "fidelity": 0.0}
    files["card.json"] = json.dumps(card).encode()
    pinned = f"hf:somebody/tiny-x4@{FIRST}"
    assert ask(pinned) == RESTORED
    hub.asked.clear()
    assert ask(pinned) == RESTORED
    assert hub.asked == []
    (known,) = (tmp_path / "cache" / "hub").glob("*/.no_exist")
    shutil.rmtree(known)
    assert ask(pinned, HF_ENDPOINT="http://127.0.0.1:9", HURRIED="1") == RESTORED


def test_without_a_network_the_cache_is_taken_and_the_rest_told(hub: Hub, ask: Ask) -> None:
    nobody = {"HF_ENDPOINT": "http://127.0.0.1:9", "HURRIED": "1"}
    told = ask("hf:somebody/tiny-x4", **nobody)
    assert "http://127.0.0.1:9 cannot be reached; check the connection, or give a folder" in told
    ask("hf:somebody/tiny-x4")
    assert ask("hf:somebody/tiny-x4", **nobody) == RESTORED


def test_a_branch_that_moves_on_is_fetched_whole_anew(
    hub: Hub, ask: Ask, tiny_model: Path, tiny_dial: Path
) -> None:
    ask("hf:somebody/tiny-x4")
    hub.commits["somebody/tiny-x4"][SECOND] = files_of(tiny_dial) | files_of(tiny_model, "tiny-x4/")
    hub.names["main"] = SECOND
    assert ask("hf:somebody/tiny-x4") == "(32, 32, 3) tiny-x4-p"
    assert ask(f"hf:somebody/tiny-x4@{FIRST}") == RESTORED


def test_a_dial_finds_its_other_end_in_the_repository(
    hub: Hub, ask: Ask, tiny_model: Path, tiny_dial: Path
) -> None:
    hub.commits["somebody/both"] = {FIRST: files_of(tiny_dial) | files_of(tiny_model, "tiny-x4/")}
    hub.commits["somebody/one"] = {FIRST: files_of(tiny_dial)}
    assert ask("hf:somebody/both", "0.5") == "(32, 32, 3) tiny-x4-p"
    assert "needs its reconstruction model, tiny-x4, which is not there" in ask("hf:somebody/one", "0.5")
    assert ask("hf:somebody/one", "0") == "(32, 32, 3) tiny-x4-p"


def test_what_is_not_there_is_one_line(hub: Hub, ask: Ask) -> None:
    hub.commits["somebody/gated"] = hub.commits["somebody/tiny-x4"]
    hub.gated.add("somebody/gated")
    hub.commits["somebody/text"] = {FIRST: {"README.md": b"hello"}}
    told = {
        "hf:nobody/nothing": "no such repository for you",
        "hf:somebody/tiny-x4@none": "has no revision none",
        "hf:somebody/gated": "its owner lets in only who asked",
        "hf:somebody/text": "holds no card.json, so it is no model of hime",
    }
    for address, problem in told.items():
        assert problem in ask(address)


def test_files_that_are_not_those_of_the_card_are_refused(hub: Hub, ask: Ask) -> None:
    hub.commits["somebody/tiny-x4"][FIRST]["weights.bin"] += b"more"
    assert "weights.bin: differs from the checksum in card.json; get the model anew" in ask(
        "hf:somebody/tiny-x4"
    )


def test_a_download_that_breaks_off_leaves_nothing_and_goes_on(hub: Hub, ask: Ask) -> None:
    hub.broken.add("encode.onnx")
    told = ask("hf:somebody/tiny-x4")
    assert "encode.onnx could not be fetched" in told
    assert told.endswith("try again")
    hub.broken.clear()
    assert ask("hf:somebody/tiny-x4") == RESTORED


@pytest.mark.parametrize(
    "address", ["hf:", "hf:name", "hf:a/b/c", "hf:a b/c", "hf:a/b@", "hf:../..", "hf:a/-b@c d"]
)
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(HimeError, match=r"is no model on the Hub; write hf:OWNER/NAME@REVISION"):
        fetch_model(address)


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        HimeError, match=r'huggingface_hub is not installed; say pip install "hime-sr\[hub\]"'
    ):
        fetch_model("hf:somebody/tiny-x4")
