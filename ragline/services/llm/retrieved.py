"""What the vector store found for one question, as the llm service works with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ragline.chunking import PATH
from ragline.errors import ServiceError


@dataclass(frozen=True, slots=True)
class Document:
    """A passage of a document.

    Attributes:
        id: the chunk's digest; "" for a text that the caller gave.
        text: literal text of the document.
        source: the document's id.
        title: of the document; "" when it has none.
        section: heading path below the title.
        score: what it was ranked by; comparable within one question only.
    """

    id: str
    text: str
    source: str
    title: str = ""
    section: str = ""
    score: float = 0.0

    @property
    def path(self) -> str:
        """Title and headings in one line, as citations show them."""
        return PATH.join(part for part in (self.title, self.section) if part)


@dataclass(frozen=True, slots=True)
class Quote:
    """Whole sentences of one document that fit the question.

    Attributes:
        source: the document's id.
        section: heading path, the document's title first.
        quote: literal text of the document.
        score: how well it fits; comparable within one question only.
    """

    source: str
    section: str
    quote: str
    score: float


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What was found for one question.

    Attributes:
        found: whether anything relevant is in the documents.
        documents: best first.
        quotes: best first; empty unless they were asked for and something was found.
        release: that was searched; "" when the caller gave the texts.
        model: digest of the model that embedded the question; "" when the caller gave the texts.
        relevance: of the documents to the question.
        timings: of the vector store, in milliseconds.
    """

    found: bool
    documents: tuple[Document, ...] = ()
    quotes: tuple[Quote, ...] = ()
    release: str = ""
    model: str = ""
    relevance: float = 0.0
    timings: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, prediction: Mapping[str, Any]) -> Self:
        """Read one prediction of the vector store.

        Raises:
            ServiceError: it is none.
        """
        try:
            return cls(
                found=bool(prediction["found"]),
                documents=tuple(_document(each) for each in prediction["documents"]),
                quotes=tuple(_quote(each) for each in prediction.get("quotes") or ()),
                release=str(prediction["release"]),
                model=str(prediction["model"]),
                relevance=float(prediction["relevance"]),
                timings={str(name): float(ms) for name, ms in (prediction.get("timings") or {}).items()},
            )
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise ServiceError(
                "the vector store's answer is not a vector store's: is its URL that of another service?", 502
            ) from exc

    @classmethod
    def given(cls, texts: tuple[str, ...]) -> Self:
        """Return the texts of a request that brings its own context."""
        documents = tuple(Document("", text, f"context {number}") for number, text in enumerate(texts, start=1))
        return cls(found=True, documents=documents)


def _document(found: Mapping[str, Any]) -> Document:
    return Document(
        id=str(found["id"]),
        text=str(found["text"]),
        source=str(found["source"]),
        title=str(found["title"]),
        section=str(found["section"]),
        score=float(found["score"]),
    )


def _quote(found: Mapping[str, Any]) -> Quote:
    return Quote(str(found["source"]), str(found["section"]), str(found["quote"]), float(found["score"]))
