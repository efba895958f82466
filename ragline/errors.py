"""Everything ragline raises on purpose.

    RaglineError                exit 1   base: a message a person can act on
    ├── InputError              exit 2   the caller's mistake: nothing was changed
    │   ├── DocumentsError               documents URI missing, empty, not readable
    │   ├── QuestionError                empty or too long a question
    │   ├── ModelError                   not a model folder, unknown model, wrong architecture
    │   └── SettingError                 a missing or malformed parameter or environment variable
    ├── StoreError              exit 2   the object store cannot be used as configured
    │   ├── CredentialsError             wrong or missing keys, or no permission
    │   ├── BucketError                  the bucket does not exist
    │   ├── CertificateError             the server's certificate is not trusted
    │   ├── StoreUnavailableError        still failing after all retries
    │   ├── IntegrityError               what was stored is not what was sent
    │   └── ObjectNotFoundError          no object under this key
    ├── ReleaseError            exit 2   a release cannot be used
    │   ├── NoReleaseError               nothing has been published under this name
    │   ├── NewerFormatError             made by a newer ragline
    │   └── DamagedReleaseError          checksums or counts do not agree
    ├── GateError               exit 1   a check before going live failed; the old release serves on
    ├── ConflictError           exit 1   somebody else changed the same thing meanwhile; theirs stands
    ├── PipelineError           exit 1   a pipeline step failed
    └── ServiceError            exit 1   a service of the chain cannot answer a request; has the HTTP status

    Unreadable                  not a RaglineError: one document that cannot be indexed;
                                caught by the snapshot and named in the run's report

Every message says what failed, where, with which value, and what to do about it.
"""


class RaglineError(Exception):
    """Base of all expected failures; `exit_code` is what the command line returns."""

    exit_code = 1


class InputError(RaglineError):
    """The caller's mistake; nothing was changed."""

    exit_code = 2


class DocumentsError(InputError):
    """The documents URI is missing, empty or cannot be read."""


class QuestionError(InputError):
    """The question is empty or too long."""


class ModelError(InputError):
    """The model name or folder does not give a usable embedding model."""


class SettingError(InputError):
    """A parameter or environment variable is missing or malformed."""


class StoreError(RaglineError):
    """The object store cannot be used as configured."""

    exit_code = 2


class CredentialsError(StoreError):
    """The keys are missing or wrong, or give no permission."""


class BucketError(StoreError):
    """The bucket does not exist."""


class CertificateError(StoreError):
    """The server's TLS certificate is not trusted."""


class StoreUnavailableError(StoreError):
    """The store still failed after all retries."""


class IntegrityError(StoreError):
    """What was stored or read is not what was sent."""


class ObjectNotFoundError(StoreError):
    """No object under this key."""


class ReleaseError(RaglineError):
    """A release cannot be used."""

    exit_code = 2


class NoReleaseError(ReleaseError):
    """Nothing has been published under this name yet."""


class NewerFormatError(ReleaseError):
    """The release or pointer was written by a newer ragline."""


class DamagedReleaseError(ReleaseError):
    """Checksums or counts of a release do not agree with its manifest."""


class GateError(RaglineError):
    """A check before going live failed; the old release serves on."""


class ConflictError(RaglineError):
    """Somebody else changed the same object meanwhile; theirs stands, ours was not written."""


class PipelineError(RaglineError):
    """A pipeline step failed."""


class ServiceError(RaglineError):
    """A service of the chain cannot answer a request.

    Attributes:
        status: the HTTP status that says why; the same at every hop.
        retry_after: seconds after which it is worth asking again; 0 where that is not known.
    """

    def __init__(self, message: str, status: int = 503, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class Unreadable(Exception):
    """One document that cannot be indexed; `reason` is a short closed term, `detail` says more.

    Reasons: "empty", "encrypted", "no text layer", "damaged", "too large", "unknown type", "not readable".
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
