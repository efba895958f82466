"""What the vector store opens, in words of OpenAPI."""

from typing import Any

from ragline.answering import LONGEST_QUESTION
from ragline.retrieval import MODES
from ragline.services.vectorstore.query import DOCUMENTS, MOST_DOCUMENTS


def api_description(model_name: str) -> dict[str, Any]:
    """Return the paths and schemas of the service.

    Args:
        model_name: of the KServe model.
    """
    request = _object({"instances": _list("Query", minItems=1, maxItems=32)}, required=["instances"])
    reply = _object({"predictions": _list("Prediction")}, required=["predictions"])
    predict = {
        "summary": "Find the passages that bear on a question",
        "requestBody": {"required": True, "content": {"application/json": {"schema": request}}},
        "responses": {
            "200": {
                "description": "One prediction for each instance",
                "content": {"application/json": {"schema": reply}},
            }
        },
    }
    return {"paths": {f"/v1/models/{model_name}:predict": {"post": predict}}, "components": {"schemas": _SCHEMAS}}


def _object(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties} | more


def _list(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}} | more


_TEXT, _NUMBER, _WHOLE = {"type": "string"}, {"type": "number"}, {"type": "integer"}

_SCHEMAS = {
    "Query": _object(
        {
            "input": {"type": "string", "minLength": 1, "maxLength": LONGEST_QUESTION, "description": "The question"},
            "num_docs": {"type": ["integer", "null"], "minimum": 1, "maximum": MOST_DOCUMENTS, "default": DOCUMENTS},
            "filter": {
                "type": ["object", "null"],
                "description": "Over the documents' metadata, in Chroma's language",
                "examples": [{"source": "faq.md"}],
            },
            "mode": {"enum": [*MODES, None], "default": "hybrid", "description": "Which ranking"},
            "quotes": {"type": ["boolean", "null"], "default": False, "description": "Quote what answers the question"},
        },
        required=["input"],
        additionalProperties=False,
    ),
    "Prediction": _object(
        {
            "found": {"type": "boolean", "description": "Whether anything relevant is in the documents"},
            "relevance": _NUMBER,
            "documents": _list("Document"),
            "quotes": _list("Quote"),
            "release": _TEXT,
            "model": {"type": "string", "description": "Digest of the embedding model"},
            "timings": {
                "type": "object",
                "additionalProperties": _NUMBER,
                "description": "Milliseconds of each stage: queue, embed, search, quote",
            },
        },
        required=["found", "relevance", "documents", "quotes", "release", "model", "timings"],
    ),
    "Document": _object(
        {
            "id": _TEXT,
            "text": _TEXT,
            "source": _TEXT,
            "title": _TEXT,
            "section": _TEXT,
            "start": _WHOLE,
            "end": _WHOLE,
            "score": _NUMBER,
            "similarity": _NUMBER,
        },
        required=["id", "text", "source", "title", "section", "start", "end", "score", "similarity"],
    ),
    "Quote": _object(
        {"source": _TEXT, "section": _TEXT, "quote": _TEXT, "score": _NUMBER},
        required=["source", "section", "quote", "score"],
    ),
}
