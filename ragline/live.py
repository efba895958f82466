"""The current release of an index, held open by a service and exchanged while questions are answered.

A thread looks at the pointer every few seconds. When it has moved, the thread fetches and verifies the release into a
folder of its own, opens and warms it, and exchanges one reference; questions in flight finish on the release on which
they began. Whatever goes wrong meanwhile, what is served stays, and `LiveIndex.status` says what and since when.

Only that thread opens and closes indexes: no question waits for it, and Chroma, which shares one client per path, never
closes one path while it is opened again.
"""

import errno
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from ragline.answering import Answerer
from ragline.copies import LocalCopies
from ragline.embedding.text_embedder import TextEmbedder
from ragline.errors import NoReleaseError, RaglineError, ServiceError, StoreError
from ragline.object_store import ObjectStore, open_store
from ragline.refusal import Refusal
from ragline.release import CHUNKS, Index, Manifest, Pointer, now
from ragline.served import ServingMark
from ragline.serving import load_answerer, open_embedder

_log = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between two looks at the pointer."""

_LONGEST_INTERVAL = 30.0
_STOP_SECONDS = 5.0
_BLOCK = 1 << 20
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_LONGEST_SEARCH = 200
_WARMING = ("What is this about?", "How do I start?")


@dataclass(frozen=True, slots=True)
class Status:
    """What a service can say of its index.

    Attributes:
        release: that is served; "" before the first one is loaded.
        model: digest of its embedder.
        since: when it went live here (ISO 8601, UTC).
        problem: why the current release is not served, or not known; "" if it is served. Names what to do.
        problem_since: when that began.
        refused: the release that the problem is with; "" if it is with the store.
        loading: the release that is being fetched or opened.
        swaps: how often a release was exchanged for another.
        swap_seconds: how long the last one took, from seeing the pointer to serving.
        draining: questions in flight on releases that were served before.
    """

    release: str = ""
    model: str = ""
    since: str = ""
    problem: str = ""
    problem_since: str = ""
    refused: str = ""
    loading: str = ""
    swaps: int = 0
    swap_seconds: float = 0.0
    draining: int = 0

    @property
    def ready(self) -> bool:
        """Whether questions can be answered."""
        return bool(self.release)


@dataclass(slots=True, eq=False)
class _Held:
    """A release that is open, and how many questions are in flight on it."""

    answerer: Answerer
    manifest: Manifest
    users: int = 0


class LiveIndex:
    """Answers from the current release of an index, whichever that is; safe to share between threads.

    Example:
        >>> with LiveIndex(store_uri, "default", cache) as live:  # doctest: +SKIP
        ...     live.wait(60)
        ...     with live.answerer() as answerer:
        ...         answerer.ask("How do I ...?")
    """

    def __init__(
        self,
        store_uri: str,
        name: str,
        cache: Path,
        *,
        interval: float = INTERVAL,
        embedder_of: Callable[[Manifest, ObjectStore], TextEmbedder] = open_embedder,
    ) -> None:
        """Begin to load the current release, and to watch the pointer.

        Args:
            store_uri: where the releases are.
            name: of the index.
            cache: folder for local copies; has room for three releases: the one before, the current and the next one.
            interval: seconds between two looks.
            embedder_of: gives the embedder that made a release of a store.

        Raises:
            SettingError: the URI, the name or an S3 variable is malformed.
        """
        self.name = name
        self._index = Index(open_store(store_uri), name)
        self._interval = interval
        self._embedder_of = embedder_of
        self._copies = LocalCopies(self._index, cache)
        self._mark = ServingMark(self._index.store, name)
        self._change = threading.Condition()  # guards the five below
        self._held: _Held | None = None
        self._draining: list[_Held] = []
        self._status = Status()
        self._before = ""
        self._closed = False
        self._files = threading.Lock()  # held while indexes are opened and closed
        self._wake = threading.Event()
        self._refusal: Refusal | None = None
        self._failures = 0
        self._thread = threading.Thread(target=self._watch, name=f"live-{name}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching; the release is closed when the last question in flight is answered.

        A thread that waits for the store is left behind: what it still loads is thrown away.
        """
        with self._change:
            self._closed = True
            held, self._held = self._held, None
            self._draining += [held] if held else []
        self._wake.set()
        self._thread.join(_STOP_SECONDS)
        self._close_unused()

    def status(self) -> Status:
        """Return what is served, and what stands against serving the current release."""
        with self._change:
            return replace(self._status, draining=sum(held.users for held in self._draining))

    def wait(self, seconds: float) -> bool:
        """Wait until questions can be answered; tell whether they can."""
        with self._change:
            return self._change.wait_for(lambda: self._held is not None, seconds)

    @contextmanager
    def answerer(self) -> Iterator[Answerer]:
        """Give the served release; it stays open while the block runs, though another goes live.

        Raises:
            NoReleaseError: none is loaded yet, or this was closed.
        """
        with self._change:
            held = self._held
            if held is None:
                raise NoReleaseError(self._why_not_ready())
            held.users += 1
        try:
            yield held.answerer
        finally:
            self._leave(held)

    def _why_not_ready(self) -> str:
        if self._closed:
            return f"index {self._index.name!r} is not served any more: the service is being stopped"
        return self._status.problem or f"index {self._index.name!r} is being loaded; ask again in a moment"

    def _leave(self, held: _Held) -> None:
        with self._change:
            held.users -= 1
            is_last, closed = not held.users and held in self._draining, self._closed
        if is_last and closed:
            self._close_unused()
        elif is_last:
            self._wake.set()

    # what follows runs in the watching thread

    def _watch(self) -> None:
        # Not at a lower priority: the threads of OpenVINO and Chroma, which answer questions, would inherit it.
        due = time.monotonic()
        while not self._closed:
            if time.monotonic() >= due:
                due = time.monotonic() + self._look()
            self._wake.wait(max(0.0, due - time.monotonic()))
            self._wake.clear()
            self._close_unused()
        if not self._failures:
            self._mark.withdraw()

    def _look(self) -> float:
        """Follow the pointer, if it has moved; return how many seconds to wait before the next look."""
        failed = True
        try:
            self._follow(self._pointer())
            failed = False
        except StoreError as exc:
            self._tell(str(exc))
        except (RaglineError, OSError) as exc:  # of the pointer; the store answers
            self._tell(str(exc))
            failed = False
        except Exception as exc:  # noqa: BLE001  the edge: without this thread the index would never change again
            _log.exception("index %s cannot be followed", self._index.name)
            self._tell(f"{type(exc).__name__}: {exc}; this is a fault of ragline, please report it")
        self._failures = self._failures + 1 if failed else 0
        longest = max(self._interval, _LONGEST_INTERVAL)
        wait = min(self._interval * 2.0 ** min(self._failures, 20), longest)
        return wait * random.uniform(0.75, 1.0)  # many services of one store do not ask in step

    def _pointer(self) -> Pointer:
        try:
            return self._index.pointer()
        except NoReleaseError:
            self._index.store.check()  # a store that is gone altogether is another matter, with another remedy
            raise

    def _follow(self, pointer: Pointer) -> None:
        """Serve the release that the pointer names, unless that was tried in vain a moment ago."""
        if not self._held or self._held.manifest.release != pointer.release:
            if self._refusal and self._refusal.holds(pointer, self._index):
                self._tell(self._refusal.reason, self._refusal.release)
            else:
                self._try(pointer)
        else:
            self._refusal = None
            self._tell("")
        if self._held:
            self._mark.renew(self._held.manifest.release)

    def _try(self, pointer: Pointer) -> None:
        self._set(loading=pointer.release)
        try:
            self._load(pointer.release)
            self._refusal = None
        except StoreError:
            raise
        except ServiceError as exc:  # its embedder is not up, or not yet with this model; nothing was fetched in vain
            self._tell(str(exc), pointer.release)
        except Exception as exc:  # noqa: BLE001  Chroma, tantivy and Arrow each have errors of their own
            reason = self._reason(exc, pointer.release)
            self._refusal = Refusal.after(self._refusal, pointer, self._index, reason)
            self._tell(reason, pointer.release)
            self._tidy()
        finally:
            self._set(loading="")

    def _reason(self, exc: Exception, release: str) -> str:
        """Say why a release is not served, and what to do."""
        if isinstance(exc, RaglineError):
            return str(exc)
        if isinstance(exc, OSError):
            return f"release {release} cannot be copied here: {exc}; the cache needs room for three releases"
        _log.error("release %s cannot be opened", release, exc_info=exc)
        return f"release {release} cannot be opened: {type(exc).__name__}: {exc}; see: ragline verify {release}"

    def _load(self, release: str) -> None:
        begun = time.monotonic()
        held = next((each for each in self._draining if each.manifest.release == release), None)
        if held is None:  # else it was taken back while questions are still in flight on it
            manifest = self._index.manifest(release)
            embedder = self._embedder(manifest)
            folder = self._fetch(manifest)
            held = self._open(manifest, folder, embedder)
        if held:
            self._exchange(held, time.monotonic() - begun)
            self._close_unused()

    def _embedder(self, manifest: Manifest) -> TextEmbedder:
        """Return the embedder of a release: the one that is loaded, if it is the same model."""
        loaded = self._held.answerer.embedder if self._held else None
        if loaded and loaded.digest == manifest.digests["model"]:
            return loaded
        embedder = self._embedder_of(manifest, self._index.store)
        embedder.embed(_WARMING)
        return embedder

    def _fetch(self, manifest: Manifest) -> Path:
        try:
            return self._copies.take(manifest)
        except OSError as exc:
            # The new release needs the room more than the one before, which the store still has.
            self._copies.hold(self._in_use())
            if exc.errno not in _NO_SPACE or not self._copies.prune():
                raise
            _log.warning("no space left in the cache; removed the release before the current one to make room")
            return self._copies.take(manifest)

    def _open(self, manifest: Manifest, folder: Path, embedder: TextEmbedder) -> _Held | None:
        with self._files:
            if self._closed:
                return None
            held = _Held(load_answerer(manifest, folder, embedder), manifest)
            try:
                _warm(held.answerer, folder)
            except BaseException:
                held.answerer.retriever.close()
                raise
            return held

    def _exchange(self, held: _Held, seconds: float) -> None:
        with self._change:
            if self._closed:
                self._draining += [] if held in self._draining else [held]
                return
            before, self._held = self._held, held
            self._draining = [each for each in (*self._draining, before) if each and each is not held]
            self._before = before.manifest.digests["index"] if before else ""
            self._status = Status(
                release=held.manifest.release,
                model=held.manifest.digests["model"],
                since=now(),
                swaps=self._status.swaps + bool(before),
                swap_seconds=round(seconds, 3),
            )
            self._change.notify_all()
        _log.info("release %s of index %s is served, after %.1f s", held.manifest.release, self._index.name, seconds)

    def _close_unused(self) -> None:
        """Close what was served before and is not used any more, and let go of its files."""
        with self._change:
            unused = [held for held in self._draining if not held.users]
            self._draining = [held for held in self._draining if held.users]
        if not unused:
            return
        with self._files:
            for held in unused:
                held.answerer.retriever.close()
        self._tidy()

    def _tidy(self) -> None:
        """Remove the copies that are not needed; after the end, only let go of them: the next start finds them."""
        if not self._closed:
            self._copies.hold(self._in_use() | {self._before})  # with the one before, a rollback needs no store
            self._copies.prune()
        elif not self._thread.is_alive():
            self._copies.hold(self._in_use())

    def _in_use(self) -> set[str]:
        """Return the digests of the releases that are open."""
        with self._change:
            return {held.manifest.digests["index"] for held in (self._held, *self._draining) if held}

    def _set(self, **changes: str) -> None:
        with self._change:
            self._status = replace(self._status, **changes)  # type: ignore[arg-type]  # only texts are set so

    def _tell(self, problem: str, refused: str = "") -> None:
        status = self._status
        if problem and problem != status.problem:
            _log.warning("index %s: %r stays: %s", self._index.name, status.release, problem)
        since = (status.problem_since or now()) if problem else ""
        self._set(problem=problem, problem_since=since, refused=refused)


def _warm(answerer: Answerer, folder: Path) -> None:
    """Search for a few chunks, which loads all parts: Chroma reads its graph for the first search, the table its ids.

    No text is embedded: while askers use all cores, that would take longer than all the rest.
    """
    with (folder / CHUNKS).open("rb", buffering=0) as file:
        while file.read(_BLOCK):
            pass  # into the page cache, before a question waits for the disk
    retriever = answerer.retriever
    for row in sorted({0, len(retriever) // 2, len(retriever) - 1}) if len(retriever) else []:
        chunk = retriever.chunks[row]
        for vector in retriever.vectors.stored([chunk.id]).values():
            retriever.search(chunk.text[:_LONGEST_SEARCH], vector)
