"""Models from the Hugging Face Hub: ``hf:OWNER/NAME@REVISION``. Needs the extra ``hub``.

A repository there is an exported model's folder. Its files are fetched once into the Hub's own cache
(``HF_HOME``) and taken from there afterwards; with a commit as REVISION nothing is asked of the network then.
``HF_HUB_OFFLINE=1`` never asks it. What arrives is compared with the checksums in the card before it is used.
"""

from __future__ import annotations

import re
from pathlib import Path

from hime.errors import HimeError, how_to_install
from hime.restoring.card import FILES, read_card

PREFIX = "hf:"
_ADDRESS = re.compile(r"hf:(?P<repository>[^/@\s]+/[^/@\s]+)(@(?P<revision>\S+))?")


def is_address(model: str | Path) -> bool:
    """Whether that names a model on the Hub."""
    return isinstance(model, str) and model.startswith(PREFIX)


def fetch_model(address: str, packaged: tuple[str, ...] = ()) -> Path:
    """The folder of a model on the Hub, in the cache, fetched if it is not there yet.

    Args:
        address: ``hf:OWNER/NAME@REVISION``: a commit, which always gives the same model, or a tag or branch;
            ``main`` if none is said.
        packaged: models that come with the package, which are not fetched as the other end of a dial. One
            that is not among them is looked for in the repository, in a folder of its name.

    Raises:
        HimeError: no such address, repository, revision or file, no network, or the extra ``hub`` is missing.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise HimeError(f"{address}: is no model on the Hub; write hf:OWNER/NAME@REVISION")
    repository, revision = found["repository"], found["revision"] or "main"
    card_file = _fetch(address, repository, revision, "card.json")
    folder = card_file.parent
    # All of one commit, which the cache's folder is called by: a branch may move on meanwhile.
    commit = folder.name
    card = read_card(folder)
    for file in FILES:
        _fetch(address, repository, commit, file)
    other = card.get("reconstruction")
    if other is not None and other not in packaged and _is_there(address, repository, commit, other):
        for file in FILES:
            _fetch(address, repository, commit, f"{other}/{file}")
    return folder


def _is_there(address: str, repository: str, commit: str, other: str) -> bool:
    """Whether the repository holds that further model: fetches its card, unless the cache knows."""
    from huggingface_hub import try_to_load_from_cache

    card = f"{other}/card.json"
    known = try_to_load_from_cache(repository, card, revision=commit)
    if known is not None:  # what a commit lacks it lacks for ever
        return isinstance(known, str)
    try:
        _fetch(address, repository, commit, card)
    except (_Absent, _Offline):
        return False  # told where the dial is turned to it
    return True


class _Absent(HimeError):
    """The repository is there, the file is not in it."""


class _Offline(HimeError):
    """The file is not in the cache, and nothing may or can be fetched."""


def _fetch(address: str, repository: str, revision: str, file: str) -> Path:
    """One file of a repository, from the cache or the network."""
    try:
        from huggingface_hub import constants, errors, hf_hub_download
    except ModuleNotFoundError as error:
        raise HimeError(
            f"{address}: {error.name} is not installed; say {how_to_install('hub')}, or give a folder"
        ) from error
    try:
        return Path(hf_hub_download(repository, file, revision=revision, library_name="hime-sr"))
    except errors.HFValidationError as error:
        raise HimeError(f"{address}: is no model on the Hub; write hf:OWNER/NAME@REVISION") from error
    except errors.GatedRepoError as error:
        raise HimeError(
            f"{address}: its owner lets in only who asked; ask on its page, then say hf auth login"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise HimeError(
            f"{address}: no such repository for you on {constants.ENDPOINT}; check the name, or say "
            "hf auth login if it is private"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HimeError(
            f"{address}: has no revision {revision}; check it on the repository's page"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        missing = f"{address}: {file} is not in the cache ({constants.HF_HUB_CACHE})"
        if constants.is_offline_mode():
            raise _Offline(f"{missing}: HF_HUB_OFFLINE forbids to fetch it; fetch it once without") from error
        raise _Offline(
            f"{missing}: {constants.ENDPOINT} cannot be reached; check the connection, or give a folder"
        ) from error
    except errors.EntryNotFoundError as error:
        raise _Absent(f"{address}: holds no {file}, so it is no model of hime; check the name") from error
    except Exception as error:  # what breaks off in the midst comes as exceptions of several libraries
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise HimeError(
            f"{address}: {file} could not be fetched from {constants.ENDPOINT} ({reason}); try again"
        ) from error
