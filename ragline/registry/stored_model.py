"""What an object store says of a model that it has: `model.json`, with every file's size and checksum."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any, Self

from ragline import __version__, digests
from ragline.errors import IntegrityError, ModelError, NewerFormatError

FORMAT = 1
"""Schema version of `model.json`; a newer one is refused."""

MODEL = "model"
"""Where the model folder is, below the digest."""

Files = Mapping[str, Mapping[str, Any]]
"""Path to size in bytes and sha256."""

_HEADS = ".pt"


@dataclass(frozen=True, slots=True)
class StoredModel:
    """What `model.json` says.

    Attributes:
        digest: of the vector space.
        name: that the model had when it was stored.
        files: by path below the digest.
        created: ISO 8601, UTC.
        extra: whatever else is known of it.
        version: the ragline that stored it.
    """

    digest: str
    name: str
    files: Files
    created: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    version: str = __version__
    format: int = FORMAT

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Self:
        """Read it.

        Raises:
            NewerFormatError: written by a newer ragline.
            IntegrityError: it is damaged.
        """
        try:
            value = json.loads(data)
            version = int(value["format"])
            stored = cls(**{each.name: value[each.name] for each in fields(cls)}) if version <= FORMAT else None
            sound = stored is None or all(_is_sound(path, facts) for path, facts in stored.files.items())
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise IntegrityError(f"{where} is damaged: put the model there again") from exc
        if stored is None:
            raise NewerFormatError(f"{where} has format {version}; this ragline reads up to {FORMAT}: upgrade ragline")
        if not sound:
            raise IntegrityError(f"{where} lists files that no model has: put the model there again")
        return stored

    def to_json(self) -> bytes:
        """Return it as readable JSON."""
        return (json.dumps(asdict(self), indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()

    def below(self, part: str) -> Files:
        """Return the files below one folder, by path below it."""
        prefix = f"{part}/"
        return {path.removeprefix(prefix): facts for path, facts in self.files.items() if path.startswith(prefix)}

    def without(self, part: str) -> Files:
        """Return the files but those below one folder."""
        return {path: facts for path, facts in self.files.items() if not path.startswith(f"{part}/")}

    def check_heads(self, files: Files, where: str) -> None:
        """Refuse other heads than these: the digest is of dense vectors and does not tell them apart.

        Raises:
            ModelError: a head differs.
        """
        heads = {path for path in [*self.below(MODEL), *files] if path.endswith(_HEADS)}
        mine = self.below(MODEL)
        for path in sorted(heads):
            if mine.get(path, {}).get("sha256") != files.get(path, {}).get("sha256"):
                raise ModelError(f"{where} has the same dense vectors and another {path}: use another store for it")


def describe_model(folder: Path) -> Files:
    """Return what of a folder is to be stored: not hidden files, but what links lead to, as in the hub's cache."""
    paths = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        below.as_posix(): {"bytes": path.stat().st_size, "sha256": digests.of_file(path)}
        for below, path in paths.items()
        if not any(name.startswith(".") for name in below.parts)
    }


def _is_sound(path: str, facts: Mapping[str, Any]) -> bool:
    """Tell whether a path stays below the folder that it is copied to."""
    parts = path.split("/")
    plain = (
        len(parts) > 1 and not {"", ".", ".."} & set(parts) and "\0" not in path and str(PurePosixPath(path)) == path
    )
    return plain and {"bytes", "sha256"} <= facts.keys()
