"""Puts the model of a release into a chain's Triton repository; run as a process of its own.

    python -m ragline.chain.preparation STORE NAME RELEASE REPOSITORY

RELEASE is a name, or "current". `ragline up` runs this beside its server, a cluster before it (serving/embedder).

An export is taken from the store where one is kept beside the model (a fine-tuned model has one). Otherwise it is made
here, once, and kept in the cache under the model's digest (`ragline.chain.own_export`). The last line of stdout is a
JSON object: the version, or the error.
"""

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ragline.chain.embedder import Prepared
from ragline.errors import RaglineError
from ragline.export.triton_repository import ServerOptions, join_repositories, version_of
from ragline.object_store import ObjectStore, open_store
from ragline.object_store.files import locked
from ragline.registry.model_store import ModelStore, cached_model
from ragline.release import Index, Manifest
from ragline.settings import Settings

_log = logging.getLogger(__name__)

STORED = "triton"
"""Where a model's export is kept beside it in the store (`ragline.finetune.conclusion`)."""

OWN = "exported"
"""Where one that was made here is kept, beside the model in the cache."""


def main(arguments: Sequence[str]) -> int:
    """Prepare, and print what came of it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    store, name, release, repository = arguments
    try:
        prepared = prepare(open_store(store), name, release, Path(repository), Settings.from_environment())
    except RaglineError as exc:
        _say({"error": type(exc).__name__, "message": str(exc)})
        return 1
    _say(asdict(prepared))
    return 0


def prepare(store: ObjectStore, name: str, release: str, repository: Path, settings: Settings) -> Prepared:
    """Put the model of a release into a repository, whose server may be running.

    Raises:
        ReleaseError: there is no such release.
        InputError: several releases are called so.
        ModelError: its model is not to be had, or cannot be exported.
        GateError: the export does not give the vectors of the release.
        StoreError: the store cannot be used.
    """
    index = Index(store, name)
    manifest = index.manifest(index.find(release))
    folder, made = _export_of(index, manifest, settings.cache)
    join_repositories([folder], repository, ServerOptions(threads=settings.threads))
    digest = manifest.digests["model"]
    return Prepared(manifest.release, digest, version_of(digest), made)


def _export_of(index: Index, manifest: Manifest, cache: Path) -> tuple[Path, str]:
    """Return a Triton repository with the model of a release, and where it comes from."""
    digest = manifest.digests["model"]
    own = cached_model(digest, cache, OWN)
    if own.is_dir():
        return own, "exported before"
    models = ModelStore(index.store)
    if models.has(digest) and models.read(digest).below(STORED):
        return models.fetch(digest, cache, STORED), "from the store"
    with locked(own.parent / f"{OWN}.lock"):  # one exports, the others wait for it
        if own.is_dir():
            return own, "exported before"
        from ragline.chain.own_export import export_own  # takes longer to import than all the rest

        export_own(index, manifest, cache, own)
    return own, "exported now"


def _say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
