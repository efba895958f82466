"""The folder of a registered model, and of the model of a release, which is found without a registry if need be."""

from pathlib import Path

from ragline.embedding.model import EmbeddingModel, find_model, read_model
from ragline.errors import InputError, ModelError
from ragline.object_store import ObjectStore, open_store
from ragline.registry.model_store import ModelStore, cached_model
from ragline.registry.registered_model import ModelReference, is_reference
from ragline.registry.registry import Registry
from ragline.release import Manifest
from ragline.settings import Settings


def find_registered(name: str) -> tuple[str, Path]:
    """Return the reference that always means this version, and a local, verified copy of its folder.

    Raises:
        ModelError: there is no such version, or its files are gone.
        StoreError: the registry or the object store cannot be used.
    """
    reference = ModelReference.parse(name)
    version = Registry.from_environment().version(reference.name, reference.version)
    store = open_store(version.store_uri)
    return version.reference, ModelStore(store).fetch(version.digest, Settings.from_environment().cache)


def model_of_release(manifest: Manifest, store: ObjectStore) -> EmbeddingModel:
    """Return the model that made a release.

    A registered one is found by its digest: in the cache, in the release's own store, and only then through the
    registry. So questions need no registry, and an old release answers with its own model, whichever is champion.

    Raises:
        ModelError: it is not to be had, or the one of its name is another one now.
        StoreError: a store cannot be used.
    """
    name, digest = manifest.embedder, manifest.digests["model"]
    model = _registered(manifest, store) if is_reference(name) else find_model(name)
    if model.digest != digest:
        raise ModelError(
            f"embedder {name!r} is not the model that made release {manifest.release} "
            f"(digest {model.digest[:12]}, not {digest[:12]}); {_remedy(model)}"
        )
    return model


def is_at_hand(manifest: Manifest, store: ObjectStore) -> bool:
    """Tell whether the registered model of a release can be had without the registry."""
    digest = manifest.digests["model"]
    return cached_model(digest, Settings.from_environment().cache).is_dir() or ModelStore(store).has(digest)


def _registered(manifest: Manifest, store: ObjectStore) -> EmbeddingModel:
    name, digest = manifest.embedder, manifest.digests["model"]
    if is_at_hand(manifest, store):
        return read_model(name, ModelStore(store).fetch(digest, Settings.from_environment().cache))
    try:
        return find_model(name)
    except InputError as exc:
        raise ModelError(
            f"embedder {name!r} of release {manifest.release} is neither in the cache nor under models/{digest} in "
            f"{store.uri}, and the registry does not give it: {exc}"
        ) from exc


def _remedy(model: EmbeddingModel) -> str:
    if Settings.from_environment().cache in model.folder.parents:
        return f"remove {model.folder}, which is damaged, and try again"
    return "index the documents again"
