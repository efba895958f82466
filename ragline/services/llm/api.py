"""The OpenAPI description of what the llm service takes and gives."""

from typing import Any

from ragline.services.llm.asked import MOST_CONTEXTS, MOST_DOCS, MOST_STOPS, MOST_TOKENS
from ragline.services.llm.chat import MOST_MESSAGES
from ragline.services.llm.router import CHAT, MODELS

_TEXT = {"type": "string"}
_NULL = {"type": "null"}


def api_description(model: str) -> dict[str, Any]:
    """Return the paths of a service and their schemas.

    Args:
        model: as the service calls itself.
    """
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "enum": [model]}}
    return {
        "paths": {
            f"/v1/models/{model}:predict": {"post": _post("Answer questions", "Instances", "Predictions")},
            CHAT: {"post": _chat()},
            MODELS: {"get": _get("The models", "Models")},
            MODELS + "/{name}": {"get": {"parameters": [name], **_get("One model", "Model")}},
        },
        "components": {"schemas": _schemas()},
    }


def _schemas() -> dict[str, Any]:
    return {
        "Instances": _object({"instances": _list(_ref("Instance"), 32, least=1)}, "instances"),
        "Instance": _object(
            {"input": _text(10_000), **_more(), **_sampling(), "max_tokens": _optional(_whole(1, MOST_TOKENS))}, "input"
        ),
        "Predictions": _object({"predictions": _list(_ref("Prediction"), 32)}, "predictions"),
        "Prediction": _object({**_worth(), "answer": _TEXT, "plan": _TEXT, "model": _TEXT, "usage": _ref("Usage")}),
        "Citation": _object(
            {"number": _whole(1), "source": _TEXT, "section": _TEXT, "quote": _TEXT, "score": {"type": "number"}}
        ),
        "Usage": _object({f"{kind}_tokens": _whole(0) for kind in ("prompt", "completion", "total")}),
        "ChatRequest": _chat_request(),
        "Message": _object(
            {
                "role": {"type": "string", "enum": ["system", "developer", "user", "assistant"]},
                "content": {"anyOf": [_TEXT, _list(_ref("TextPart"), None)]},
            },
            "role",
            "content",
        ),
        "TextPart": _object({"type": {"const": "text"}, "text": _TEXT}, "type", "text"),
        "Completion": _object(
            {"id": _TEXT, "object": {"const": "chat.completion"}, "ragline": _object(_worth()), "usage": _ref("Usage")}
        ),
        "Models": _object({"object": {"const": "list"}, "data": _list(_ref("Model"), None)}),
        "Model": _object({"id": _TEXT, "object": {"const": "model"}, "created": _whole(0), "owned_by": _TEXT}),
    }


def _chat_request() -> dict[str, Any]:
    limit = _optional(_whole(1, MOST_TOKENS))
    return _object(
        {
            "messages": _list(_ref("Message"), MOST_MESSAGES, least=1),
            "model": _optional(_TEXT),
            "n": _optional(_whole(1, 1)),
            "stream": _optional({"type": "boolean"}),
            "stream_options": _optional(_object({"include_usage": _optional({"type": "boolean"})})),
            "max_tokens": limit,
            "max_completion_tokens": limit,
            **_sampling(),
            "ragline": _optional(_object(_more())),
        },
        "messages",
    )


def _more() -> dict[str, Any]:
    return {
        "context": _optional(_TEXT, _list(_TEXT, MOST_CONTEXTS)),
        "num_docs": _optional(_whole(1, MOST_DOCS)),
        "filter": _optional({"type": "object"}),
    }


def _sampling() -> dict[str, Any]:
    return {
        "temperature": _optional({"type": "number", "minimum": 0, "maximum": 2}),
        "top_p": _optional({"type": "number", "minimum": 0, "maximum": 1}),
        "top_k": _optional(_whole(0, 1 << 20)),
        "stop": _optional(_TEXT, _list(_TEXT, MOST_STOPS)),
        "seed": _optional({"type": "integer"}),
    }


def _worth() -> dict[str, Any]:
    return {
        "found": {"type": "boolean"},
        "supported": {"type": "boolean"},
        "citations": _list(_ref("Citation"), None),
        "release": _TEXT,
        "timings": {"type": "object"},
    }


def _chat() -> dict[str, Any]:
    found = _post("Answer the last question of a conversation", "ChatRequest", "Completion")
    found["responses"]["200"]["content"]["text/event-stream"] = {"schema": _TEXT}
    return found


def _post(summary: str, takes: str, gives: str) -> dict[str, Any]:
    body = {"required": True, "content": {"application/json": {"schema": _ref(takes)}}}
    return {"requestBody": body, **_get(summary, gives)}


def _get(summary: str, gives: str) -> dict[str, Any]:
    content = {"application/json": {"schema": _ref(gives)}}
    return {"summary": summary, "responses": {"200": {"description": summary, "content": content}}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _list(items: dict[str, Any], most: int | None, *, least: int = 0) -> dict[str, Any]:
    found = {"type": "array", "items": items, "minItems": least}
    return found if most is None else {**found, "maxItems": most}


def _text(most: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": most}


def _whole(least: int, most: int | None = None) -> dict[str, Any]:
    found = {"type": "integer", "minimum": least}
    return found if most is None else {**found, "maximum": most}


def _optional(*schemas: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [*schemas, _NULL]}
