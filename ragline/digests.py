"""Content addresses: sha256 over bytes, files and canonical JSON."""

import hashlib
import json
from pathlib import Path
from typing import Any


def of_bytes(data: bytes) -> str:
    """Return the sha256 of `data` in hex."""
    return hashlib.sha256(data).hexdigest()


def of_text(text: str) -> str:
    """Return the sha256 of `text` in UTF-8; lone surrogates (undecodable file names) are kept apart."""
    return of_bytes(text.encode("utf-8", "surrogatepass"))


def of_json(value: Any) -> str:
    """Return the sha256 of `value` as canonical JSON: sorted keys, no white space."""
    return of_text(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False))


def of_file(path: Path) -> str:
    """Return the sha256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
