"""The chunks of the current release, to be used again where the documents and the chunker are the same."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import pairwise

import pyarrow as pa

from ragline.chunk_table import ChunkTable
from ragline.errors import ReleaseError, StoreError
from ragline.object_store import open_store
from ragline.release import CHUNKS, Index
from ragline.tables import CHUNKS as SCHEMA

_log = logging.getLogger(__name__)


class EarlierChunks:
    """The chunks of a release by document, as spans of rows."""

    def __init__(self, chunks: pa.Table, digests: Mapping[str, str]) -> None:
        self._chunks = chunks
        self._digests = digests
        self._spans = _spans(chunks["document"].to_pylist())

    def span(self, document: str, digest: str) -> tuple[int, int] | None:
        """Return the first row of a document and the row behind its last; None if there is none with these bytes."""
        return self._spans.get(document, (0, 0)) if self._digests.get(document) == digest else None

    def rows(self, first: int, behind: int) -> pa.Table:
        """Return a span of rows."""
        return self._chunks.slice(first, behind - first)


def _spans(documents: list[str]) -> dict[str, tuple[int, int]]:
    """Return where each document's rows are: they stand together."""
    starts = [row for row, document in enumerate(documents) if not row or document != documents[row - 1]]
    return {documents[first]: (first, behind) for first, behind in pairwise([*starts, len(documents)])}


@contextmanager
def open_earlier(store_uri: str, name: str, chunker_digest: str) -> Iterator[EarlierChunks]:
    """Open the chunks of the current release; there are none without one, or after another chunker.

    A release that cannot be read costs time, not the run: all is cut anew.
    """
    with ExitStack() as stack:
        try:
            earlier = _open(stack, store_uri, name, chunker_digest) if store_uri else None
        except (ReleaseError, StoreError) as exc:
            _log.info("all documents are cut anew: %s", exc)
            earlier = None
        yield earlier or EarlierChunks(SCHEMA.empty_table(), {})


def _open(stack: ExitStack, store_uri: str, name: str, chunker_digest: str) -> EarlierChunks | None:
    index = Index(open_store(store_uri), name)
    manifest = index.current()
    if manifest.digests.get("chunker") != chunker_digest:
        return None
    documents = index.documents(manifest)
    table = stack.enter_context(ChunkTable(stack.enter_context(index.file(manifest, CHUNKS))))
    return EarlierChunks(table.columns, documents)
