"""Check an index before it goes live, and calibrate what it takes for relevant."""

import json
import logging
from pathlib import Path

import numpy as np
import pyarrow as pa

from ragline.calibration import calibrate
from ragline.embedding.embedder import Embedder
from ragline.errors import GateError
from ragline.reindex.build import EXACT
from ragline.release import CHUNKS
from ragline.retrieval import Retriever
from ragline.vector_store import VectorStore

_log = logging.getLogger(__name__)

LEAST_RECALL = 0.98
_BATCH = 1000
_QUERIES = 100


def check_index(index: Path, checks: Path, *, embedder: str) -> None:
    """Prove that an index is whole and finds what exact search finds; write the measures as JSON.

    Args:
        index: folder of `build_index`.
        checks: JSON file to write: `checks` and `calibration`, as a manifest holds them.
        embedder: name of the model.

    Raises:
        GateError: a check failed.
    """
    vectors = np.load(index / EXACT, mmap_mode="r")
    with pa.memory_map(str(index / CHUNKS)) as file, Retriever(index) as retriever:
        ids = pa.ipc.open_file(file).read_all()["id"].to_pylist()
        _check_counts(len(ids), retriever)
        _check_vectors(ids, vectors, retriever.vectors)
        recall = _recall(vectors, retriever.vectors)
        calibration = calibrate(retriever, Embedder.named(embedder))
    if recall < LEAST_RECALL:
        raise GateError(
            f"recall@10 of the vector index is {recall:.3f}, at least {LEAST_RECALL} is needed; not published"
        )
    _log.info("checks: %d chunks whole, recall@10 %.4f, relevant from %.3f", len(ids), recall, calibration.threshold)
    measures = {"checks": {"chunks": len(ids), "recall@10": round(recall, 4)}, "calibration": calibration.to_dict()}
    checks.write_text(json.dumps(measures), encoding="utf-8")


def _check_counts(chunks: int, retriever: Retriever) -> None:
    counts = {"chunks": chunks, "vectors": len(retriever.vectors), "lexical entries": len(retriever.lexical)}
    if len(set(counts.values())) > 1:
        raise GateError(f"the parts of the index differ in size: {counts}; not published, run it again")


def _check_vectors(ids: list[str], vectors: np.ndarray, store: VectorStore) -> None:
    for start in range(0, len(ids), _BATCH):
        batch = ids[start : start + _BATCH]
        stored = store.stored(batch)
        wrong = [
            key
            for row, key in enumerate(batch, start=start)
            if key not in stored or float(stored[key] @ vectors[row]) < 1 - 1e-5
        ]
        if wrong:
            raise GateError(
                f"{len(wrong)} chunks have no or a wrong vector, {wrong[0]} first; not published, run it again"
            )


def _recall(vectors: np.ndarray, store: VectorStore) -> float:
    """Return recall@10 against exact search, for queries near stored vectors (equal scores count as found)."""
    generator = np.random.default_rng(0)
    rows = generator.choice(len(vectors), min(_QUERIES, len(vectors)), replace=False)
    noise = generator.normal(scale=0.5 / np.sqrt(vectors.shape[1]), size=(len(rows), vectors.shape[1]))
    queries = (vectors[np.sort(rows)] + noise).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    nearest = min(10, len(vectors))
    found = 0
    for query in queries:
        scores = vectors @ query
        least = np.partition(scores, -nearest)[-nearest] - 1e-6
        found += sum(scores[row] >= least for row in store.search(query, nearest))
    return found / (nearest * len(queries))
