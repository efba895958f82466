"""What a step gets from Kubernetes Secrets, and what is never cached."""

from collections.abc import Sequence

from kfp import dsl, kubernetes

S3_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
    "AWS_DEFAULT_REGION",
    "S3_ENDPOINT",
    "S3_USE_HTTPS",
    "AWS_CA_BUNDLE",
)
REGISTRY_VARIABLES = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_SERVER_CERT_PATH",
)


def with_secret(task: dsl.PipelineTask, secret: str, variables: Sequence[str]) -> dsl.PipelineTask:
    """Give a step what a Secret holds of some environment variables."""
    keys = {variable: variable for variable in variables}
    kubernetes.use_secret_as_env(task, secret_name=secret, secret_key_to_env=keys, optional=True)
    return task


def with_keys(task: dsl.PipelineTask, s3_secret: str) -> dsl.PipelineTask:
    """Give a step the keys of the object store."""
    return with_secret(task, s3_secret, S3_VARIABLES)


def with_registry(task: dsl.PipelineTask, mlflow_secret: str) -> dsl.PipelineTask:
    """Give a step the user of the model registry, for models that are named models:/NAME@champion."""
    return with_secret(task, mlflow_secret, REGISTRY_VARIABLES)


def external(task: dsl.PipelineTask, s3_secret: str) -> dsl.PipelineTask:
    """Give a step its keys; what it does depends on the object store, not only on its inputs: never cached."""
    return with_keys(task, s3_secret).set_caching_options(enable_caching=False)
