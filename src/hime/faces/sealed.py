"""Files that only who has a photo can read: sealed with a key that is made of the photo's content.

The key is never written anywhere. A file is a nonce, a tag and the content under the key's and the nonce's
stream (SHAKE-256, as an extendable-output function keyed by its prefix is meant for); the tag is an HMAC
(SHA-256) of nonce and what follows it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hime.files import open_file, unreadable

NONCE, TAG = 32, 32
"""Bytes of each."""


@dataclass(frozen=True)
class Identity:
    """What a photo's content makes.

    Attributes:
        name: 64 hexadecimal digits, which tell nothing of the content, to name files by.
        secret: 32 bytes for keys, which nobody can tell from the name.
    """

    name: str
    secret: bytes

    @classmethod
    def of(cls, path: Path) -> Identity:
        """Of a photo's content as it is now.

        Raises:
            HimeError: it cannot be read.
        """
        try:
            with open_file(path) as file:
                digest = hashlib.file_digest(file, _digest).digest()
        except OSError as error:
            raise unreadable(path, error) from None
        return cls(digest[:32].hex(), digest[32:])

    def key(self, purpose: bytes) -> bytes:
        """A key, another one for each purpose."""
        return hmac.digest(self.secret, purpose, "sha256")


def seal(content: bytes, key: bytes) -> bytes:
    """The content so that it can be read with the key only, and any change is seen."""
    nonce = secrets.token_bytes(NONCE)
    hidden = _under_stream(content, key, nonce)
    return nonce + _tag(nonce + hidden, key) + hidden


def unseal(sealed: bytes, key: bytes) -> bytes | None:
    """What was sealed with the key; None if it was not, or was changed."""
    nonce, tag, hidden = sealed[:NONCE], sealed[NONCE : NONCE + TAG], sealed[NONCE + TAG :]
    if not hmac.compare_digest(tag, _tag(nonce + hidden, key)):
        return None
    return _under_stream(hidden, key, nonce)


def _digest() -> hashlib.blake2b:
    # Another function than that of the digests that `hime restore` writes beside its results.
    return hashlib.blake2b(digest_size=64, person=b"hime look")


def _tag(content: bytes, key: bytes) -> bytes:
    return hmac.digest(key, b"tag" + content, "sha256")


def _under_stream(content: bytes, key: bytes, nonce: bytes) -> bytes:
    stream = hashlib.shake_256(b"stream" + key + nonce).digest(len(content))
    return (np.frombuffer(content, np.uint8) ^ np.frombuffer(stream, np.uint8)).tobytes()
