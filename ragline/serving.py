"""Open the current release of an index for questions."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ragline.answering import Answerer
from ragline.calibration import Calibration
from ragline.copies import LocalCopies
from ragline.embedding.embedder import Embedder
from ragline.embedding.text_embedder import TextEmbedder
from ragline.object_store import ObjectStore, open_store
from ragline.registry.registered_folder import model_of_release
from ragline.release import Index, Manifest
from ragline.retrieval import Retriever
from ragline.settings import Settings


def find_release(store_uri: str, name: str, release: str = "") -> tuple[Index, Manifest]:
    """Return an index and the manifest of a release, the current one if none is named.

    Raises:
        StoreError: the store cannot be used.
        ReleaseError: there is no such release, or it cannot be read.
    """
    store = open_store(store_uri)
    store.check()
    index = Index(store, name)
    return index, index.manifest(release) if release else index.current()


def open_embedder(manifest: Manifest, store: ObjectStore) -> Embedder:
    """Return the embedder that made a release of a store.

    Raises:
        ModelError: it is not to be had, or the model of that name is another one now; vector spaces are never mixed.
        StoreError: a store cannot be used.
    """
    return Embedder(model_of_release(manifest, store))


@contextmanager
def open_answerer(store_uri: str, name: str, *, release: str = "") -> Iterator[Answerer]:
    """Open a release for questions; its files are copied to the cache and verified once, and held there meanwhile.

    Raises:
        StoreError: the store cannot be used.
        ReleaseError: there is no such release, or it is damaged.
        ModelError: its embedder is not here.
    """
    index, manifest = find_release(store_uri, name, release)
    copies = LocalCopies(index, Settings.from_environment().cache)
    try:
        answerer = load_answerer(manifest, copies.take(manifest), open_embedder(manifest, index.store))
        with answerer.retriever:
            yield answerer
    finally:
        copies.hold(())


def load_answerer(manifest: Manifest, folder: Path, embedder: TextEmbedder) -> Answerer:
    """Return who answers from the local copy of a release; its retriever is to be closed at the end.

    Raises:
        DamagedReleaseError: the copy cannot be opened.
    """
    return Answerer(Retriever(folder), embedder, Calibration.of(dict(manifest.calibration)), manifest.release)
