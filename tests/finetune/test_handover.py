"""When the champion changes, the next reindex embeds with it; older releases keep the model that made them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ragline.client import Client
from ragline.embedding.embedder import Embedder
from ragline.embedding.model import find_model
from ragline.errors import ModelError
from ragline.live import LiveIndex
from ragline.reindex.build import build_index
from ragline.reindex.check import check_index
from ragline.reindex.chunk import ChunkSet, chunk_documents
from ragline.reindex.embed import embed_shard
from ragline.reindex.plan import Plan
from ragline.release import Index, Manifest
from ragline.rollback import embedder_problem, roll_back
from ragline.serving import open_answerer, open_embedder
from ragline.settings import VARIABLES
from tests.registry_shelf import Shelf
from tests.reindex.conftest import Corpus

Models = tuple[Path, Path]


@pytest.fixture
def followed(shelf: Shelf, two_models: Models, tmp_path: Path) -> Corpus:
    """A corpus whose embedder is a champion: the first of two registered models."""
    for folder in two_models:
        shelf.register(folder)
    shelf.registry.promote(shelf.name, "1")
    (tmp_path / "store").mkdir()
    corpus = Corpus(tmp_path / "docs", str(tmp_path / "store"), tmp_path / "work")
    corpus.embedder = f"models:/{shelf.name}@champion"
    corpus.write(**{f"note{n}": f"# Note {n}\n\nThe keeper of tower {n} wrote it down." for n in range(9)})
    return corpus


def digests(models: Models) -> list[str]:
    """Return the digests of both models."""
    return [find_model(str(folder)).digest for folder in models]


def made_by(index: Index) -> list[tuple[str, str]]:
    """Return the embedder and its digest of each release, oldest first."""
    return [(manifest.embedder, manifest.digests["model"]) for manifest in index.releases()]


def without_registry(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Be a service that was never told of MLflow, on a machine that has no model."""
    for variable in VARIABLES:
        if variable.name.startswith("MLFLOW"):
            monkeypatch.delenv(variable.name, raising=False)
    monkeypatch.setenv("RAGLINE_CACHE", str(cache))


def test_release_and_embedder_change_together(
    followed: Corpus, shelf: Shelf, two_models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alias moves, the next run embeds all with the new model; both releases answer, each with its own."""
    first, unchanged = followed.run().manifest, followed.run()
    assert not unchanged.plan.changed
    shelf.registry.promote(shelf.name, "2")
    second = followed.run()
    assert second.embedded == second.plan.chunks
    references = [f"models:/{shelf.name}/{number}" for number in (1, 2)]
    assert made_by(followed.index) == list(zip(references, digests(two_models), strict=True))
    without_registry(monkeypatch, tmp_path / "elsewhere")
    for manifest in (first, second.manifest):
        with open_answerer(followed.store_uri, "default", release=manifest.release) as answerer:
            assert answerer.embedder.digest == manifest.digests["model"]
            assert answerer.ask("the keeper of tower 3").release == manifest.release
    with LiveIndex(followed.store_uri, "default", tmp_path / "live", interval=0.1) as live:
        assert live.wait(60)
        assert live.status().model == second.manifest.digests["model"]
    move = roll_back(followed.index)
    assert (move.after, move.warning) == (first.release, "")


def test_a_model_that_moves_during_a_run_stops_it(followed: Corpus, shelf: Shelf, tmp_path: Path) -> None:
    """A step that finds another model under the alias than the run began with says so, and mixes nothing."""
    started = followed.start()
    work, plan = started.work, started.plan
    place: dict[str, Any] = {"store_uri": followed.store_uri, "name": "default"}
    shelf.registry.promote(shelf.name, "2")
    followed.run()  # all vectors of the other model are there as well
    shelf.registry.promote(shelf.name, "1")
    shutil.rmtree(Path(followed.store_uri) / "vectors" / plan.origin.model)
    shelf.registry.promote(shelf.name, "2")
    moved = rf"embedder 'models:/{shelf.name}@champion', which is models:/{shelf.name}/2 now, .*start it again"
    with pytest.raises(ModelError, match=moved):
        embed_shard(
            *(work / "chunks", plan.shards[0]),
            store_uri=followed.store_uri,
            embedder=followed.embedder,
            model_digest=plan.origin.model,
            size=200,
            overlap=0,
        )
    with pytest.raises(ModelError, match=moved):
        build_index(
            *(work / "documents", work / "chunks", work / "plan", tmp_path / "index"),
            embedder=followed.embedder,
            **place,
        )
    with pytest.raises(ModelError, match=moved):
        check_index(
            *(work / "index", tmp_path / "checks"), embedder=followed.embedder, model_digest=plan.origin.model, **place
        )


def test_a_model_that_moves_before_the_plan_stops_the_run(
    followed: Corpus, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chunks were cut for another one."""

    def move_afterwards(*arguments: Any, **options: Any) -> ChunkSet:
        made = chunk_documents(*arguments, **options)
        shelf.registry.promote(shelf.name, "2")
        return made

    monkeypatch.setattr("tests.reindex.conftest.chunk_documents", move_afterwards)
    with pytest.raises(ModelError, match=rf"which is models:/{shelf.name}/2 now, .*the model changed during the run"):
        followed.start()


def test_the_plan_names_the_version(followed: Corpus, shelf: Shelf) -> None:
    """What a run was planned with is what its manifest records, and what its later steps are told."""
    assert followed.start().plan.origin.embedder == f"models:/{shelf.name}/1"
    assert Plan.read(followed.scratch / "run-1" / "plan").origin.embedder == f"models:/{shelf.name}/1"


def of(shelf: Shelf, digest: str, **changes: object) -> Manifest:
    """Return the manifest of a release that a registered model made."""
    facts = {"release": "a" * 16, "embedder": f"models:/{shelf.name}/1", "digests": {"model": digest}}
    rest: dict[str, object] = {key: {} for key in ("counts", "chunking", "calibration", "checks", "files")}
    made = Manifest(**facts, **rest, documents_uri="docs", created="2026-01-01")  # type: ignore[arg-type]
    return replace(made, **changes)  # type: ignore[arg-type]


def test_where_the_model_of_a_release_is_found(
    shelf: Shelf, two_models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the registry, then in the cache, then in the release's own store; nowhere is said with all three."""
    digest = digests(two_models)[0]
    shelf.register(two_models[0])
    index = Index(Corpus(tmp_path / "docs", str(tmp_path), tmp_path).index.store, "default")
    manifest = of(shelf, digest)
    assert embedder_problem(manifest, index.store) == (
        f"embedder 'models:/{shelf.name}/1' is not in the store; only the registry has it"
    )
    assert open_embedder(manifest, index.store).model.digest == digest
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert open_embedder(manifest, index.store).model.digest == digest
    assert open_embedder(manifest, index.store).model.name == f"models:/{shelf.name}/1"
    monkeypatch.setenv("RAGLINE_CACHE", str(tmp_path / "empty"))
    with pytest.raises(
        ModelError,
        match=rf"of release {'a' * 16} is neither in the cache nor under models/{digest} in {tmp_path}, "
        "and the registry does not give it: MLFLOW_TRACKING_URI is not set",
    ):
        open_embedder(manifest, index.store)
    assert open_embedder(manifest, shelf.models.store).model.digest == digest
    assert embedder_problem(manifest, shelf.models.store) == ""


def test_a_version_that_is_another_model_now_is_refused(shelf: Shelf, two_models: Models, tmp_path: Path) -> None:
    """A registered model that was deleted and made again counts from 1."""
    shelf.register(two_models[1])
    store = Index(Corpus(tmp_path / "docs", str(tmp_path), tmp_path).index.store, "default").store
    with pytest.raises(ModelError, match=rf"embedder 'models:/{shelf.name}/1' is not the model that made release"):
        open_embedder(of(shelf, "0" * 64), store)


def test_a_damaged_copy_in_the_cache_is_named(shelf: Shelf, two_models: Models) -> None:
    """It is not asked: its vectors would be others."""
    shelf.register(two_models[0])
    model = find_model(f"models:/{shelf.name}/1")
    (model.folder / "tokenizer.json").write_text(json.dumps({"other": 1}))
    with pytest.raises(ModelError, match=rf"remove {model.folder}, which is damaged"):
        open_embedder(of(shelf, digests(two_models)[0]), shelf.models.store)


@pytest.mark.slow
def test_the_pipeline_follows_the_champion(followed: Corpus, shelf: Shelf, two_models: Models, tmp_path: Path) -> None:
    """The compiled pipeline, run twice, with a promotion between; the model is kept beside the releases."""
    options = {"store_uri": followed.store_uri, "embedder": f"models:/{shelf.name}@champion"}
    first = Client().reindex(str(followed.documents), **options)
    shelf.registry.promote(shelf.name, "2")
    second = Client().reindex(str(followed.documents), **options)
    assert first["release"] != second["release"]
    assert [digest for _, digest in made_by(followed.index)] == digests(two_models)
    index = followed.index
    old = index.manifest(first["release"])
    assert open_embedder(old, index.store).embed(["the keeper"]).tolist() == (
        Embedder.named(str(two_models[0])).embed(["the keeper"]).tolist()
    )
    assert (Path(followed.store_uri) / "models" / old.digests["model"] / "model.json").is_file()
