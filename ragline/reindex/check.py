"""Check an index before it goes live, and calibrate what it takes for relevant."""

import json
import logging
from functools import cache
from pathlib import Path

import numpy as np

from ragline.calibration import Calibration, calibrate
from ragline.chunk_table import ChunkTable
from ragline.embedding.embedder import Embedder
from ragline.embedding.model import require_model
from ragline.errors import GateError
from ragline.everyday_questions import question_vectors
from ragline.object_store import open_store
from ragline.reindex.golden import check_golden
from ragline.release import ADDED, CHUNKS, EXACT, Index
from ragline.retrieval import Retriever
from ragline.vector_store import VectorStore, unlike
from ragline.vectors import Vectors

_log = logging.getLogger(__name__)

LEAST_RECALL = 0.98
_BATCH = 2000
_SAMPLE = 10_000
_QUERIES = 100
_NEAREST = 10


def check_index(
    index: Path,
    checks: Path,
    *,
    store_uri: str,
    name: str,
    embedder: str,
    model_digest: str,
    base: str = "",
    questions_uri: str = "",
    max_drop: float = 0.02,
) -> None:
    """Prove that an index is whole and finds what exact search finds; write the measures as JSON.

    Args:
        index: folder of `build_index`.
        checks: JSON file to write: `checks` and `calibration`, as a manifest holds them.
        store_uri: where vectors and releases are.
        name: of the index.
        embedder: name of the model.
        model_digest: of the model.
        base: the release that the vector index was changed from, of which a sample is enough beside what was added:
            all of it was compared before it was published; "" if it was built from nothing.
        questions_uri: golden questions (file or s3:// object); "" for none.
        max_drop: how far their scores may fall below the current release's.

    Raises:
        GateError: a check failed.
        ModelError: the embedder is not the one that the run was planned for.
    """
    store = open_store(store_uri)
    model = cache(lambda: Embedder(require_model(embedder, model_digest)))  # often nothing is left to embed
    with Retriever(index) as retriever:
        measures: dict[str, float] = _check_whole(index, retriever, base)
        vectors = question_vectors(Vectors(store, model_digest), lambda texts: model().embed(texts))
        calibration = calibrate(retriever, vectors)
        if questions_uri:
            measures |= check_golden(retriever, calibration, Index(store, name), model(), questions_uri, max_drop)
    _log_measures(measures, calibration)
    text = json.dumps({"checks": measures, "calibration": calibration.to_dict()})
    checks.write_text(text, encoding="utf-8")


def _check_whole(index: Path, retriever: Retriever, base: str) -> dict[str, float]:
    vectors = np.load(index / EXACT, mmap_mode="r")
    with ChunkTable(index / CHUNKS) as chunks:
        ids = chunks.ids()
    _check_counts(len(ids), retriever)
    _check_vectors(ids, vectors, retriever.vectors, _compared(index, len(ids)) if base else np.arange(len(ids)))
    recall = _recall(ids, vectors, retriever.vectors)
    if recall < LEAST_RECALL:
        raise GateError(
            f"recall@10 of the vector index is {recall:.3f}, at least {LEAST_RECALL} is needed; not published"
        )
    return {"chunks": len(ids), "recall@10": round(recall, 4)}


def _compared(index: Path, chunks: int) -> np.ndarray:
    """Return the rows to compare of an index that was changed: what was added, and a sample."""
    sample = np.random.default_rng(0).permutation(chunks)[:_SAMPLE]
    return np.union1d(sample, np.load(index / ADDED))


def _log_measures(measures: dict[str, float], calibration: Calibration) -> None:
    shown = ", ".join(f"{key} {value:g}" for key, value in measures.items())
    _log.info("checks: %s, relevant from %.3f", shown, calibration.threshold)


def _check_counts(chunks: int, retriever: Retriever) -> None:
    counts = {"chunks": chunks, "vectors": len(retriever.vectors), "lexical entries": len(retriever.lexical)}
    if len(set(counts.values())) > 1:
        raise GateError(f"the parts of the index differ in size: {counts}; not published, run it again")


def _check_vectors(ids: list[str], vectors: np.ndarray, store: VectorStore, rows: np.ndarray) -> None:
    """Compare the stored vectors of some rows with those that they should be."""
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        wrong = unlike(store, [ids[row] for row in batch], vectors[batch])
        if wrong:
            raise GateError(
                f"{len(wrong)} chunks have no or a wrong vector, {wrong[0]} first; not published, run it again"
            )


def _recall(ids: list[str], vectors: np.ndarray, store: VectorStore) -> float:
    """Return recall@10 against exact search, for queries near stored vectors (equal scores count as found)."""
    nearest = min(_NEAREST, len(vectors))
    generator = np.random.default_rng(0)
    rows = generator.choice(len(vectors), min(_QUERIES, len(vectors)), replace=False)
    noise = generator.normal(scale=0.5 / np.sqrt(vectors.shape[1]), size=(len(rows), vectors.shape[1]))
    queries = (vectors[np.sort(rows)] + noise).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    least, places = _nearest_scores(queries, vectors, nearest) - 1e-6, {key: row for row, key in enumerate(ids)}
    found = 0
    for query, lowest, hits in zip(queries, least, store.search_all(queries, nearest), strict=True):
        found += int(np.sum(vectors[[places[key] for key in hits]] @ query >= lowest))
    return found / (nearest * len(queries))


def _nearest_scores(queries: np.ndarray, vectors: np.ndarray, nearest: int) -> np.ndarray:
    """Return, per query, the `nearest`-th highest cosine over all vectors, a block of them in memory at a time."""
    best = np.full((len(queries), nearest), -np.inf, dtype=np.float32)
    for start in range(0, len(vectors), 8192):
        scores = queries @ vectors[start : start + 8192].T
        best = np.partition(np.hstack([best, scores]), -nearest, axis=1)[:, -nearest:]
    return np.asarray(best.min(axis=1))
