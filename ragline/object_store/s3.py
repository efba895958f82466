"""An S3 bucket, or a prefix in one, as an object store: MinIO, EzDF, SeaweedFS, AWS."""

import hashlib
import io
import logging
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import certifi
import minio
from minio.error import S3Error
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from ragline.errors import ConflictError, IntegrityError, ObjectNotFoundError, SettingError
from ragline.object_store.files import BLOCK_BYTES, replacing
from ragline.object_store.lease import SHORT_SECONDS, write_under_lease
from ragline.object_store.objects import (
    ObjectInfo,
    check_key,
    conflict,
    find,
    is_temporary,
    sorted_by_key,
    temporary_name,
    written_before,
)
from ragline.object_store.patient_http import Patience, PatientPool, is_transient
from ragline.object_store.s3_errors import FAILURES, NoConditionsError, UploadGoneError, store_error
from ragline.settings import S3Settings

_log = logging.getLogger(__name__)

PART_BYTES = 16 << 20
"""Larger objects are sent in parts; one part is held in memory."""
_MOST_PARTS = 10_000
_ATTEMPTS = 3

# A person waits for the answer of check(): give up on a silent or absent server within seconds.
_CHECK_FAULT_SECONDS = 3.0
_CHECK_READ_TIMEOUT = 10.0
_CONNECT_TIMEOUT = 5.0
_READ_TIMEOUT = 20.0


class S3Store:
    """Objects below a prefix of a bucket; see `ObjectStore`.

    Example:
        >>> store = S3Store(S3Settings.from_environment(), "bucket", "prefix")  # doctest: +SKIP
        >>> store.check()  # doctest: +SKIP
    """

    def __init__(self, settings: S3Settings, bucket: str, prefix: str = "", *, only: str = "") -> None:
        """Make the store of `bucket`/`prefix`; with `only`, it lists nothing but this key."""
        self._settings = settings
        self._bucket = bucket
        self._prefix = prefix + "/" if prefix else ""
        self._only = only
        self.uri = f"s3://{bucket}/{self._prefix}{only}".rstrip("/")
        self._client = _connect(settings)

    def __repr__(self) -> str:
        return f"S3Store({self.uri!r} at {self._settings.url})"

    def check(self, *, write: bool = False) -> None:
        """Prove that the bucket can be listed; with `write`, put and remove a small object."""
        client = _connect(
            self._settings,
            fault_seconds=min(_CHECK_FAULT_SECONDS, self._settings.retry_seconds),
            connect_timeout=_CHECK_FAULT_SECONDS,
            read_timeout=_CHECK_READ_TIMEOUT,
        )
        with self._errors("list"):
            next(client.list_objects(self._bucket, self._prefix, recursive=True), None)
        if write:
            probe = self._prefix + temporary_name()
            with self._errors("write to"):
                client.put_object(self._bucket, probe, io.BytesIO(b"ragline"), len(b"ragline"))
            with self._errors("delete from"):
                client.remove_object(self._bucket, probe)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects of the bucket below the prefix, in the order of the keys' bytes."""
        infos = sorted_by_key(self._listing(prefix or self._only))
        return (info for info in infos if self._only in {"", info.key})

    def _listing(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._errors("list"):
            for entry in self._client.list_objects(self._bucket, self._prefix + prefix, recursive=True):
                name, size = str(entry.object_name), entry.size or 0
                is_folder_marker = name.endswith("/") and size == 0
                if not is_folder_marker and not is_temporary(name):
                    key = name.removeprefix(self._prefix)
                    yield ObjectInfo(key, size, entry.etag or "", _problem(name))

    def exists(self, key: str) -> bool:
        """Tell whether there is an object under `key`."""
        with suppress(ObjectNotFoundError), self._errors("look at", key):
            self._client.stat_object(self._bucket, self._prefix + key)
            return True
        return False

    def read(self, key: str) -> bytes:
        """Return the object's bytes."""
        return b"".join(self._blocks(key))

    def write(self, key: str, data: bytes) -> None:
        """Send the bytes, and compare the checksum that the server made of them."""
        self._put(key, io.BytesIO(data), len(data))

    def read_tagged(self, key: str) -> tuple[bytes, str]:
        """Return the object's bytes and their ETag."""
        data, headers = self._read(key)
        return data, headers.get("etag", "").strip('"')

    def read_aged(self, key: str) -> tuple[bytes, float]:
        """Return the object's bytes, and how many seconds ago they were written by the server's clock; 0 if unknown."""
        data, headers = self._read(key)
        return data, _age(headers)

    def write_if(self, key: str, data: bytes, tag: str | None) -> str:
        """Send the bytes with a condition; to a server that does not look at it, write them under a lease."""
        check_key(key)
        if self._has_conditions:
            return self._put_if(key, data, tag)
        hurried = replace(self._settings, retry_seconds=min(SHORT_SECONDS, self._settings.retry_seconds))
        in_haste = S3Store(hurried, self._bucket, self._prefix.rstrip("/"))
        return write_under_lease(self, key, data, tag, in_haste=in_haste)

    @cached_property
    def _has_conditions(self) -> bool:
        """Try whether the server refuses what it must refuse, and only that."""
        probe = temporary_name()
        try:
            tag = self._put_if(probe, b"made", None)
            wrong = [self._is_taken(probe, b"made again", None), self._is_taken(probe, b"stale", "0" * 32)]
            answer = not any(wrong) and self._is_taken(probe, b"replaced", tag)
        except (NoConditionsError, ConflictError):
            answer = False
        with self._errors("delete from"):
            self._client.remove_object(self._bucket, self._prefix + probe)
        if not answer:
            _log.warning("%s has no conditional writes; writing under leases instead", self._settings.url)
        return answer

    def _is_taken(self, key: str, data: bytes, tag: str | None) -> bool:
        try:
            self._put_if(key, data, tag)
        except ConflictError:
            return False
        return True

    def _put_if(self, key: str, data: bytes, tag: str | None) -> str:
        """Send the bytes on the condition until the server has what was sent; return their ETag."""
        for _ in range(_ATTEMPTS):
            stored = self._send_if(key, data, tag)
            if stored is None:
                # Refused; also when an answer was lost, and the request repeated after it had done its work.
                if (before := written_before(self, key, data, tag)) is not None:
                    return before
                raise conflict(self, key)
            if stored == _md5(data).hexdigest():
                return stored
            there, current = find(self, key)
            if there == data and current is not None:
                return current  # with some encryptions, an ETag is no checksum
            if current != stored:
                return stored  # replaced since, by someone who saw it
            _log.warning("%r in %s is not what was sent; sending it again", key, self.uri)
            tag = stored
        raise self._never_arrived(key, len(data))

    def _send_if(self, key: str, data: bytes, tag: str | None) -> str | None:
        """Send the bytes once; return the ETag of what arrived, None if the condition did not hold."""
        condition = {"If-None-Match": "*"} if tag is None else {"If-Match": f'"{tag}"'}
        # The SDK has no parameter for it, but takes the pool of connections from us; a pool for each is cheap enough.
        client = _connect(self._settings, put_headers=condition)
        part = max(PART_BYTES, len(data))
        with self._errors("write", key):
            try:
                put = client.put_object(self._bucket, self._prefix + key, io.BytesIO(data), len(data), part_size=part)
            except S3Error as exc:
                # AWS says so when there is nothing whose ETag could match.
                is_gone = exc.code == "NoSuchKey" and tag is not None
                if exc.code == "PreconditionFailed" or is_gone:
                    return None
                raise
        return put.etag or ""

    def download(self, key: str, path: Path) -> None:
        """Copy the object to the file `path`."""
        with replacing(path, durable=False) as file:
            for block in self._blocks(key):
                file.write(block)

    def upload(self, key: str, path: Path) -> None:
        """Send the file, and compare the checksum that the server made of it."""
        with path.open("rb") as file:
            self._put(key, file, file.seek(0, io.SEEK_END))

    def delete(self, key: str) -> None:
        """Remove the object."""
        check_key(key)
        with suppress(ObjectNotFoundError), self._errors("delete", key):
            self._client.remove_object(self._bucket, self._prefix + key)

    def _put(self, key: str, stream: BinaryIO, size: int) -> None:
        """Send `stream` until the server has what was sent; memory holds one part."""
        check_key(key)
        part = max(PART_BYTES, -(-size // _MOST_PARTS))
        stream.seek(0)
        expected = _etag(iter(lambda: stream.read(BLOCK_BYTES), b""), size, part)
        # Some servers do not look at the checksum of the request, and store what was damaged on the way.
        for _ in range(_ATTEMPTS):
            stream.seek(0)
            etag = self._send(key, stream, size, part)
            if etag == expected or self._stored_etag(key, size, part) == expected:
                return
            _log.warning("%r in %s is not what was sent; sending it again", key, self.uri)
        raise self._never_arrived(key, size)

    def _never_arrived(self, key: str, size: int) -> IntegrityError:
        return IntegrityError(
            f"{key!r} in {self.uri} is not what was sent ({size} bytes), {_ATTEMPTS} times: "
            f"look for a second writer, or a fault between here and {self._settings.url}"
        )

    def _send(self, key: str, stream: BinaryIO, size: int, part: int) -> str | None:
        """Send `stream` once; return the ETag of what the server made of it, None if it did not tell."""
        name = self._prefix + key
        try:
            with self._errors("write", key):
                # One part at a time: those who hurry upload several objects at once.
                put = self._client.put_object(self._bucket, name, stream, size, part_size=part, num_parallel_uploads=1)
        except UploadGoneError:
            return None  # the answer that completed it was lost; its repetition found nothing more to complete
        except OSError as exc:  # from the SDK: the stream ended early
            raise IntegrityError(f"what was to be written to {key!r} in {self.uri} changed meanwhile: {exc}") from exc
        return put.etag

    def _stored_etag(self, key: str, size: int, part: int) -> str:
        """Read the object back, and return what its ETag should be: with some encryptions it is no checksum."""
        try:
            return _etag(self._blocks(key), size, part)
        except ObjectNotFoundError:
            return ""

    def _read(self, key: str) -> tuple[bytes, Mapping[str, str]]:
        """Return the object's bytes, and the headers that came with the last of them."""
        headers: dict[str, str] = {}
        return b"".join(self._blocks(key, headers)), headers

    def _blocks(self, key: str, headers: dict[str, str] | None = None) -> Iterator[bytes]:
        """Yield the object's bytes; after a fault on the way, go on where it stopped.

        Args:
            key: the object.
            headers: takes those of the last answer, under names in lower case.
        """
        patience = Patience(self._settings.retry_seconds)
        position, etag, complete = 0, "", False
        while not complete:
            with self._errors("read", key), closing(self._get(key, position, etag)) as response:
                etag = response.headers.get("etag", "")
                if headers is not None:
                    headers.update({name.lower(): value for name, value in response.headers.items()})
                try:
                    # Not decoded: an object with a Content-Encoding is what was stored.
                    for block in response.stream(BLOCK_BYTES, decode_content=False):
                        position += len(block)
                        patience.renew()
                        yield block
                    complete = True
                except HTTPError as exc:
                    if not is_transient(exc) or not patience.wait():
                        raise
                    _log.warning("reading %r in %s stopped at byte %d; trying again", key, self.uri, position)

    def _get(self, key: str, position: int, etag: str) -> BaseHTTPResponse:
        """Ask for the object from `position` on, if it still has this ETag."""
        headers: dict[str, str | list[str] | tuple[str]] = {"If-Match": f'"{etag.strip(chr(34))}"'} if etag else {}
        response = self._client.get_object(self._bucket, self._prefix + key, offset=position, request_headers=headers)
        if position and response.status != 206:
            response.close()
            raise IntegrityError(f"{self._settings.url} cannot send the rest of {key!r} in {self.uri}: read it again")
        return response

    @contextmanager
    def _errors(self, doing: str, key: str | None = None) -> Iterator[None]:
        try:
            yield
        except FAILURES as exc:
            what = self.uri if key is None else f"{key!r} in {self.uri}"
            raise store_error(exc, f"cannot {doing} {what}", self._settings, key) from exc


def _connect(
    settings: S3Settings,
    *,
    fault_seconds: float | None = None,
    connect_timeout: float = _CONNECT_TIMEOUT,
    read_timeout: float = _READ_TIMEOUT,
    put_headers: Mapping[str, str] | None = None,
) -> minio.Minio:
    options: dict[str, Any] = {"ssl_context": _trust(settings)} if settings.secure else {}
    try:
        return minio.Minio(
            settings.host,
            settings.access_key,
            settings.secret_key,
            session_token=settings.session_token,
            secure=settings.secure,
            region=settings.region,
            http_client=PatientPool(
                busy_seconds=settings.retry_seconds,
                fault_seconds=settings.retry_seconds if fault_seconds is None else fault_seconds,
                connect_timeout=connect_timeout,
                read_timeout=read_timeout,
                put_headers=put_headers,
                **options,
            ),
        )
    except ValueError as exc:
        raise SettingError(
            f"the S3 settings do not fit: {exc} (endpoint {settings.url}, region {settings.region})"
        ) from exc


def _trust(settings: S3Settings) -> ssl.SSLContext:
    if settings.ca_bundle is None:
        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())  # slim images have no authorities of their own
        return context
    try:
        return ssl.create_default_context(cafile=str(settings.ca_bundle))
    except (ssl.SSLError, OSError) as exc:
        raise SettingError(f"AWS_CA_BUNDLE is {str(settings.ca_bundle)!r}: expected a PEM file ({exc})") from exc


def _age(headers: Mapping[str, str]) -> float:
    """Return the seconds since an object was written; both times are the server's."""
    try:
        written, read = (parsedate_to_datetime(headers[name]) for name in ("last-modified", "date"))
        return (read - written).total_seconds()
    except (KeyError, ValueError, TypeError):
        return 0.0


def _problem(name: str) -> str:
    """Say why the SDK cannot address the object `name`."""
    if not name.strip() or {".", ".."} & set(name.split("/")):
        return "the S3 client accepts no name that is blank or has '.' or '..' between slashes"
    return ""


def _etag(blocks: Iterable[bytes], size: int, part: int) -> str:
    """Return the ETag that S3 gives to an object sent in parts of `part` bytes: an MD5 of MD5s if there are several."""
    digests, current, room = [], _md5(), part
    for block in blocks:
        rest = memoryview(block)
        while len(rest) > room:
            current.update(rest[:room])
            digests.append(current.digest())
            rest, current, room = rest[room:], _md5(), part
        current.update(rest)
        room -= len(rest)
    if size <= part:
        return current.hexdigest()
    digests.append(current.digest())
    return f"{_md5(b''.join(digests)).hexdigest()}-{len(digests)}"


def _md5(data: bytes = b"") -> "hashlib._Hash":
    return hashlib.md5(data, usedforsecurity=False)  # a checksum; also where policy forbids MD5
