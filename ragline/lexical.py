"""A lexical index (BM25) beside the vectors: tantivy, one entry per chunk."""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import cast

import tantivy

from ragline.documents import Chunk

_BODY, _ROW, _ID = "body", "row", "id"
_ANALYZER = "ragline"
_WRITER_BYTES = 64 << 20
_REMEMBERED = 100_000
"""Frequencies of terms that are kept: each call of tantivy lets another thread go first."""


def analyzer() -> tantivy.TextAnalyzer:
    """Return what turns text into terms: words in lower case without accents, English endings cut."""
    return (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(tantivy.Filter.remove_long(64))
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.ascii_fold())
        .filter(tantivy.Filter.stemmer("english"))
        .build()
    )


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field(_ROW, fast=True)
    builder.add_text_field(_BODY, tokenizer_name=_ANALYZER, index_option="freq")
    return builder.build()


def build_lexical(folder: Path, chunks: Iterable[Chunk]) -> int:
    """Write the index of `chunks` to the empty `folder`; return how many there are."""
    index = tantivy.Index(_schema(), path=str(folder))
    index.register_tokenizer(_ANALYZER, analyzer())
    writer = index.writer(_WRITER_BYTES, 1)
    for row, chunk in enumerate(chunks):
        body = "\n".join(part for part in (chunk.title, chunk.section, chunk.text) if part)
        writer.add_document(tantivy.Document(row=row, body=_separate_ideographs(body)))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    return int(index.searcher().num_docs)


class LexicalIndex:
    """Finds chunks by their words.

    Args:
        folder: that `build_lexical` wrote.
        rows: gives the row of each chunk id, for indexes of releases from before rows stood in them.
    """

    def __init__(self, folder: Path, rows: Callable[[], Mapping[str, int]] = dict) -> None:
        self._index = tantivy.Index.open(str(folder))
        self._index.register_tokenizer(_ANALYZER, analyzer())
        self._schema = self._index.schema
        self._searcher = self._index.searcher()
        self._rows_of_ids = rows
        self._frequencies: dict[str, int] = {}

    @cached_property
    def _analyzer(self) -> tantivy.TextAnalyzer:
        return analyzer()

    def __len__(self) -> int:
        return int(self._searcher.num_docs)

    def terms(self, text: str) -> list[str]:
        """Return the distinct terms of `text`, in order."""
        return list(dict.fromkeys(self._analyzer.analyze(_separate_ideographs(text))))

    def document_frequency(self, term: str) -> int:
        """Return the number of chunks that hold `term`."""
        if term not in self._frequencies:
            if len(self._frequencies) >= _REMEMBERED:
                self._frequencies.clear()
            self._frequencies[term] = int(self._searcher.doc_freq(_BODY, term))
        return self._frequencies[term]

    def search(self, text: str, limit: int) -> dict[int, float]:
        """Return the BM25 scores of the `limit` best chunks by row, best first; any word of `text` may match."""
        terms = self.terms(text)
        if not terms:
            return {}
        query = tantivy.Query.boolean_query(
            [(tantivy.Occur.Should, tantivy.Query.term_query(self._schema, _BODY, term)) for term in terms]
        )
        hits = self._searcher.search(query, limit, count=False).hits
        rows = self._rows([address for _, address in hits])
        return {row: float(score) for row, (score, _) in zip(rows, hits, strict=True)}

    def _rows(self, addresses: list[tantivy.DocAddress]) -> list[int]:
        if self._has_rows:
            return cast(list[int], self._searcher.fast_field_values(_ROW, addresses))
        rows = self._rows_of_ids()
        return [rows[str(self._searcher.doc(address)[_ID][0])] for address in addresses]

    @cached_property
    def _has_rows(self) -> bool:
        try:
            self._searcher.fast_field_values(_ROW, [])
        except ValueError:
            return False
        return True


def _separate_ideographs(text: str) -> str:
    """Put spaces around Chinese and Japanese characters: they have none, and single characters match well enough."""
    if text.isascii():
        return text
    return "".join(f" {character} " if "\u3040" <= character <= "\u9fff" else character for character in text)
