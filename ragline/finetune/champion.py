"""The model that a training has to beat."""

from ragline.embedding.model import find_model
from ragline.object_store import open_store
from ragline.registry.registry import Registry


def find_champion(name: str, base_model: str, store_uri: str) -> str:
    """Return the reference of the champion, or the base model if there is none yet.

    Everything that a training needs at its end is tried here, in seconds, before hours of work.

    Args:
        name: of the registered model.
        base_model: where training begins.
        store_uri: object store that is to keep the trained model.

    Raises:
        ModelError: the base model is none, or the champion was not registered by ragline.
        StoreError: the store or the registry cannot be written.
    """
    find_model(base_model)
    open_store(store_uri).check(write=True)
    registry = Registry.from_environment()
    registry.check(name)
    champion = registry.champion(name)
    return champion.reference if champion else base_model
