"""Cut the documents of a snapshot into chunks."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

from ragline import chunking, digests
from ragline.chunking import Chunker, ChunkSize
from ragline.embedding.embedder import load_tokenizer
from ragline.embedding.model import find_model
from ragline.progress import progress
from ragline.tables import ChunkWriter, count_rows, read_documents


@dataclass(frozen=True, slots=True)
class ChunkSet:
    """What chunking made.

    Attributes:
        digest: sha256 over the chunks in order, their sizes and the version of the chunker.
        chunks: how many.
        model_digest: of the embedder whose tokenizer cut them.
    """

    digest: str
    chunks: int
    model_digest: str


def chunk_documents(documents: Path, chunks: Path, *, embedder: str, size: int = 200, overlap: int = 0) -> ChunkSet:
    """Write the chunks of all documents to a table, one document in memory at a time.

    Args:
        documents: Parquet of `ragline.tables.DocumentWriter`.
        chunks: Parquet to write, for `ragline.tables.read_chunks`.
        embedder: whose tokenizer counts, and whose longest input is the limit.
        size: most tokens of a chunk's text.
        overlap: most tokens repeated from the chunk before.

    Raises:
        ModelError: there is no such embedder.
        SettingError: the sizes do not fit it.
    """
    model = find_model(embedder)
    chunk_size = ChunkSize(text=size, overlap=overlap, whole=model.max_tokens)
    chunker = Chunker(load_tokenizer(model), chunk_size)
    digest = hashlib.sha256(digests.of_json([chunking.VERSION, asdict(chunk_size)]).encode())
    count = 0
    with ChunkWriter(chunks) as writer, progress("chunk", total=count_rows(documents), unit="documents") as step:
        for document in read_documents(documents):
            for chunk in chunker.chunks(document):
                writer.write(chunk)
                digest.update(f"{chunk.id}{chunk.digest}".encode())
                count += 1
            step.advance()
    return ChunkSet(digest.hexdigest(), count, model.digest)
