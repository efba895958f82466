"""What a failure becomes on the wire: a status, one line that says what to do, and never more than that."""

import json
import logging
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from ragline.errors import InputError, ModelError, RaglineError, ReleaseError, ServiceError, StoreError

_log = logging.getLogger(__name__)

STATUSES = frozenset({400, 401, 403, 404, 413, 429, 503, 504})
"""Statuses that mean the same at every hop of the chain."""

_INTERNAL = HTTPStatus.INTERNAL_SERVER_ERROR
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
    504: "timeout_error",
}
_CODES = {
    400: "invalid_value",
    401: "invalid_api_key",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
    415: "unsupported_media_type",
    429: "rate_limit_exceeded",
    503: "service_unavailable",
    504: "timeout",
}


class RemoteError(ServiceError):
    """Another service answered with an error.

    Its words go to the caller, but not into this service's log: they are not ours, and may quote a text.
    """

    def __init__(self, service: str, message: str, status: int, *, retry_after: float = 0.0) -> None:
        super().__init__(f"{service}: {message}", status, retry_after=retry_after)
        self.service = service


class MethodError(ServiceError):
    """There is something at this path, but not for this method."""

    def __init__(self, message: str, allowed: str) -> None:
        super().__init__(message, HTTPStatus.METHOD_NOT_ALLOWED)
        self.allowed = allowed


@dataclass(frozen=True, slots=True)
class Reply:
    """A response that says what failed: one line of JSON."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def reply_to(failure: BaseException, path: str, request_id: str) -> Reply:
    """Return the response to a request that failed, and log what an operator has to know of."""
    status, headers = status_of(failure), {"content-type": "application/json"}
    _report(failure, status)
    if seconds := retry_after_of(failure):
        headers["retry-after"] = seconds
    if isinstance(failure, MethodError):
        headers["allow"] = failure.allowed
    body = error_body(path, status, message_of(failure, request_id), request_id)
    return Reply(status, json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"), headers)


def _report(failure: BaseException, status: int) -> None:
    if status == _INTERNAL:
        _log.error("internal error", exc_info=failure)
    elif isinstance(failure, RemoteError):
        _log.warning("%s answered %d", failure.service, failure.status)
    elif status > _INTERNAL and isinstance(failure, RaglineError):
        _log.warning("%s", failure)


def status_of(failure: BaseException) -> int:
    """Return the HTTP status that says what kind of failure this is."""
    match failure:
        case ServiceError():
            return failure.status
        case ModelError() | StoreError() | ReleaseError():  # of the operator, not of the caller
            return HTTPStatus.SERVICE_UNAVAILABLE
        case InputError():
            return HTTPStatus.BAD_REQUEST
        case TimeoutError():
            return HTTPStatus.GATEWAY_TIMEOUT
    return _INTERNAL


def message_of(failure: BaseException, request_id: str) -> str:
    """Return one line for the caller.

    What ragline raises on purpose has a message for people. Anything else may hold a path, a header or a text of
    somebody's document: the caller learns the request id, under which the log has the rest.
    """
    match failure:
        case RaglineError():
            return " ".join(str(failure).split())
        case TimeoutError():
            return f"the request took longer than it was given; request id {request_id}"
    return f"internal error; request id {request_id}"


def retry_after_of(failure: BaseException) -> str:
    """Return the value of a Retry-After header in whole seconds, or "" where it is not known."""
    seconds = failure.retry_after if isinstance(failure, ServiceError) else 0.0
    return str(max(1, -int(-seconds // 1))) if seconds > 0 else ""


def error_body(path: str, status: int, message: str, request_id: str) -> dict[str, Any]:
    """Return the body of an error: OpenAI's form under /openai, KServe's elsewhere."""
    if not path.startswith("/openai"):
        return {"error": message, "request_id": request_id}
    kind = _TYPES.get(status, "invalid_request_error" if status < _INTERNAL else "server_error")
    error = {"message": message, "type": kind, "code": _CODES.get(status), "param": None}
    return {"error": error, "request_id": request_id}
