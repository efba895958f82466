"""Writes that happen only if nobody else was first: in a folder, on S3, on an S3 that knows no conditions."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ragline.errors import ConflictError, StoreError, StoreUnavailableError
from ragline.object_store import ObjectStore, lease, open_store
from tests.conftest import Bucket
from tests.fault_proxy import Fault, FaultProxy

KEY = "indexes/docs/current.json"
WRITERS = 8


def attempt(store: ObjectStore, data: bytes, tag: str | None) -> bool:
    """Write; tell whether it was done."""
    try:
        store.write_if(KEY, data, tag)
    except ConflictError:
        return False
    return True


def race(stores: list[ObjectStore], tag: str | None) -> list[bool]:
    """Have every store's owner write at the same moment; tell who did."""
    start = threading.Barrier(len(stores))

    def write(number: int) -> bool:
        start.wait()
        return attempt(stores[number], f"writer {number}, {tag}".encode(), tag)

    with ThreadPoolExecutor(len(stores)) as pool:
        return list(pool.map(write, range(len(stores))))


def test_a_write_needs_the_tag_of_what_is_there(store: ObjectStore) -> None:
    """None means that there is nothing; a stale tag is refused, and what is there stands."""
    first = store.write_if(KEY, b"first", None)
    assert store.read_tagged(KEY) == (b"first", first)
    second = store.write_if(KEY, b"second", first)
    for stale in (None, first, "0" * 32):
        with pytest.raises(ConflictError, match=re.escape(f"{KEY!r} in {store.uri} was changed by someone else")):
            store.write_if(KEY, b"third", stale)
    assert store.read_tagged(KEY) == (b"second", second)
    assert [info.key for info in store.list()] == [KEY]


def test_a_tag_needs_something_there(store: ObjectStore) -> None:
    """Once the object is gone, its tag is as stale as that of an older one; None is right again."""
    tag = store.write_if(KEY, b"first", None)
    store.delete(KEY)
    assert not attempt(store, b"second", tag)
    assert not store.exists(KEY)
    assert attempt(store, b"second", None)


def test_a_tag_is_that_of_the_content(store: ObjectStore) -> None:
    """What another writer replaced and put back is what was read."""
    first = store.write_if(KEY, b"first", None)
    store.write(KEY, b"other")
    store.write(KEY, b"first")
    assert attempt(store, b"second", first)


@pytest.mark.parametrize("key", ["", "a//b", "../a", ".ragline-tmp-lock"])
def test_what_is_no_key_is_refused(store: ObjectStore, key: str) -> None:
    """As in every other write."""
    with pytest.raises(StoreError, match="is not a key"):
        store.write_if(key, b"data", None)


def test_what_is_there_already_is_a_success(store: ObjectStore) -> None:
    """A writer whose answer was lost asks again with the tag that it knew."""
    tag = store.write_if(KEY, b"first", None)
    assert store.write_if(KEY, b"first", None) == tag


def test_of_many_writers_at_once_one_succeeds(store: ObjectStore, store_uri: str) -> None:
    """In every round, from nothing and from what the round before left."""
    stores = [open_store(store_uri) for _ in range(WRITERS)]
    tag: str | None = None
    for _ in range(5 if store_uri.startswith("s3:") else 20):  # SeaweedFS lets racers wait for a second
        done = race(stores, tag)
        assert done.count(True) == 1
        data, following = store.read_tagged(KEY)
        assert data == f"writer {done.index(True)}, {tag}".encode()
        tag = following


def test_processes_keep_out_of_each_others_way(tmp_path: Path) -> None:
    """A counter that four processes increase loses no step."""
    store = open_store(str(tmp_path))
    store.write(KEY, b"0 nobody")
    program = (
        "import os, sys\nfrom ragline.errors import ConflictError\nfrom ragline.object_store import open_store\n"
        "store, done = open_store(sys.argv[1]), 0\n"
        "while done < 25:\n"
        f"    data, tag = store.read_tagged({KEY!r})\n"
        "    try:\n"
        f"        store.write_if({KEY!r}, b'%d %d' % (int(data.split()[0]) + 1, os.getpid()), tag)\n"
        "    except ConflictError:\n        continue\n"
        "    done += 1\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path)]) for _ in range(4)]
    assert [worker.wait(60) for worker in workers] == [0] * 4
    assert store.read(KEY).startswith(b"100 ")


def test_the_lock_file_may_be_removed(tmp_path: Path) -> None:
    """It is made again; listings never show it."""
    store = open_store(str(tmp_path))
    tag = store.write_if(KEY, b"first", None)
    [lock] = [path for path in tmp_path.iterdir() if path.is_file()]
    lock.unlink()
    assert attempt(store, b"second", tag)
    assert [info.key for info in store.list()] == [KEY]


@pytest.fixture
def through_proxy(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> Callable[[FaultProxy], ObjectStore]:
    """A function that opens the bucket through a proxy."""

    def open_through(proxy: FaultProxy) -> ObjectStore:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{proxy.host}")
        return open_store(s3.uri)

    return open_through


@pytest.mark.parametrize(
    "fault", [Fault.RESET, Fault.BUSY, Fault.FAILED, Fault.COLLISION, Fault.LOST_ANSWER, Fault.FLIPPED]
)
def test_a_fault_on_the_way_is_no_conflict(
    fault: Fault, s3: Bucket, through_proxy: Callable[[FaultProxy], ObjectStore]
) -> None:
    """Also when the server did what it was asked and its answer was lost: what is there is what was sent."""
    with FaultProxy(s3.server.host) as proxy:
        store = through_proxy(proxy)
        tag = store.write_if(KEY, b"first", None)
        proxy.plan(fault, matching=f"PUT /{s3.name}/{KEY}")
        tag = store.write_if(KEY, b"second", tag)
        assert store.read_tagged(KEY) == (b"second", tag)


def test_conditions_are_tried_once(s3: Bucket, through_proxy: Callable[[FaultProxy], ObjectStore]) -> None:
    """The first conditional write tries the server on an object of its own, which is removed."""
    with FaultProxy(s3.server.host) as proxy:
        store = through_proxy(proxy)
        tag = store.write_if(KEY, b"first", None)
        assert {request.partition(" ")[0] for request in proxy.requests[:-1]} == {"PUT", "GET", "DELETE"}
        proxy.requests.clear()
        store.write_if(KEY, b"second", tag)
        assert proxy.requests == [f"PUT /{s3.name}/{KEY}"]
    assert [info.object_name for info in s3.server.client().list_objects(s3.name, recursive=True)] == [KEY]


@pytest.fixture
def unconditional_uri(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket whose server ignores conditions; leases take seconds."""
    monkeypatch.setattr(lease, "LEASE_SECONDS", 3.0)
    monkeypatch.setattr(lease, "_SETTLE_SECONDS", 0.5)
    with FaultProxy(s3.server.host, without=("if-none-match", "if-match")) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{proxy.host}")
        yield s3.uri


def test_a_server_without_conditions_is_found_out_and_leases_are_used(unconditional_uri: str) -> None:
    """One of several writers at once succeeds, stale tags are refused, and no lease is left."""
    store = open_store(unconditional_uri)
    tag = store.write_if(KEY, b"first", None)
    assert not attempt(store, b"other", None)
    done = race([open_store(unconditional_uri) for _ in range(4)], tag)
    assert done.count(True) == 1
    assert store.read(KEY) == f"writer {done.index(True)}, {tag}".encode()
    assert [info.key for info in store.list()] == [KEY]


def test_the_lease_of_a_dead_writer_expires(unconditional_uri: str) -> None:
    """The next writer waits for it, and goes on."""
    store = open_store(unconditional_uri)
    store.write(f"{KEY}.lease", b'{"owner": "dead", "seconds": 2}')
    store.write_if(KEY, b"first", None)
    assert store.read(KEY) == b"first"
    assert [info.key for info in store.list()] == [KEY]


def test_a_live_lease_is_waited_for(unconditional_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that says nothing ragline understands; when leases never end, the message says so."""
    monkeypatch.setattr(lease, "_MOST_LEASES", 0.2)
    store = open_store(unconditional_uri)
    store.write(f"{KEY}.lease", b"by hand")
    with pytest.raises(StoreUnavailableError, match=rf"no lease on '{KEY}' in {unconditional_uri} after 1 seconds"):
        store.write_if(KEY, b"first", None)
    assert (store.exists(KEY), store.read(f"{KEY}.lease")) == (False, b"by hand")


def test_a_lease_is_watched_where_the_server_tells_no_time(
    unconditional_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It expires when it was seen unchanged for its whole length."""
    monkeypatch.setattr("ragline.object_store.s3._age", lambda _: 0.0)
    store = open_store(unconditional_uri)
    store.write(f"{KEY}.lease", b'{"owner": "dead", "seconds": 0.8}')
    begun = time.monotonic()
    assert attempt(store, b"first", None)
    assert time.monotonic() - begun > 0.8


def test_a_lease_that_was_taken_over_is_not_used(unconditional_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer who slept too long sees it before the write, and leaves the new owner's lease alone."""
    store = open_store(unconditional_uri)
    store.write(KEY, b"first")
    acquire = lease.Lease.acquire

    def lose(self: lease.Lease) -> bool:
        held = acquire(self)
        store.write(f"{KEY}.lease", b'{"owner": "other", "seconds": 60}')
        return held

    monkeypatch.setattr(lease.Lease, "acquire", lose)
    with pytest.raises(ConflictError, match="was lost to another writer"):
        store.write_if(KEY, b"second", store.read_tagged(KEY)[1])
    assert store.read(KEY) == b"first"
    assert store.read(f"{KEY}.lease") == b'{"owner": "other", "seconds": 60}'


def test_a_lease_that_took_long_to_write_is_not_used(unconditional_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have come over another one; it counts for everybody until it expires, then the writer goes on."""
    monkeypatch.setattr(lease, "LEASE_SECONDS", 2.0)
    store = open_store(unconditional_uri)
    write, slow = type(store).write, iter([0.6])

    def write_slowly(self: ObjectStore, key: str, data: bytes) -> None:
        time.sleep(next(slow, 0.0) if key.endswith(".lease") else 0.0)
        write(self, key, data)

    monkeypatch.setattr(type(store), "write", write_slowly)
    begun = time.monotonic()
    assert attempt(store, b"first", None)
    assert time.monotonic() - begun > 2.5


def test_a_server_that_refuses_the_headers_gets_no_conditions(
    s3: Bucket, through_proxy: Callable[[FaultProxy], ObjectStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some answer 501 NotImplemented instead of ignoring them."""
    monkeypatch.setattr(lease, "LEASE_SECONDS", 3.0)
    monkeypatch.setattr(lease, "_SETTLE_SECONDS", 0.5)
    with FaultProxy(s3.server.host) as proxy:
        store = through_proxy(proxy)
        proxy.plan(Fault.UNKNOWN)
        store.write_if(KEY, b"first", None)
        assert f"PUT /{s3.name}/{KEY}.lease" in proxy.requests
    assert store.uri == s3.uri
