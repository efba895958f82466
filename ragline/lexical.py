"""A lexical index (BM25) beside the vectors: tantivy, one entry per chunk."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import tantivy

from ragline.documents import Chunk

_BODY, _ID = "body", "id"
_ANALYZER = "ragline"
_WRITER_BYTES = 64 << 20


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
    builder.add_text_field(_ID, stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field(_BODY, tokenizer_name=_ANALYZER)
    return builder.build()


def build_lexical(folder: Path, chunks: Iterable[Chunk]) -> int:
    """Write the index of `chunks` to the empty `folder`; return how many there are."""
    index = tantivy.Index(_schema(), path=str(folder))
    index.register_tokenizer(_ANALYZER, analyzer())
    writer = index.writer(_WRITER_BYTES, 1)
    for chunk in chunks:
        body = "\n".join(part for part in (chunk.title, chunk.section, chunk.text) if part)
        writer.add_document(tantivy.Document(id=chunk.id, body=_separate_ideographs(body)))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    return int(index.searcher().num_docs)


class LexicalIndex:
    """Finds chunks by their words."""

    def __init__(self, folder: Path) -> None:
        self._schema = _schema()
        self._index = tantivy.Index(self._schema, path=str(folder), reuse=True)
        self._index.register_tokenizer(_ANALYZER, analyzer())
        self._searcher = self._index.searcher()

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
        return int(self._searcher.doc_freq(_BODY, term))

    def search(self, text: str, limit: int) -> dict[str, float]:
        """Return the BM25 scores of the `limit` best chunks by id, best first; any word of `text` may match."""
        terms = self.terms(text)
        if not terms:
            return {}
        query = tantivy.Query.boolean_query(
            [(tantivy.Occur.Should, tantivy.Query.term_query(self._schema, _BODY, term)) for term in terms]
        )
        hits = self._searcher.search(query, limit, count=False).hits
        return {str(self._searcher.doc(address)[_ID][0]): float(score) for score, address in hits}


def _separate_ideographs(text: str) -> str:
    """Put spaces around Chinese and Japanese characters: they have none, and single characters match well enough."""
    if text.isascii():
        return text
    return "".join(f" {character} " if "\u3040" <= character <= "\u9fff" else character for character in text)
