"""Versions of a registered model, and how a person names one: `models:/NAME/3`, `models:/NAME@champion`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from ragline.errors import ModelError

CHAMPION, CHALLENGER = "champion", "challenger"
"""The alias of the version in use, and of the one that was trained last and is not."""

DIGEST, URI = "ragline.model_digest", "ragline.model_uri"
"""Tags of a version of ours: the digest of its vector space, and where the object store has its files."""

CORPUS, RUN, VERDICT = "ragline.corpus_digest", "ragline.run", "ragline.verdict"
"""Tags: what it was trained on, by which run of the pipeline, and what the gate said."""

BEFORE, AFTER = "ragline.ndcg_before", "ragline.ndcg_after"
"""Tags: nDCG@10 on held-out questions, of the champion at that time and of this version."""

_SCHEME = "models:/"
_NAME = re.compile(r"[^/:@'\"`\x00-\x1f]{1,200}")
_ALIAS = re.compile(r"[A-Za-z_][\w-]*")


@dataclass(frozen=True, slots=True)
class ModelReference:
    """A version of a registered model, named by its number or by an alias.

    Example:
        >>> ModelReference.parse("models:/docs@champion")
        ModelReference(name='docs', version='champion')
        >>> str(ModelReference("docs", "3"))
        'models:/docs/3'
    """

    name: str
    version: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference.

        Raises:
            ModelError: it is not one.
        """
        rest = text.removeprefix(_SCHEME)
        sign = "@" if "@" in rest else "/"
        name, _, version = rest.partition(sign)
        right = (_is_number if sign == "/" else _ALIAS.fullmatch)(version)
        if not text.startswith(_SCHEME) or not _NAME.fullmatch(name) or not right:
            raise ModelError(f"embedder {text!r}: expected models:/NAME/VERSION or models:/NAME@ALIAS")
        return cls(name, version)

    @property
    def is_number(self) -> bool:
        """Whether it names the version itself, and not an alias, which moves."""
        return _is_number(self.version)

    def __str__(self) -> str:
        return f"{_SCHEME}{self.name}{'/' if self.is_number else '@'}{self.version}"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A version that ragline registered.

    Attributes:
        name: of the registered model.
        number: of the version.
        digest: of the vector space that it makes (`EmbeddingModel.digest`).
        uri: of its files: the URI of an object store, and `/models/<digest>`.
        created: ISO 8601, UTC.
        aliases: sorted.
        tags: all of them.
        mlflow_run: id of the run that registered it.
    """

    name: str
    number: int
    digest: str
    uri: str
    created: str
    aliases: Sequence[str]
    tags: Mapping[str, str]
    mlflow_run: str = ""

    @property
    def reference(self) -> str:
        """What names this version and never another one."""
        return str(ModelReference(self.name, str(self.number)))

    @property
    def store_uri(self) -> str:
        """The object store that has its files."""
        return self.uri.removesuffix(f"/models/{self.digest}")

    def score(self, tag: str) -> float | None:
        """Return the number in a tag, None if there is none."""
        try:
            return float(self.tags[tag])
        except (KeyError, ValueError):
            return None


def is_reference(embedder: str) -> bool:
    """Tell whether an embedder is named by its place in the registry."""
    return embedder.startswith(_SCHEME)


def check_model_name(name: str) -> str:
    """Return the name of a registered model.

    Raises:
        ModelError: MLflow takes no such name, or a reference could not hold it.
    """
    if not _NAME.fullmatch(name) or name.strip() != name:
        raise ModelError(f"registered model {name!r}: use 1 to 200 characters, without / : @ and quotes")
    return name


def _is_number(version: str) -> bool:
    return version.isascii() and version.isdigit() and int(version) > 0
