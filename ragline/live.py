"""The current release of an index, held open by a service and exchanged while questions are answered.

A thread looks at the pointer every few seconds. When it has moved, the thread fetches and verifies the release into
a folder of its own, opens and warms it, and exchanges one reference; questions in flight finish on the release on
which they began. Whatever goes wrong meanwhile, what is served stays, and `LiveIndex.status` says what and since when.
"""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from ragline.answering import Answerer
from ragline.embedding.embedder import Embedder
from ragline.errors import NoReleaseError, RaglineError, StoreError
from ragline.object_store import open_store
from ragline.release import Index, Manifest, now
from ragline.served import MARK_SECONDS, mark_served, withdraw_mark
from ragline.serving import load_answerer, open_embedder

_log = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between two looks at the pointer."""

_LONGEST_WAIT = 60.0
_WARMING = ["What is this about?", "How do I start?"]


@dataclass(frozen=True, slots=True)
class Status:
    """What a service can say of its index.

    Attributes:
        release: that is served; "" before the first one is loaded.
        model: digest of its embedder.
        since: when it was exchanged for the one before (ISO 8601, UTC).
        problem: why the newest release is not served, or "" if it is; names what to do.
        problem_since: when that began.
        swaps: how often a release was exchanged.
        swap_seconds: how long the last one took, from seeing the pointer to serving.
        draining: releases that questions in flight still use.
    """

    release: str = ""
    model: str = ""
    since: str = ""
    problem: str = ""
    problem_since: str = ""
    swaps: int = 0
    swap_seconds: float = 0.0
    draining: int = 0

    @property
    def ready(self) -> bool:
        """Whether questions can be answered."""
        return bool(self.release)


class LiveIndex:
    """Answers from the current release of an index, whichever that is; safe to share between threads.

    Example:
        >>> with LiveIndex(store_uri, "default", cache) as live:  # doctest: +SKIP
        ...     live.wait(60)
        ...     with live.answerer() as answerer:
        ...         answerer.ask("How do I ...?")
    """

    def __init__(self, store_uri: str, name: str, cache: Path, *, interval: float = INTERVAL) -> None:
        """Begin to load the current release, and to watch the pointer.

        Args:
            store_uri: where the releases are.
            name: of the index.
            cache: folder for local copies.
            interval: seconds between two looks.
        """
        self._index = Index(open_store(store_uri), name)
        self._cache = cache
        self._interval = interval
        self._service = f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}".replace("_", "-")
        self._held: _Held | None = None
        self._draining: list[_Held] = []
        self._status = Status()
        self._change = threading.Condition()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"live-{name}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching, and close the release when the questions in flight are answered."""
        self._closing.set()
        self._thread.join()
        with self._change:
            held, self._held = self._held, None
        if held:
            held.retire()

    def status(self) -> Status:
        """Return what is served, and what stands against serving the newest release."""
        with self._change:
            self._draining = [held for held in self._draining if held.users]
            return replace(self._status, draining=len(self._draining))

    def wait(self, seconds: float) -> bool:
        """Wait until questions can be answered; tell whether they can."""
        with self._change:
            return self._change.wait_for(lambda: self._status.ready, seconds)

    @contextmanager
    def answerer(self) -> Iterator[Answerer]:
        """Give the current release; it stays open while the block runs, though another goes live.

        Raises:
            NoReleaseError: none is loaded yet.
        """
        with self._change:
            held, problem = self._held, self._status.problem
            if held is None:
                raise NoReleaseError(problem or f"index {self._index.name!r} is being loaded; ask again in a moment")
            held.enter()
        try:
            yield held.answerer
        finally:
            held.leave()

    def _watch(self) -> None:
        marks, refused, wait = _Marks(self._index, self._service), _Refused(), 0.0
        while not self._closing.wait(wait):
            wait, pointer = self._interval, ""
            try:
                pointer = self._index.pointer_digest()
                if refused.holds(pointer):
                    continue
                self._follow()
                self._tell_problem("")
                marks.renew(self._held)
            except StoreError as exc:  # no answer: nothing is known of the release
                self._tell_problem(str(exc))
            except (RaglineError, OSError) as exc:
                refused = _Refused(pointer, time.monotonic() + _LONGEST_WAIT)
                self._tell_problem(str(exc))
        marks.withdraw()

    def _follow(self) -> None:
        """Serve the release that the pointer names."""
        release = self._index.pointer().release
        if self._held and self._held.answerer.release == release:
            return
        begun = time.monotonic()
        manifest = self._index.manifest(release)
        folder = self._index.fetch(manifest, self._cache)
        answerer = load_answerer(manifest, folder, self._embedder(manifest))
        for question, vector in zip(_WARMING, answerer.embedder.embed(_WARMING), strict=True):
            answerer.retriever.search(question, vector)  # Chroma loads its graph with the first search
        self._exchange(_Held(answerer), manifest, time.monotonic() - begun)

    def _embedder(self, manifest: Manifest) -> Embedder:
        """Return the embedder of a release: the one that is loaded, if it is the same model."""
        loaded = self._held.answerer.embedder if self._held else None
        if loaded and loaded.model.digest == manifest.digests["model"]:
            return loaded
        return open_embedder(manifest)

    def _exchange(self, held: "_Held", manifest: Manifest, seconds: float) -> None:
        with self._change:
            before, self._held = self._held, held
            if before:
                self._draining.append(before)
            self._status = Status(
                release=manifest.release,
                model=manifest.digests["model"],
                since=now(),
                swaps=self._status.swaps + bool(before),
                swap_seconds=round(seconds, 3),
            )
            self._change.notify_all()
        if before:
            before.retire()
        _log.info("release %s of index %s is served, after %.1f s", manifest.release, self._index.name, seconds)

    def _tell_problem(self, problem: str) -> None:
        with self._change:
            if problem and not self._status.problem:
                _log.warning("index %s: release %r stays: %s", self._index.name, self._status.release, problem)
            since = (self._status.problem_since or now()) if problem else ""
            self._status = replace(self._status, problem=problem, problem_since=since)


@dataclass(frozen=True, slots=True)
class _Refused:
    """A pointer whose release could not be served: not tried again at once, for each try may fetch all of it."""

    pointer: str = ""
    until: float = 0.0

    def holds(self, pointer: str) -> bool:
        return bool(pointer) and pointer == self.pointer and time.monotonic() < self.until


class _Held:
    """A release that is open, and how many use it; closed by the last of them after it was retired."""

    def __init__(self, answerer: Answerer) -> None:
        self.answerer = answerer
        self.users = 0
        self._retired = False
        self._lock = threading.Lock()

    def enter(self) -> None:
        with self._lock:
            self.users += 1

    def leave(self) -> None:
        with self._lock:
            self.users -= 1
            last = self._retired and not self.users
        if last:
            self.answerer.retriever.close()

    def retire(self) -> None:
        with self._lock:
            self._retired = True
            unused = not self.users
        if unused:
            self.answerer.retriever.close()


class _Marks:
    """Tells `ragline gc` which release is served; who may only read the store serves without."""

    def __init__(self, index: Index, service: str) -> None:
        self._index = index
        self._service = service
        self._marked = ("", 0.0)
        self._allowed = True

    def renew(self, held: _Held | None) -> None:
        release = held.answerer.release if held else ""
        marked, at = self._marked
        if not release or not self._allowed or (release == marked and time.monotonic() - at < MARK_SECONDS / 3):
            return
        try:
            mark_served(self._index.store, self._index.name, self._service, release)
            self._marked = (release, time.monotonic())
        except StoreError as exc:
            self._allowed = False
            _log.warning("gc cannot know that release %s is served: %s", release, exc)

    def withdraw(self) -> None:
        with suppress(StoreError):
            if self._marked[0]:
                withdraw_mark(self._index.store, self._index.name, self._service)
