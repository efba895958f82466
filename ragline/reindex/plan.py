"""Say what a run will do before it does it: which documents changed, how much is to embed, about how long it takes."""

import json
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from ragline.embedding.model import require_model
from ragline.errors import DamagedReleaseError, GateError, NoReleaseError
from ragline.object_store import open_store
from ragline.registry.registered_model import is_reference
from ragline.reindex.changes import Changes, compare
from ragline.reindex.duration import expected_seconds, readable_seconds
from ragline.reindex.origin import Origin
from ragline.release import Index, Manifest
from ragline.tables import count_rows, read_rows
from ragline.vectors import Shard, Vectors

_log = logging.getLogger(__name__)

TEXTS_PER_SHARD = 20_000
"""About half an hour of one CPU core; more shards than that only pay where pods are free."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do.

    Attributes:
        origin: what the release is made from.
        previous: the current release, "" if there is none.
        pointer: digest of the pointer that it was planned against; the run may only replace that one.
        changes: of the documents since the current release.
        chunks: how many the release has.
        embed: number of distinct texts that have no vector yet.
        tokens: length of those texts together.
        seconds: about how long the run takes from here.
        shards: names of the parts into which embedding is cut, at least one.
        rebuild: make the release anew, from nothing, though it is there.
    """

    origin: Origin
    previous: str
    pointer: str
    changes: Changes
    chunks: int
    embed: int
    tokens: int
    seconds: float
    shards: tuple[str, ...]
    rebuild: bool = False

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return self.rebuild or self.origin.release != self.previous

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `plan_reindex` wrote."""
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        origin, changes = Origin(**value.pop("origin")), Changes.of(value.pop("changes"))
        return cls(**{**value, "shards": tuple(value["shards"])}, origin=origin, changes=changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON holds it."""
        return asdict(self)

    def __str__(self) -> str:
        counts = ", ".join(
            f"{count} documents {kind}" if kind == "added" else f"{count} {kind}"
            for kind, count in self.changes.counts().items()
        )
        rest = f"about {readable_seconds(self.seconds)}" if self.changed else "nothing to do"
        return f"plan: {counts}; {self.embed} of {self.chunks} chunks to embed; {rest}"


def plan_reindex(
    documents: Path,
    chunks: Path,
    plan: Path,
    *,
    store_uri: str,
    name: str,
    origin: Origin,
    shards: int = 0,
    max_shrink: float = 0.5,
    rebuild: bool = False,
) -> Plan:
    """Compare a snapshot with the current release, write the plan as JSON, and return it.

    Args:
        documents: Parquet of the snapshot.
        chunks: Parquet of its chunks.
        plan: JSON file to write.
        store_uri: where vectors and releases are.
        name: of the index.
        origin: what the release is made from.
        shards: how many parts may be embedded at once; 0 lets the plan choose.
        max_shrink: largest share of its documents that the index may lose.
        rebuild: make the release anew though it is there: it is damaged.

    Raises:
        GateError: the index would lose more.
        ModelError: a registered embedder is not the one that the chunks were cut for.
    """
    origin = _pinned(origin)
    store = open_store(store_uri)
    index = Index(store, name)
    pointer = index.pointer_digest()
    previous, before = _current(index, rebuild=rebuild)
    after = {row["id"]: row["digest"] for row in read_rows(documents, ["id", "digest"])}
    changes = compare(before, after)
    if previous:
        check_shrink(changes, previous, origin.documents_uri, max_shrink)
    tokens = {row["digest"]: row["tokens"] for row in read_rows(chunks, ["digest", "tokens"])}
    missing = tokens.keys() - Vectors(store, origin.model).known(Shard())
    to_embed = sum(tokens[key] for key in missing)
    made = Plan(
        origin=origin,
        previous=previous.release if previous else "",
        pointer=pointer,
        changes=changes,
        chunks=count_rows(chunks),
        embed=len(missing),
        tokens=to_embed,
        seconds=expected_seconds(index, to_embed, count_rows(chunks)),
        shards=tuple(map(str, Shard.split(min(shards or max(1, -(-len(missing) // TEXTS_PER_SHARD)), 256)))),
        rebuild=rebuild,
    )
    plan.write_text(json.dumps(made.to_dict(), ensure_ascii=False), encoding="utf-8")
    _log.info("%s", made)
    return made


def _pinned(origin: Origin) -> Origin:
    """Name the version of a registered model, which stays what it is, and not its alias, which moves."""
    if not is_reference(origin.embedder):
        return origin
    return replace(origin, embedder=require_model(origin.embedder, origin.model).name)


def check_shrink(changes: Changes, previous: Manifest, documents_uri: str, max_shrink: float) -> None:
    """Refuse an index that is left with far fewer documents: more often it is the source that broke.

    What is removed counts less what is added, so that a corpus may be reorganised; and an index that is pointed at
    another place with none of the same documents is meant.

    Raises:
        GateError: too many documents are gone.
    """
    before, removed = changes.before, changes.removed
    lost = len(removed) - len(changes.added)
    elsewhere = documents_uri != previous.documents_uri and len(removed) == before
    if lost > max_shrink * before and not elsewhere:
        raise GateError(
            f"{documents_uri!r} has {before - lost} documents, {lost} fewer than the {before} before ({removed[0]!r} "
            f"is gone), more than the allowed share of {max_shrink:g}; release {previous.release} serves on. "
            "If they were meant to go, run again with --allow-shrink (max_shrink = 1 in the pipeline)"
        )


def _current(index: Index, *, rebuild: bool) -> tuple[Manifest | None, dict[str, str]]:
    """Return the current release and its documents; a damaged one counts as none if it is to be made anew."""
    try:
        manifest = index.current()
        return manifest, index.documents(manifest)
    except NoReleaseError:
        return None, {}
    except DamagedReleaseError:
        if rebuild:
            return None, {}
        raise
