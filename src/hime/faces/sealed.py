"""Files that only who has a photo can read: sealed with a key that is made of the photo's content.

The key is never written anywhere. A file is a nonce and what ChaCha20-Poly1305 (RFC 8439) makes of the
content.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path

from hime.files import open_file, unreadable

NONCE = 12
"""Bytes."""


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
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    nonce = secrets.token_bytes(NONCE)
    return nonce + ChaCha20Poly1305(key).encrypt(nonce, content, None)


def unseal(sealed: bytes, key: bytes) -> bytes | None:
    """What was sealed with the key; None if it was not, or was changed."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    if len(sealed) < NONCE:
        return None
    try:
        return ChaCha20Poly1305(key).decrypt(sealed[:NONCE], sealed[NONCE:], None)
    except InvalidTag:
        return None


def _digest() -> hashlib.blake2b:
    # Another function than that of the digests that `hime restore` writes beside its results.
    return hashlib.blake2b(digest_size=64, person=b"hime look")
