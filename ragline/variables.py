"""Every environment variable that ragline reads; docs/environment.md is the same list."""

from dataclasses import dataclass

AWS_ENDPOINT = "s3.amazonaws.com"
IMAGE_REGISTRY = "ghcr.io/ragline"


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: its name, the default as a person would write it, what it means."""

    name: str
    default: str
    meaning: str


VARIABLES = (
    Variable("RAGLINE_STORE", ".ragline", "where releases and vectors are kept: a folder or s3://bucket/prefix"),
    Variable("RAGLINE_CACHE", "~/.cache/ragline", "folder for downloaded releases and models; may be deleted"),
    Variable("RAGLINE_THREADS", "number of CPUs", "threads for embedding and for parallel transfers"),
    Variable("RAGLINE_IMAGE_REGISTRY", IMAGE_REGISTRY, "host/path of the images; read when pipelines are compiled"),
    Variable("RAGLINE_STORE_RETRY_SECONDS", "30", "how long a request to S3 is repeated after a transient fault"),
    Variable("RAGLINE_LLM_API_KEY", "", "key of an OpenAI-compatible language model, where it asks for one"),
    Variable("RAGLINE_TRITON", "build/triton", "the environment with a Triton server that `make triton` makes"),
    Variable("RAGLINE_CA_BUNDLE", "the system's", "PEM file of more authorities, for https to services and LLMs"),
    Variable("RAGLINE_LOG_LEVEL", "info", "debug, info, warning or error: what the services log"),
    Variable("RAGLINE_LOG_TEXTS", "false", "true: the services' logs may hold questions and texts of documents"),
    Variable("OTEL_EXPORTER_OTLP_ENDPOINT", "", "OTLP/HTTP collector as http(s)://host:port; none: no traces are sent"),
    Variable("OTEL_EXPORTER_OTLP_HEADERS", "", "name=value,...: sent with the traces, as the collector asks for it"),
    Variable("OTEL_EXPORTER_OTLP_CERTIFICATE", "certifi's", "PEM file of the authorities that sign the collector"),
    Variable("AWS_ACCESS_KEY_ID", "", "S3 access key; required for s3:// URIs"),
    Variable("AWS_SECRET_ACCESS_KEY", "", "S3 secret key; required for s3:// URIs"),
    Variable("AWS_SESSION_TOKEN", "", "S3 session token of temporary keys"),
    Variable("AWS_ENDPOINT_URL", "https://" + AWS_ENDPOINT, "S3 server as http(s)://host:port; precedes S3_ENDPOINT"),
    Variable("S3_ENDPOINT", AWS_ENDPOINT, "S3 server as host:port, with S3_USE_HTTPS"),
    Variable("S3_USE_HTTPS", "1", "1 or 0: protocol of an endpoint that does not name it"),
    Variable("S3_VERIFY_SSL", "1", "certificates are always verified: 0 is refused for an https endpoint"),
    Variable("AWS_DEFAULT_REGION", "asked from the server", "S3 region; precedes AWS_REGION"),
    Variable("AWS_REGION", "asked from the server", "S3 region"),
    Variable("AWS_CA_BUNDLE", "the system's and certifi's", "PEM file of the authorities that sign the S3 server"),
    Variable("MLFLOW_TRACKING_URI", "", "MLflow server as http(s)://host:port; required for models:/ references"),
    Variable("MLFLOW_TRACKING_USERNAME", "", "user of the MLflow server, with MLFLOW_TRACKING_PASSWORD"),
    Variable("MLFLOW_TRACKING_PASSWORD", "", "password of the MLflow server, with MLFLOW_TRACKING_USERNAME"),
    Variable("MLFLOW_TRACKING_TOKEN", "", "bearer token of the MLflow server; a user and a password precede it"),
    Variable("MLFLOW_TRACKING_SERVER_CERT_PATH", "the system's and certifi's", "PEM file for the MLflow server"),
    Variable("MLFLOW_TRACKING_INSECURE_TLS", "false", "certificates are always verified: true is refused"),
)
