"""What an index is made from: this names its release."""

from dataclasses import dataclass

from ragline import digests
from ragline.reindex.chunk import digest_of_chunker
from ragline.release import INDEX_VERSION


@dataclass(frozen=True, slots=True)
class Origin:
    """What an index was made from.

    Attributes:
        corpus: digest of the snapshot.
        chunks: digest of the chunks.
        model: digest of the embedder.
        size: chunk size in tokens.
        overlap: chunk overlap in tokens.
        documents_uri: where the documents were.
        embedder: the embedder's name.
    """

    corpus: str
    chunks: str
    model: str
    size: int
    overlap: int
    documents_uri: str
    embedder: str

    @property
    def digest(self) -> str:
        """Digest of the index: equal for equal documents, chunks and model, on any machine."""
        return digests.of_json([INDEX_VERSION, self.corpus, self.chunks, self.model])

    @property
    def release(self) -> str:
        """Name of the release."""
        return self.digest[:16]

    @property
    def digests(self) -> dict[str, str]:
        """The digests of a manifest."""
        return {
            "index": self.digest,
            "corpus": self.corpus,
            "chunker": digest_of_chunker(self.model, self.size, self.overlap),
            "chunks": self.chunks,
            "model": self.model,
        }
