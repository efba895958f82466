"""The OpenAPI document of a service: exactly the paths that it opens, and how each of them fails."""

from collections.abc import Mapping
from typing import Any

from ragline import __version__

_ERROR = {
    "type": "object",
    "required": ["error", "request_id"],
    "properties": {
        "error": {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "required": ["message", "type", "code"],
                    "properties": {
                        "message": {"type": "string"},
                        "type": {"type": "string"},
                        "code": {"type": ["string", "null"]},
                        "param": {"type": "null"},
                    },
                },
            ],
        },
        "request_id": {"type": "string"},
    },
}
_FAILURE = {
    "description": "One line that says what is wrong; the response carries the request's id",
    "headers": {"x-request-id": {"schema": {"type": "string"}}},
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}
_PROBLEM: dict[str, Any] = {"503": {"$ref": "#/components/responses/Failure"}}


def describe(service: str, model: str, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document.

    Args:
        service: its name.
        model: the name of its KServe model.
        own: what the service describes itself, as {"paths": ..., "components": ...}; both may be missing. The path of
            the model's v1 predict is described in general terms where it is not among them.
    """
    paths = _common(model) | {f"/v1/models/{model}:predict": _predict()} | dict(own.get("paths", {}))
    components = own.get("components", {})
    return {
        "openapi": "3.1.0",
        "info": {"title": f"ragline {service}", "version": __version__},
        "paths": {path: {method: _failing(each) for method, each in item.items()} for path, item in paths.items()},
        "components": {
            **components,
            "schemas": {"Error": _ERROR, **components.get("schemas", {})},
            "responses": {"Failure": _FAILURE, **components.get("responses", {})},
        },
    }


def _failing(operation: Mapping[str, Any]) -> dict[str, Any]:
    """Return an operation with its failures: the door may answer any request with one."""
    return {**operation, "responses": {**operation["responses"], "default": {"$ref": "#/components/responses/Failure"}}}


def _common(model: str) -> dict[str, Any]:
    return {
        "/": _look("Whether the process runs"),
        "/v1/models": _look("The names of the models"),
        f"/v1/models/{model}": _look("Whether the model answers requests; 503 says why it does not", problem=True),
        f"/v2/models/{model}/ready": _look("Readiness probe; 503 says why it is not ready", problem=True),
        "/v2/health/live": _look("Liveness probe"),
        "/v2/health/ready": _look("As the readiness of the model", problem=True),
        "/metrics": _look("Metrics for Prometheus", kind="text/plain"),
        "/openapi.json": _look("This document"),
    }


def _look(summary: str, *, kind: str = "application/json", problem: bool = False) -> dict[str, Any]:
    responses = {"200": {"description": summary, "content": {kind: {}}}} | (_PROBLEM if problem else {})
    return {"get": {"summary": summary, "responses": responses}}


def _predict() -> dict[str, Any]:
    instances = {"type": "array", "minItems": 1, "maxItems": 32, "items": {"type": "object"}}
    schema = {"type": "object", "required": ["instances"], "properties": {"instances": instances}}
    reply = {"type": "object", "required": ["predictions"], "properties": {"predictions": {"type": "array"}}}
    return {
        "post": {
            "summary": "KServe v1 predict",
            "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
            "responses": {"200": {"description": "Answers", "content": {"application/json": {"schema": reply}}}},
        }
    }
