"""Say what a run will do before it does it: which documents changed, how much is to embed, in how many shards."""

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ragline.errors import NoReleaseError
from ragline.object_store import open_store
from ragline.release import Index
from ragline.tables import read_rows
from ragline.vectors import Shard, Vectors

_log = logging.getLogger(__name__)

TEXTS_PER_SHARD = 20_000
"""About half an hour of one CPU core; more shards than that only pay where pods are free."""


@dataclass(frozen=True, slots=True)
class Changes:
    """How the documents differ from those of the current release, by document id.

    Attributes:
        moved: pairs of old and new id of documents whose bytes are the same.
    """

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    moved: tuple[tuple[str, str], ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do.

    Attributes:
        previous: the current release, "" if there is none.
        embed: number of distinct texts that have no vector yet.
        shards: names of the parts into which embedding is cut, at least one.
    """

    previous: str
    changes: Changes
    chunks: int
    embed: int
    shards: tuple[str, ...]


def plan_reindex(
    documents: Path, chunks: Path, plan: Path, *, store_uri: str, name: str, model_digest: str, shards: int = 0
) -> list[str]:
    """Compare a snapshot with the current release, write the plan as JSON, and return the shards to embed.

    Args:
        documents: Parquet of the snapshot.
        chunks: Parquet of its chunks.
        plan: JSON file to write.
        store_uri: where vectors and releases are.
        name: of the index.
        model_digest: of the embedder.
        shards: how many parts may be embedded at once; 0 lets the plan choose.
    """
    store = open_store(store_uri)
    store.check(write=True)
    previous, before = _previous(Index(store, name))
    after = {row["id"]: row["digest"] for row in read_rows(documents, ["id", "digest"])}
    texts = {row["digest"] for row in read_rows(chunks, ["digest"])}
    missing = len(texts - Vectors(store, model_digest).known(Shard()))
    count = shards or max(1, -(-missing // TEXTS_PER_SHARD))
    made = Plan(
        previous=previous,
        changes=compare(before, after),
        chunks=sum(1 for _ in read_rows(chunks, ["tokens"])),
        embed=missing,
        shards=tuple(map(str, Shard.split(min(count, 256)))),
    )
    plan.write_text(json.dumps(asdict(made), ensure_ascii=False), encoding="utf-8")
    _log.info("%s", describe(made))
    return list(made.shards)


def read_plan(path: Path) -> Plan:
    """Read what `plan_reindex` wrote."""
    value = json.loads(path.read_text(encoding="utf-8"))
    changes = value["changes"]
    return Plan(
        previous=value["previous"],
        changes=Changes(
            added=tuple(changes["added"]),
            changed=tuple(changes["changed"]),
            moved=tuple((old, new) for old, new in changes["moved"]),
            removed=tuple(changes["removed"]),
            unchanged=changes["unchanged"],
        ),
        chunks=value["chunks"],
        embed=value["embed"],
        shards=tuple(value["shards"]),
    )


def compare(before: Mapping[str, str], after: Mapping[str, str]) -> Changes:
    """Return how documents changed, given id to digest before and after.

    A new id whose bytes stood under an id that is gone was moved; of several equal ones, each old id
    is taken once, in order.
    """
    gone = [key for key in before if key not in after]
    new = [key for key in after if key not in before]
    by_digest = _by_digest(gone, before)
    moved = tuple((by_digest[after[key]].pop(0), key) for key in new if by_digest.get(after[key]))
    left, arrived = {old for old, _ in moved}, {key for _, key in moved}
    changed = tuple(key for key in after if key in before and after[key] != before[key])
    return Changes(
        added=tuple(key for key in new if key not in arrived),
        changed=changed,
        moved=moved,
        removed=tuple(key for key in gone if key not in left),
        unchanged=len(after) - len(new) - len(changed),
    )


def describe(plan: Plan) -> str:
    """Return the plan in one line."""
    changes = plan.changes
    return (
        f"plan: {len(changes.added)} documents added, {len(changes.changed)} changed, {len(changes.moved)} moved, "
        f"{len(changes.removed)} removed, {changes.unchanged} unchanged; {plan.embed} of {plan.chunks} chunks to embed"
    )


def _previous(index: Index) -> tuple[str, dict[str, str]]:
    try:
        manifest = index.current()
    except NoReleaseError:
        return "", {}
    return manifest.release, index.documents(manifest)


def _by_digest(keys: Iterable[str], digests: Mapping[str, str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        groups[digests[key]].append(key)
    return groups
