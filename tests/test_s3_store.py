"""S3: listings, settings that do not fit, certificates, transient faults; on a real server."""

import io
import logging
import os
import random
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
import urllib3

from ragline.errors import (
    BucketError,
    CertificateError,
    CredentialsError,
    IntegrityError,
    ObjectNotFoundError,
    SettingError,
    StoreError,
    StoreUnavailableError,
)
from ragline.object_store import ObjectInfo, ObjectStore, ObjectUnreadableError, open_store
from ragline.object_store.objects import sorted_by_key
from ragline.object_store.patient_http import Patience
from tests.conftest import Bucket
from tests.fault_proxy import Fault, FaultProxy
from tests.seaweed import ACCESS_KEY, SECRET_KEY


def _keys(store: ObjectStore) -> list[str]:
    return [info.key for info in store.list()]


# ---- S3: listing


def test_s3_shows_foreign_objects(s3: Bucket) -> None:
    """Folder markers of consoles are no documents; objects that others wrote are read under their keys."""
    client = s3.server.client()
    for key, data in {"docs/": b"", "docs/a.md": b"text", "docs/gzip": b"\x1f\x8bnot really"}.items():
        client.put_object(s3.name, key, io.BytesIO(data), len(data), metadata={"Content-Encoding": "gzip"})
    store = open_store(f"{s3.uri}/docs")
    assert {info.key: store.read(info.key) for info in store.list()} == {"a.md": b"text", "gzip": b"\x1f\x8bnot really"}


def test_s3_names_what_its_client_cannot_address(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object whose name has '..' between slashes is listed with the problem, and reading it fails."""
    monkeypatch.setattr("ragline.object_store.s3.minio.Minio.list_objects", lambda *_, **__: iter([_Entry("a/../b")]))
    store = open_store(s3.uri)
    [info] = store.list()
    assert (info.key, info.size) == ("a/../b", 3)
    assert "'..' between slashes" in info.problem
    with pytest.raises(ObjectUnreadableError):
        store.read("a/../b")


class _Entry:
    """An entry of a listing of a server that, unlike SeaweedFS, keeps such names."""

    def __init__(self, name: str) -> None:
        self.object_name, self.size, self.etag = name, 3, "etag"


def test_sorting_uses_temporary_files_for_long_listings() -> None:
    """The result is the same whether the listing fits in memory or not."""
    infos = [ObjectInfo(f"key-{number}-\udcff\n", number, "etag") for number in range(1000)]
    shuffled = random.Random(1).sample(infos, len(infos))
    expected = sorted(infos, key=lambda info: os.fsencode(info.key))
    assert [list(sorted_by_key(shuffled, run=run)) for run in (7, 500, 1000, 1001)] == [expected] * 4


# ---- S3: errors before any work


@pytest.mark.parametrize(
    ("variable", "value", "error", "message"),
    [
        ("AWS_ACCESS_KEY_ID", "WRONG", CredentialsError, "does not know the key in AWS_ACCESS_KEY_ID"),
        ("AWS_SECRET_ACCESS_KEY", "WRONG", CredentialsError, "AWS_SECRET_ACCESS_KEY does not belong to"),
        ("AWS_ACCESS_KEY_ID", "", CredentialsError, "AWS_ACCESS_KEY_ID is not set"),
        ("AWS_DEFAULT_REGION", "no region!", SettingError, "invalid region no region!"),
    ],
)
def test_s3_wrong_settings(
    s3: Bucket, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, error: type[Exception], message: str
) -> None:
    """Each has its own error, in one line, at once."""
    monkeypatch.setenv(variable, value)
    begun = time.monotonic()
    with pytest.raises(error, match=message) as caught:
        open_store(s3.uri).check()
    assert "\n" not in str(caught.value)
    assert SECRET_KEY not in str(caught.value)
    assert time.monotonic() - begun < 2


def test_s3_missing_bucket(s3: Bucket) -> None:
    """It is named, and not made by the proof that writing works."""
    store = open_store("s3://no-such-bucket/prefix")
    with pytest.raises(
        BucketError, match=r"cannot list s3://no-such-bucket/prefix at http.*: the bucket does not exist"
    ):
        store.check(write=True)
    for attempt in (lambda: store.read("key"), lambda: list(store.list())):
        with pytest.raises(BucketError):
            attempt()
    assert not s3.server.client().bucket_exists("no-such-bucket")


def test_s3_unreachable(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed port and an unknown host are reported within seconds, though the patience is longer."""
    for endpoint, patience in {"http://127.0.0.1:9": "30", "http://no-such-host.invalid": "0"}.items():
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        monkeypatch.setenv("RAGLINE_STORE_RETRY_SECONDS", patience)
        begun = time.monotonic()
        with pytest.raises(StoreUnavailableError, match=f"cannot list {s3.uri} at {endpoint}: no answer"):
            open_store(s3.uri).check()
        assert time.monotonic() - begun < 6


def test_s3_silent_server(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the request and never answers is reported as such."""
    monkeypatch.setattr("ragline.object_store.s3._CHECK_READ_TIMEOUT", 1.0)
    monkeypatch.setenv("RAGLINE_STORE_RETRY_SECONDS", "0")
    with FaultProxy(s3.server.host) as proxy:
        proxy.plan(Fault.STALL)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{proxy.host}")
        with pytest.raises(StoreUnavailableError, match="Read timed out"):
            open_store(s3.uri).check()


def test_s3_endpoint_that_is_no_s3_server(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another web server answers, or the protocol is the wrong one: the settings to look at are named."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3.server.ports['master.port']}")
    with pytest.raises(StoreError, match="check AWS_ENDPOINT_URL, S3_ENDPOINT and S3_USE_HTTPS"):
        open_store(s3.uri).check()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://{s3.server.host}")
    with pytest.raises(StoreError, match=r"does not speak TLS as expected.*S3_USE_HTTPS"):
        open_store(s3.uri).check()


# ---- S3: certificates


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority that nobody trusts yet."""
    return trustme.CA()


@pytest.fixture
def tls_proxy(s3: Bucket, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """The S3 server behind TLS, with a certificate of the authority; the environment points to it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with FaultProxy(s3.server.host, tls=context) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://{proxy.host}")
        yield proxy


def test_s3_untrusted_certificate(s3: Bucket, tls_proxy: FaultProxy) -> None:
    """The error says how to trust it; nothing is sent, and nothing tried again."""
    begun = time.monotonic()
    with pytest.raises(CertificateError, match=r"the certificate is not trusted.*set AWS_CA_BUNDLE"):
        open_store(s3.uri).check()
    assert tls_proxy.requests == []
    assert time.monotonic() - begun < 2


def test_s3_trusted_certificate(
    s3: Bucket, tls_proxy: FaultProxy, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the authority in AWS_CA_BUNDLE, all works; but only under the name in the certificate."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    store = open_store(s3.uri)
    store.check(write=True)
    tls_proxy.plan(Fault.TRUNCATED, matching="GET .*/key")
    store.write("key", b"data" * 1000)
    assert store.read("key") == b"data" * 1000
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://localhost:{tls_proxy.host.partition(':')[2]}")
    with pytest.raises(CertificateError, match="correct the endpoint's name"):
        open_store(s3.uri).check()


def test_s3_malformed_ca_bundle(
    s3: Bucket, tls_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file that is no PEM file is refused with the variable's name."""
    (tmp_path / "ca.pem").write_bytes(b"nothing")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with pytest.raises(SettingError, match=r"AWS_CA_BUNDLE is '.*ca.pem': expected a PEM file"):
        open_store(s3.uri)


# ---- S3: transient faults


@pytest.fixture
def proxy(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A faulty way to the server; the environment points to it. The first waits are short."""
    monkeypatch.setattr("ragline.object_store.patient_http._FIRST_DELAY", 0.01)
    with FaultProxy(s3.server.host) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{proxy.host}")
        yield proxy


_OPERATIONS: dict[str, Callable[[ObjectStore, Path], object]] = {
    "check": lambda store, _: store.check(write=True),
    "list": lambda store, _: _keys(store),
    "exists": lambda store, _: store.exists("key"),
    "read": lambda store, _: store.read("key"),
    "write": lambda store, _: store.write("key", b"new" * 1000),
    "download": lambda store, path: store.download("key", path / "target"),
    "upload": lambda store, path: store.upload("key", path / "source"),
    "delete": lambda store, _: store.delete("key"),
}


@pytest.mark.parametrize("operation", _OPERATIONS)
def test_s3_transient_faults_are_outlasted(s3: Bucket, proxy: FaultProxy, tmp_path: Path, operation: str) -> None:
    """Each operation gives the same as without the faults."""
    (tmp_path / "source").write_bytes(b"new" * 1000)
    store = open_store(s3.uri)
    store.write("key", b"old" * 1000)
    undisturbed = _OPERATIONS[operation](store, tmp_path)
    if operation == "delete":
        store.write("key", b"old" * 1000)
    proxy.plan(Fault.BUSY, Fault.RESET, Fault.FAILED, Fault.LOST_ANSWER, Fault.TRUNCATED)
    assert _OPERATIONS[operation](store, tmp_path) == undisturbed
    assert _keys(store) == ([] if operation == "delete" else ["key"])


def test_s3_download_goes_on_where_it_stopped(s3: Bucket, proxy: FaultProxy, tmp_path: Path) -> None:
    """After half an answer, only the rest is asked for again."""
    data = random.Random(1).randbytes(3_000_001)
    store = open_store(s3.uri)
    store.write("key", data)
    proxy.plan(Fault.TRUNCATED, Fault.TRUNCATED, Fault.RESET, matching="GET")
    store.download("key", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data


def test_s3_object_replaced_during_the_download(s3: Bucket, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Halves of two objects are never put together."""
    store = open_store(s3.uri)
    store.write("key", b"old" * 100_000)
    proxy.plan(Fault.TRUNCATED, matching="GET")

    def replace(_: Patience) -> bool:
        store.write("key", b"new" * 100_000)
        return True

    monkeypatch.setattr(Patience, "wait", replace)
    with pytest.raises(ObjectUnreadableError, match="replaced while it was read"):
        store.read("key")


@pytest.mark.parametrize("request_", ["POST .*uploads", "PUT .*partNumber=2", "POST .*uploadId"])
def test_s3_upload_in_parts_outlasts_faults(s3: Bucket, proxy: FaultProxy, tmp_path: Path, request_: str) -> None:
    """Whichever of its requests fails, the object is complete; other parts are not sent again."""
    data = random.Random(1).randbytes((16 << 20) + 1)
    (tmp_path / "source").write_bytes(data)
    proxy.plan(Fault.BUSY, Fault.LOST_ANSWER, Fault.RESET, matching=request_)
    store = open_store(s3.uri)
    store.upload("key", tmp_path / "source")
    assert store.read("key") == data
    assert sum("partNumber=1" in request for request in proxy.requests) == 1


def test_s3_damage_on_the_way_is_repaired(s3: Bucket, proxy: FaultProxy) -> None:
    """What does not have the right checksum on the server is sent again."""
    proxy.plan(Fault.FLIPPED, Fault.FLIPPED, matching="PUT")
    store = open_store(s3.uri)
    store.write("key", b"data")
    assert store.read("key") == b"data"
    assert sum(request.startswith("PUT") for request in proxy.requests) == 3


def test_s3_upload_is_verified(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ETag that is not the checksum, as with some encryptions, is settled by reading back; damage is an error."""
    store = open_store(s3.uri)
    plain = s3_put = store._client.put_object  # type: ignore[attr-defined]

    def encrypted(*args: object, **options: object) -> object:
        plain(*args, **options)
        return _Entry("key")

    def damaged(bucket: str, name: str, *_: object, **__: object) -> object:
        s3_put(bucket, name, io.BytesIO(b"dama"), 4)
        return _Entry("key")

    monkeypatch.setattr(store._client, "put_object", encrypted)  # type: ignore[attr-defined]
    store.write("key", b"data")
    monkeypatch.setattr(store._client, "put_object", damaged)  # type: ignore[attr-defined]
    with pytest.raises(IntegrityError, match=f"'key' in {s3.uri} is not what was sent \\(4 bytes\\), 3 times"):
        store.write("key", b"data")


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.RESET, Fault.TRUNCATED])
def test_s3_patience_ends(s3: Bucket, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, fault: Fault) -> None:
    """A fault that stays is an error when the time is over."""
    monkeypatch.setenv("RAGLINE_STORE_RETRY_SECONDS", "1")
    store = open_store(s3.uri)
    proxy.plan(*[fault] * 50)
    begun = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=f"cannot list {s3.uri}"):
        list(store.list())
    assert 0.4 < time.monotonic() - begun < 4


def test_s3_lasting_errors_are_not_repeated(s3: Bucket, proxy: FaultProxy) -> None:
    """A missing object costs one request."""
    store = open_store(s3.uri)
    with pytest.raises(ObjectNotFoundError):
        store.read("key")
    assert proxy.requests == [f"GET /{s3.name}/key"]


def test_s3_secrets_are_never_shown(s3: Bucket, proxy: FaultProxy, caplog: pytest.LogCaptureFixture) -> None:
    """Not in logs at any level, not in the store's repr, not in errors and what caused them."""
    caplog.set_level(logging.DEBUG)
    store = open_store(s3.uri)
    proxy.plan(Fault.BUSY, Fault.RESET, Fault.TRUNCATED)
    store.check(write=True)
    with pytest.raises(ObjectNotFoundError) as caught:
        store.read("key")
    shown = caplog.text + repr(store) + repr(store.__dict__) + str(caught.getrepr(chain=True))
    assert "HTTP 503; trying again" in shown
    assert SECRET_KEY not in shown
    assert ACCESS_KEY not in caplog.text


def test_completed_upload_may_be_an_error_in_disguise() -> None:
    """AWS can answer 200 and then send an error: that is repeated; an ordinary answer is not."""
    from ragline.object_store import patient_http

    def answer(body: bytes) -> urllib3.BaseHTTPResponse:
        return urllib3.HTTPResponse(io.BytesIO(body), status=200, preload_content=True)

    assert patient_http._asks_to_repeat("POST", answer(b"<Error><Code>InternalError</Code></Error>"))
    assert not patient_http._asks_to_repeat("POST", answer(b"<CompleteMultipartUploadResult/>"))
