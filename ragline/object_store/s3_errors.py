"""What went wrong with S3, in the words of `ragline.errors`."""

import ssl
from xml.etree.ElementTree import ParseError

from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError, SSLError

from ragline.errors import (
    BucketError,
    CertificateError,
    CredentialsError,
    ObjectNotFoundError,
    StoreError,
    StoreUnavailableError,
)
from ragline.object_store.objects import ObjectUnreadableError
from ragline.object_store.patient_http import is_transient
from ragline.settings import S3Settings

FAILURES = (MinioException, HTTPError, ParseError, ValueError)
"""What the SDK raises; ValueError for names that it does not accept."""


class UploadGoneError(StoreError):
    """The upload in parts is completed, or was given up."""


class NoConditionsError(StoreError):
    """The server says that it has no conditional writes."""


_SETTINGS = "check AWS_ENDPOINT_URL, S3_ENDPOINT and S3_USE_HTTPS"
_REGION = "set AWS_DEFAULT_REGION to the bucket's region"

_BY_CODE: dict[str, tuple[type[StoreError], str]] = {
    "InvalidAccessKeyId": (CredentialsError, "the server does not know the key in AWS_ACCESS_KEY_ID"),
    "SignatureDoesNotMatch": (CredentialsError, "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID"),
    "ExpiredToken": (CredentialsError, "the keys have expired: renew them and AWS_SESSION_TOKEN"),
    "InvalidToken": (CredentialsError, "AWS_SESSION_TOKEN does not belong to AWS_ACCESS_KEY_ID"),
    "InvalidTokenId": (CredentialsError, "AWS_SESSION_TOKEN does not belong to AWS_ACCESS_KEY_ID"),
    "AccessDenied": (CredentialsError, "the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY give no permission"),
    "NoSuchBucket": (BucketError, "the bucket does not exist: make it, or correct the URI"),
    "NoSuchKey": (ObjectNotFoundError, "there is no such object"),
    "NoSuchUpload": (UploadGoneError, "the upload has ended: start it again"),
    "PreconditionFailed": (ObjectUnreadableError, "it was replaced while it was read"),
    "ConditionalRequestConflict": (StoreUnavailableError, "others wrote to it all the time: try again"),
    "NotImplemented": (NoConditionsError, "the server does not know this request or one of its headers"),
    "InvalidObjectState": (ObjectUnreadableError, "it is archived: restore it first"),
    "RequestTimeTooSkewed": (StoreError, "the clocks of this machine and of the server differ: set them"),
    "AuthorizationHeaderMalformed": (StoreError, _REGION),
    "PermanentRedirect": (StoreError, _REGION),
    "Redirect": (StoreError, _REGION),
}


def store_error(exc: Exception, failed: str, settings: S3Settings, key: str | None) -> StoreError:
    """Translate what the SDK raised.

    Args:
        exc: one of `FAILURES`.
        failed: what could not be done, and where.
        settings: to name the server.
        key: the object concerned, None if it is the whole store.
    """
    kind, reason = _explain(exc)
    if key is not None and failed.startswith("cannot read") and getattr(exc, "code", "") == "AccessDenied":
        kind = ObjectUnreadableError  # others may be readable: listing was allowed
    return kind(f"{failed} at {settings.url}: {reason}")


def _explain(exc: Exception) -> tuple[type[StoreError], str]:
    if isinstance(exc, S3Error):
        return _explain_answer(exc)
    if isinstance(exc, ServerError):
        return _by_status(exc.status_code, str(exc))
    if isinstance(exc, InvalidResponseError):
        return _by_status(exc._code, f"HTTP {exc._code} without an S3 answer: {_SETTINGS}")
    if isinstance(exc, HTTPError):
        return _explain_fault(exc)
    if isinstance(exc, ParseError):
        return StoreError, f"the answer is not of S3: {_SETTINGS}"
    return ObjectUnreadableError, _one_line(str(exc))


def _explain_answer(exc: S3Error) -> tuple[type[StoreError], str]:
    code, status = exc.code or "", exc.response.status
    if code in _BY_CODE:
        kind, advice = _BY_CODE[code]
        return kind, f"{advice} ({code})"
    return _by_status(status, _one_line(f"HTTP {status} {code}: {exc.message}"))


def _by_status(status: int, reason: str) -> tuple[type[StoreError], str]:
    return (StoreUnavailableError if status >= 500 or status == 429 else StoreError), reason


def _explain_fault(exc: HTTPError) -> tuple[type[StoreError], str]:
    cause = exc.args[0] if exc.args else None
    if isinstance(cause, ssl.SSLCertVerificationError):
        advice = "set AWS_CA_BUNDLE to the PEM file of its authority, or correct the endpoint's name"
        return CertificateError, f"the certificate is not trusted ({cause.verify_message}): {advice}"
    if isinstance(exc, SSLError) and not is_transient(exc):
        return StoreError, f"the server does not speak TLS as expected ({_one_line(str(cause))}): {_SETTINGS}"
    return StoreUnavailableError, f"no answer ({_one_line(str(exc))}): is the server up? {_SETTINGS}"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
