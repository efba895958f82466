"""The corpora that the benchmarks run on, made from the data folder beside the checkout.

    python -m benchmarks.corpora documents documentation OUT      # a folder to index: 500 files
    python -m benchmarks.corpora documents scifact OUT            # one JSON Lines file: 5,183 abstracts
    python -m benchmarks.corpora beir qa-wiki OUT                 # a retrieval set in the BEIR layout

`--data` names the folder; nothing of it is kept in the repository.
"""

import argparse
import gzip
import json
import shutil
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

DATA = Path("../shared/data")
DOCUMENTATION = {
    "determined": "docs-determined/snapshot-2024-05-31",
    "kubeflow": "docs-kubeflow/snapshot-2025-08-29",
    "sqlite": "docs-sqlite-html/pages",
}
CORPORA = ("documentation", "scifact")
QUESTION_SETS = {"qa-wiki": "qa-wiki"} | {f"qa-{code}": f"qa-multilingual/{code}" for code in ("en", "de", "ar", "zh")}
BEIR_SETS = (*QUESTION_SETS, "scifact")


def write_documents(name: str, out: Path, data: Path = DATA, *, limit: int = 0) -> int:
    """Write the documents of a corpus as they would be given to ragline.

    Args:
        name: one of `CORPORA`.
        out: folder to create.
        data: the data folder.
        limit: take about this many documents, evenly over the corpus; 0 takes all.

    Returns:
        The number of documents written.
    """
    if name == "documentation":
        return _write_documentation(out, data, limit)
    rows = _spread(list(_abstracts(data)), limit)
    _write_lines(out / "corpus.jsonl", rows)
    return len(rows)


def _write_documentation(out: Path, data: Path, limit: int) -> int:
    files = [
        (path, out / part / path.relative_to(data / folder))
        for part, folder in DOCUMENTATION.items()
        for path in sorted((data / folder).rglob("*"))
        if path.is_file()
    ]
    chosen = _spread(files, limit)
    for source, target in chosen:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return len(chosen)


def write_texts(documents: Path, out: Path) -> int:
    """Write the plain text of each document below a folder, as JSON Lines of `{"source", "text"}`, for the peers.

    Decoding and stripping is done here, outside their clock: the peers get for nothing what ragline pays for.
    Titles of JSON rows stand before the text, as in the BEIR benchmark.
    """
    rows = [row for path in sorted(documents.rglob("*")) if path.is_file() for row in _texts(path, documents)]
    _write_lines(out, rows)
    return len(rows)


def _texts(path: Path, root: Path) -> Iterator[dict[str, str]]:
    source = path.relative_to(root).as_posix()
    if path.suffix == ".jsonl":
        for row in _read_lines(path):
            yield {"source": f"{source}#{row['_id']}", "text": f"{row['title']}\n\n{row['text']}".strip()}
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    yield {"source": source, "text": _strip_markup(text) if path.suffix == ".html" else text}


class _Stripper(HTMLParser):
    """Collects the text of a page, without scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - the name of the base class
        self._silent += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(data)


def _strip_markup(html: str) -> str:
    stripper = _Stripper()
    stripper.feed(html)
    return "\n".join(line for line in map(str.strip, "".join(stripper.parts).splitlines()) if line)


def write_beir(name: str, out: Path, data: Path = DATA) -> int:
    """Write a retrieval set in the BEIR layout.

    Question sets become one: every passage is a document, every answerable question a query, and its gold passage the
    only judgment (split `test`). SciFact keeps its splits, `train` and `test`.

    Args:
        name: one of `BEIR_SETS`.
        out: folder to create.
        data: the data folder.

    Returns:
        The number of queries written.
    """
    if name == "scifact":
        return _write_scifact(out, data)
    source = data / QUESTION_SETS[name]
    questions = [row for row in _read_lines(source / "questions.jsonl") if row["answerable"]]
    passages = _read_lines(source / "passages.jsonl")
    _write_lines(out / "corpus.jsonl", ({"_id": p["passage_id"], "title": "", "text": p["text"]} for p in passages))
    _write_lines(out / "queries.jsonl", ({"_id": row["id"], "text": row["question"]} for row in questions))
    judgments = "".join(f"{row['id']}\t{row['passage_id']}\t1\n" for row in questions)
    (out / "qrels").mkdir(parents=True, exist_ok=True)
    (out / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judgments}", encoding="utf-8")
    return len(questions)


def _write_scifact(out: Path, data: Path) -> int:
    source = data / "retrieval-scifact"
    (out / "qrels").mkdir(parents=True, exist_ok=True)
    _write_lines(out / "corpus.jsonl", _abstracts(data))
    for name in ("queries.jsonl", "qrels/test.tsv", "qrels/train.tsv"):
        shutil.copyfile(source / name, out / name)
    return len(_read_lines(out / "queries.jsonl"))


def _abstracts(data: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(data / "retrieval-scifact" / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _spread(items: list[Any], limit: int) -> list[Any]:
    step = max(1, len(items) // limit) if limit else 1
    return items[::step]


def _read_lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def main() -> None:
    """Write the corpus named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corpora", description="Write a benchmark corpus.")
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind, names in (("documents", CORPORA), ("beir", BEIR_SETS)):
        command = kinds.add_parser(kind)
        command.add_argument("name", choices=names)
        command.add_argument("out", type=Path)
        command.add_argument("--data", type=Path, default=DATA, help="data folder (default: %(default)s)")
    arguments = parser.parse_args()
    write, unit = (write_documents, "documents") if arguments.kind == "documents" else (write_beir, "queries")
    count = write(arguments.name, arguments.out, arguments.data)
    print(json.dumps({"name": arguments.name, "out": str(arguments.out), unit: count}))


if __name__ == "__main__":
    main()
