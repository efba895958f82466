"""How fast text becomes chunks, beside the bare tokenisation of the same text, which bounds it.

    python -m benchmarks.chunk_speed

Both run in one process, in turns, on the documentation corpus (three markups), with the embedded default's tokenizer
and its offsets. The best round of each counts, in CPU seconds: other load on the machine only slows a round down.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import corpora
from ragline.chunking import Chunker, ChunkSize, Tokenizer
from ragline.documents import Document, Loaded
from ragline.embedding.embedder import load_tokenizer
from ragline.embedding.model import DEFAULT, find_model
from ragline.errors import Unreadable
from ragline.loaders import load


def read_documents(data: Path) -> list[Document]:
    """Return the documentation corpus, loaded."""
    folders = [data / folder for folder in corpora.DOCUMENTATION.values()]
    paths = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    return [document for path in paths for document in _loaded(path)]


def _loaded(path: Path) -> list[Document]:
    try:
        contents = [item for item in load(path.name, path.read_bytes()) if isinstance(item, Loaded)]
    except Unreadable:
        return []
    return [Document(str(path), "", content) for content in contents]


def chunk(chunker: Chunker, documents: list[Document]) -> int:
    """Cut all documents; return the number of chunks."""
    return sum(1 for document in documents for _ in chunker.chunks(document))


def tokenise(tokenizer: Tokenizer, documents: list[Document]) -> int:
    """Tokenise all documents, with offsets; return the number of tokens."""
    encodings = (tokenizer.encode(document.content.text, add_special_tokens=False) for document in documents)
    return sum(len(encoding.offsets) for encoding in encodings)


def _seconds(work: Callable[[], int]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=corpora.DATA, help="folder with evaluation data")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    documents = read_documents(options.data)
    megabytes = sum(len(document.content.text.encode()) for document in documents) / 1e6
    model = find_model(DEFAULT)
    tokenizer = load_tokenizer(model)
    chunker = Chunker(tokenizer, ChunkSize(whole=model.max_tokens))
    works: dict[str, Callable[[], int]] = {
        "chunker": lambda: chunk(chunker, documents),
        "tokenisation": lambda: tokenise(tokenizer, documents),
    }
    rounds = [{name: _seconds(work) for name, work in works.items()} for _ in range(options.rounds)]
    best = {name: min(seconds[name] for seconds in rounds) for name in works}
    print(f"{len(documents):,} documents, {megabytes:.2f} MB of text, {chunk(chunker, documents):,} chunks")
    for name, seconds in best.items():
        print(f"  {name:<14}{megabytes / seconds:6.2f} MB per CPU second")
    speeds = {name: round(megabytes / seconds, 3) for name, seconds in best.items()}
    print(json.dumps(speeds | {"ratio": round(best["tokenisation"] / best["chunker"], 3)}))


if __name__ == "__main__":
    main()
