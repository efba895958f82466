"""Object stores: a local folder or S3 behind one small interface.

    open_store(uri)       a place to keep things:  "folder", "file:///folder", "s3://bucket/prefix"
    open_documents(uri)   a place to read from: the same, or a single file or object

S3 is reached with the settings of `ragline.settings.S3Settings`; a URI never holds credentials.
"""

import re
import tempfile
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from ragline.errors import InputError, SettingError
from ragline.object_store.local import LocalStore
from ragline.object_store.objects import ObjectInfo, ObjectStore, ObjectUnreadableError
from ragline.settings import S3Settings

__all__ = ["ObjectInfo", "ObjectStore", "ObjectUnreadableError", "fetched_file", "open_documents", "open_store"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://|(file|s3):", re.IGNORECASE)


def open_store(uri: str) -> ObjectStore:
    """Return the store at `uri`; nothing is contacted before its first use.

    Raises:
        SettingError: the URI is not of a known form, or an S3 variable is malformed.
        CredentialsError: the URI is in S3, and no keys are set.
    """
    if _scheme(uri) == "s3":
        return _s3(*_bucket_and_prefix(uri))
    return LocalStore(_folder(uri))


def open_documents(uri: str) -> ObjectStore:
    """Return the checked store of the documents at `uri`, which may be a single file or object.

    In that case the store is its parent, and lists only this one.

    Raises:
        SettingError: as `open_store`.
        StoreError: as `ObjectStore.check`.
    """
    if _scheme(uri) != "s3":
        return _documents_in_folder(_folder(uri))
    bucket, prefix = _bucket_and_prefix(uri)
    store = _s3(bucket, prefix)
    store.check()
    parent, _, name = prefix.rpartition("/")
    container = _s3(bucket, parent, only=name)
    return container if name and container.exists(name) else store


@contextmanager
def fetched_file(uri: str, what: str) -> Iterator[Path]:
    """Give a local copy of the one file at a URI, for as long as the block lasts.

    Args:
        uri: of a file or an s3:// object.
        what: it holds, for messages.

    Raises:
        InputError: there is not one file there.
        StoreError: the store cannot be used.
    """
    store = open_documents(uri)
    keys = [info.key for info in islice(store.list(), 2)]
    if len(keys) != 1:
        raise InputError(f"{what} {uri!r}: expected one file of JSON Lines, found {'none' if not keys else 'more'}")
    with tempfile.TemporaryDirectory(prefix="ragline-") as folder:
        path = Path(folder) / Path(keys[0]).name
        store.download(keys[0], path)
        yield path


def _documents_in_folder(path: Path) -> ObjectStore:
    real = path.resolve()
    if real.is_file():
        return LocalStore(real.parent, only=real.name)
    store = LocalStore(path)
    store.check()
    return store


def _s3(bucket: str, prefix: str, *, only: str = "") -> ObjectStore:
    # The S3 client takes a quarter of a second to import: not for those who work on a folder.
    from ragline.object_store.s3 import S3Store

    return S3Store(S3Settings.from_environment(), bucket, prefix, only=only)


def _scheme(uri: str) -> str:
    match = _SCHEME.match(uri)
    return (match[1] or match[2]).lower() if match else ""


def _folder(uri: str) -> Path:
    """Return the folder that a local URI names."""
    scheme = _scheme(uri)
    if scheme not in {"", "file"}:
        raise SettingError(f"{scheme}:// is not supported: give a folder, file:///folder or s3://bucket/prefix")
    path = uri
    if scheme == "file":
        parts = urllib.parse.urlsplit(uri.replace("#", "%23").replace("?", "%3F"))
        if parts.netloc not in {"", "localhost"}:
            raise SettingError(f"{_without_credentials(uri)!r} names a host: expected file:///folder")
        path = urllib.parse.unquote(parts.path, errors="surrogateescape")
    if not path.strip() or "\0" in path:
        raise SettingError(f"{uri!r} names no folder: give a folder, file:///folder or s3://bucket/prefix")
    return Path(path).expanduser()


def _bucket_and_prefix(uri: str) -> tuple[str, str]:
    """Split "s3://bucket/prefix"; what follows the bucket is taken literally."""
    bucket, _, prefix = uri[len("s3://") :].partition("/")
    if "@" in bucket or (":" in bucket and uri[:5].lower() == "s3://"):
        raise SettingError(
            "the S3 URI holds credentials or a port: expected s3://bucket/prefix, with the keys in AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY, and the server in AWS_ENDPOINT_URL"
        )
    prefix = prefix.strip("/")
    if (
        uri[:5].lower() != "s3://"
        or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]", bucket)
        or {".", ".."} & set(prefix.split("/"))
    ):
        raise SettingError(f"{_without_credentials(uri)!r} is not an S3 URI: expected s3://bucket/prefix")
    return bucket, prefix


def _without_credentials(uri: str) -> str:
    return re.sub(r":/*[^/]*@", "://...@", uri)
