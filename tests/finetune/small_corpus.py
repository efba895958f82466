"""A small made-up documentation, snapshotted and cut, for the tests of training pairs."""

import random
from dataclasses import dataclass
from pathlib import Path

from ragline.reindex.chunk import chunk_documents
from ragline.reindex.snapshot import snapshot_documents
from ragline.tables import ChunkWriter, DocumentWriter, read_chunks, read_documents

THINGS = (
    "harbour lantern orchard bakery telescope violin glacier printer beehive tannery windmill ferry "
    "kiln sundial aqueduct foundry"
).split()
_WORDS = (
    "amber bolt copper drift ember flint gravel hinge ivory jasper kettle ledger marble needle oar pulley quartz "
    "rivet saddle timber urn valve wicker yarn zinc basket candle dial engine furnace glove hammer inlet joint knob "
    "lever mast nail oven paddle rope shovel torch vessel wagon anchor bellows chisel"
).split()


@dataclass(frozen=True, slots=True)
class Corpus:
    """The tables of a corpus."""

    documents: Path
    chunks: Path


def guide(thing: str) -> str:
    """Return a page about a thing, unlike those about others."""
    chance = random.Random(thing)

    def said(count: int) -> str:
        return " ".join(chance.choice(_WORDS) for _ in range(count))

    return f"""# The {thing} guide

A {thing} is a place for the {said(3)} and the {said(4)} of the town. It has the {said(3)} of {said(3)}.
All of that and the {said(4)} is in the {thing} guide for the {said(5)}.

## Open the {thing} gate

To open the gate with the {said(2)}, run the following command in the {said(4)}:

```bash
{thing} open --{chance.choice(_WORDS)} {chance.choice(_WORDS)}
```

The {said(3)} is in the {said(5)} for the {said(2)}. When the {said(2)} is slow, look at the {said(6)}.

## Requirements

The {thing} needs the {said(4)} and a {said(3)} of {said(4)}, as is the {said(2)} with the {said(4)}.

- `{thing}_{chance.choice(_WORDS)}`: The number of {said(3)} at any one time. Defaults to `{chance.randrange(99)}`.
- `{thing}_{chance.choice(_WORDS)}`: Whether the {said(2)} is to be kept by the {said(3)} for the {said(2)}.

## Clean the {said(1)} of the {thing}

Every week the {said(4)} is cleaned with the {said(3)}. In the {said(2)} of the {said(3)} there is a {said(4)}.
You can also wash the {said(2)} of the {said(3)} by turning the {said(3)} to the {said(2)}.

In the {thing} the {said(40)} is for the {said(20)} of the {thing}.

To clean the {thing} the {said(30)} is for the {said(30)} that is cleaned in the {thing}.
"""


def write_corpus(folder: Path, pages: dict[str, str] | None = None) -> Corpus:
    """Snapshot and cut pages by name; without any the guides about all things."""
    source = folder / "pages"
    for name, text in (pages or {f"guides/{thing}.md": guide(thing) for thing in THINGS}).items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text, encoding="utf-8")
    corpus = Corpus(folder / "documents.parquet", folder / "chunks.parquet")
    snapshot_documents(str(source), corpus.documents, folder / "unreadable.jsonl")
    chunk_documents(corpus.documents, corpus.chunks, embedder="all-MiniLM-L6-v2")
    return corpus


def reversed_corpus(corpus: Corpus, folder: Path) -> Corpus:
    """Return the same corpus with its documents in the opposite order."""
    turned = Corpus(folder / "turned-documents.parquet", folder / "turned-chunks.parquet")
    documents = list(read_documents(corpus.documents))[::-1]
    chunks = list(read_chunks(corpus.chunks))
    with DocumentWriter(turned.documents) as writer, ChunkWriter(turned.chunks) as cut:
        for document in documents:
            writer.write(document)
            for chunk in chunks:
                if chunk.document == document.id:
                    cut.write(chunk)
    return turned
