"""Embedding models in an object store, each under the digest of the vector space that it makes.

    models/<digest>/model.json    written last: without it there is no model
    models/<digest>/model/...     the model folder
    models/<digest>/<other>/...   what was made from it, such as an export

The files are found without a registry: a release names the digest of its model.
"""

import logging
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ragline import digests
from ragline.embedding.model import read_model
from ragline.errors import ConflictError, IntegrityError, ModelError, ObjectNotFoundError
from ragline.object_store import ObjectStore
from ragline.object_store.files import locked
from ragline.object_store.objects import find
from ragline.registry.stored_model import MODEL, Files, StoredModel, describe_model
from ragline.release import now

_log = logging.getLogger(__name__)

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PART = re.compile(r"[A-Za-z0-9][\w.-]*")
_ATTEMPTS = 5


class ModelStore:
    """Models in an object store.

    Example:
        >>> models = ModelStore(open_store("s3://bucket/prefix"))  # doctest: +SKIP
        >>> digest = models.put(Path("trained"), name="docs")  # doctest: +SKIP
        >>> folder = models.fetch(digest, cache)  # doctest: +SKIP
    """

    def __init__(self, store: ObjectStore) -> None:
        self.store = store

    def uri(self, digest: str) -> str:
        """Return where a model is."""
        return f"{self.store.uri.rstrip('/')}/models/{_checked(digest)}"

    def has(self, digest: str) -> bool:
        """Tell whether a model is there."""
        return self.store.exists(_key(digest))

    def read(self, digest: str) -> StoredModel:
        """Return what is known of a model.

        Raises:
            ModelError: it is not there.
            IntegrityError: its `model.json` is damaged.
        """
        try:
            return StoredModel.from_json(self.store.read(_key(digest)), self._where(digest))
        except ObjectNotFoundError as exc:
            raise self._absent(digest) from exc

    def check(self, digest: str) -> StoredModel:
        """Return what is known of a model whose files are all there, in the right size; nothing is downloaded.

        Raises:
            ModelError: it is not there, or a file of it is missing.
        """
        stored = self.read(digest)
        prefix = f"models/{digest}/"
        sizes = {info.key.removeprefix(prefix): info.size for info in self.store.list(prefix)}
        wrong = [path for path, facts in stored.files.items() if sizes.get(path) != facts["bytes"]]
        if wrong:
            raise ModelError(
                f"{self.uri(digest)}: {wrong[0]} is missing or has another size; put the model there again"
            )
        return stored

    def put(self, folder: Path, *, name: str, extra: Mapping[str, Any] | None = None) -> str:
        """Store a model folder, unless it is there whole, and return its digest.

        Args:
            folder: in the layout of `ragline.embedding.model`.
            name: of the model.
            extra: whatever else is to be known of it.

        Raises:
            ModelError: the folder is no model, or the store has one with the same vectors and other heads.
        """
        digest = read_model(name, folder).digest
        files = describe_model(folder)
        if there := self._whole(digest):
            there.check_heads(files, self.uri(digest))
            return digest
        listed = self._upload(digest, MODEL, folder, files)

        def change(there: StoredModel | None) -> StoredModel:
            kept = there.without(MODEL) if there else {}
            return StoredModel(digest, name, {**kept, **listed}, now(), dict(extra or {}))

        self._record(digest, change)
        return digest

    def add(self, digest: str, part: str, folder: Path) -> StoredModel:
        """Store what was made from a model beside it, in the folder `part`; replaces what was there under that name.

        Raises:
            ModelError: the model is not there.
        """
        if not _PART.fullmatch(part) or part == MODEL:
            raise ModelError(f"{self.uri(digest)}: {part!r} cannot be added: use letters, digits, '.', '_' and '-'")
        self.read(digest)
        listed = self._upload(digest, part, folder, describe_model(folder))

        def change(there: StoredModel | None) -> StoredModel:
            if there is None:
                raise self._absent(digest)
            return replace(there, files={**there.without(part), **listed})

        return self._record(digest, change)

    def fetch(self, digest: str, cache: Path, part: str = MODEL) -> Path:
        """Return a local, verified copy of a model folder, made once and shared by all who run here.

        Args:
            digest: of the model.
            cache: folder for local copies.
            part: what to copy: the model, or what was added under this name.

        Raises:
            ModelError: it is not there.
            IntegrityError: a file is not what `model.json` says.
        """
        target = cached_model(digest, cache, part)
        if target.is_dir():
            return target
        with locked(target.parent.parent / f"{digest}.lock"):  # one downloads, the others wait for it
            if not target.is_dir():
                self._download(digest, target)
        return target

    def _download(self, digest: str, target: Path) -> None:
        files = self.read(digest).below(target.name)
        if not files:
            raise ModelError(f"{self.uri(digest)} has no {target.name}/")
        scratch = target.with_name(f".fetch-{target.name}")
        shutil.rmtree(scratch, ignore_errors=True)  # of a download that was killed
        for path, facts in files.items():
            self._download_file(f"models/{digest}/{target.name}/{path}", facts, scratch / path)
        if target.name == MODEL and (found := read_model(str(scratch), scratch).digest) != digest:
            raise IntegrityError(
                f"{self.uri(digest)} makes other vectors (digest {found[:12]}): put the model there again"
            )
        scratch.rename(target)

    def _download_file(self, key: str, facts: Mapping[str, Any], path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        where = f"{self.store.uri.rstrip('/')}/{key}"
        try:
            self.store.download(key, path)
        except ObjectNotFoundError as exc:
            raise ModelError(f"{where} is missing: put the model there again") from exc
        if digests.of_file(path) != facts["sha256"]:
            raise IntegrityError(f"{where} is not what model.json says: put the model there again")

    def _upload(self, digest: str, part: str, folder: Path, files: Files) -> Files:
        """Store files below a part, and return them by path below the digest."""
        _log.info("storing %s of %s in %s", part, digest[:12], self.store.uri)
        for path in files:
            self.store.upload(f"models/{digest}/{part}/{path}", folder / path)
        return {f"{part}/{path}": facts for path, facts in files.items()}

    def _record(self, digest: str, change: Callable[[StoredModel | None], StoredModel]) -> StoredModel:
        """Write `model.json`; others may be adding theirs at the same time."""
        for _ in range(_ATTEMPTS):
            there, tag = self._find(digest)
            stored = change(there)
            with suppress(ConflictError):
                self.store.write_if(_key(digest), stored.to_json(), tag)
                return stored
        raise ConflictError(f"{self.uri(digest)}/model.json is being changed by others all the time: try again later")

    def _find(self, digest: str) -> tuple[StoredModel | None, str | None]:
        """Return what `model.json` says and its tag; one that is damaged says nothing, and is to be replaced."""
        data, tag = find(self.store, _key(digest))
        with suppress(IntegrityError):
            return (StoredModel.from_json(data, self._where(digest)) if tag else None), tag
        return None, tag

    def _whole(self, digest: str) -> StoredModel | None:
        with suppress(ModelError, IntegrityError):
            return self.check(digest)
        return None

    def _where(self, digest: str) -> str:
        return f"{self.uri(digest)}/model.json"

    def _absent(self, digest: str) -> ModelError:
        return ModelError(f"model {digest[:12]} is not in {self.store.uri}: {self._where(digest)} is missing")


def cached_model(digest: str, cache: Path, part: str = MODEL) -> Path:
    """Return where the local copy of a model is, if there is one."""
    return cache / "models" / _checked(digest) / part


def _checked(digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise ModelError(f"model digest {digest[:80]!r}: expected a sha256 in hex")
    return digest


def _key(digest: str) -> str:
    return f"models/{_checked(digest)}/model.json"
