"""The registry: versions by number and alias, champions and their history, and users who may not."""

import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ragline.cli import main
from ragline.embedding.model import find_model
from ragline.errors import ConflictError, CredentialsError, ModelError
from ragline.registry.registered_model import AFTER, BEFORE, DIGEST, URI, VERDICT, ModelReference
from ragline.registry.registry import HISTORY, SINCE, UNTIL, Registry, Succession
from tests.mlflow_server import ADMIN, READER
from tests.registry_shelf import Shelf

GONE = "was not registered by ragline: it has no tag ragline.model_digest"


def test_a_reference_names_a_number_or_an_alias() -> None:
    """What is read is what is written."""
    texts = ["models:/docs/3", "models:/docs@champion", "models:/my docs@a_b-c"]
    references = [ModelReference.parse(text) for text in texts]
    assert references == [
        ModelReference("docs", "3"),
        ModelReference("docs", "champion"),
        ModelReference("my docs", "a_b-c"),
    ]
    assert [str(reference) for reference in references] == texts


@pytest.mark.parametrize(
    "text",
    [
        *("models:/", "models:/docs", "models:/docs/", "models:/docs@", "models:/@champion", "models://docs/3"),
        *("models:/docs/0", "models:/docs/²", "models:/docs/Production", "models:/docs@champion/3", "models:/m-1a2b"),
        *("models:/docs'--@champion", "models:/docs@a b"),
    ],
)
def test_another_reference_is_refused(text: str) -> None:
    """Stages, logged models and half references; no server is asked."""
    with pytest.raises(ModelError, match="expected models:/NAME/VERSION or models:/NAME@ALIAS"):
        find_model(text)


def test_a_registered_model_is_found(shelf: Shelf, two_models: tuple[Path, Path], tmp_path: Path) -> None:
    """By number and by alias; its name is the version's, for the alias moves; its files are a verified copy."""
    number = shelf.register(two_models[0])
    shelf.point("champion", number)
    for name in (f"models:/{shelf.name}@champion", f"models:/{shelf.name}/1"):
        model = find_model(name)
        assert (model.name, model.digest) == (f"models:/{shelf.name}/1", find_model(str(two_models[0])).digest)
        assert model.folder == tmp_path / "cache" / "models" / model.digest / "model"


def test_a_version_says_what_it_is(shelf: Shelf, two_models: tuple[Path, Path]) -> None:
    """Its digest, its place, its aliases, when it was made, its tags."""
    number = shelf.register(two_models[0], **{BEFORE: "0.4", AFTER: "0.51", VERDICT: "Promoted."})
    shelf.point("challenger", number)
    version = shelf.registry.version(shelf.name, "1")
    assert version == shelf.registry.version(shelf.name, "challenger")
    assert [version] == shelf.registry.versions(shelf.name)
    digest = find_model(str(two_models[0])).digest
    facts = (version.digest, version.uri, version.store_uri, version.aliases, version.reference)
    uri = f"{shelf.store_uri}/models/{digest}"
    assert facts == (digest, uri, shelf.store_uri, ("challenger",), f"models:/{shelf.name}/1")
    assert (version.score(BEFORE), version.score(AFTER), version.score("other")) == (0.4, 0.51, None)
    age = datetime.now().astimezone() - datetime.fromisoformat(version.created)
    assert abs(age) < timedelta(minutes=5)


def test_versions_of_others_are_left_alone(shelf: Shelf, two_models: tuple[Path, Path]) -> None:
    """They are not listed, not used, and not promoted."""
    foreign, ours = shelf.version({"made": "by hand"}), shelf.register(two_models[0])
    shelf.point("champion", foreign)
    registry = shelf.registry
    assert [version.number for version in registry.versions(shelf.name)] == [ours]
    for version in ("champion", str(foreign)):
        with pytest.raises(ModelError, match=GONE):
            registry.version(shelf.name, version)
    with pytest.raises(ModelError, match=GONE):
        registry.promote(shelf.name, str(foreign))
    assert registry.promote(shelf.name, str(ours)) == Succession(shelf.name, foreign, ours)


@pytest.mark.parametrize("reference", ["docs-of-nobody/1", "docs-of-nobody@champion", "{}/7", "{}@champion"])
def test_what_is_not_registered_is_named(shelf: Shelf, reference: str) -> None:
    """A model, a version, an alias: the message says how to see what there is."""
    name = f"models:/{reference.format(shelf.name)}"
    with pytest.raises(
        ModelError, match=rf"^{name}: not at {shelf.server.url}; see what is there with: ragline models"
    ):
        find_model(name)


def test_versions_of_all_models_and_over_several_pages(
    shelf: Shelf, two_models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The latest first; MLflow gives no more at once than asked for."""
    monkeypatch.setattr("ragline.registry.registry._PAGE", 2)
    numbers = [shelf.register(two_models[0]) for _ in range(5)]
    assert [version.number for version in shelf.registry.versions(shelf.name)] == numbers[::-1]
    assert [v.number for v in shelf.registry.versions() if v.name == shelf.name] == numbers[::-1]
    assert shelf.registry.versions("docs-of-nobody") == []


def test_champions_come_and_go(shelf: Shelf, two_models: tuple[Path, Path]) -> None:
    """Each promotion is remembered; demoting walks back; the challenger's alias ends with its promotion."""
    for _ in range(3):
        shelf.register(two_models[0])
    registry, name = shelf.registry, shelf.name
    assert registry.champion(name) is None
    registry.challenge(registry.version(name, "1"))
    assert registry.promote(name) == Succession(name, 0, 1)
    assert registry.version(name, "1").aliases == ("champion",)
    with pytest.raises(ModelError, match="@challenger: not at"):
        registry.promote(name)
    assert registry.promote(name, "1") == Succession(name, 1, 1)
    moves = [registry.promote(name, version) for version in ("2", "1", "3")]
    assert moves == [Succession(name, 1, 2), Succession(name, 2, 1), Succession(name, 1, 3)]
    assert history(shelf) == "3,1,2,1"
    back = [registry.demote(name) for _ in range(3)]
    assert back == [Succession(name, 3, 1), Succession(name, 1, 2), Succession(name, 2, 1)]
    with pytest.raises(ModelError, match=rf"no version was champion before 1; `ragline promote {name} VERSION`"):
        registry.demote(name)
    champion = registry.champion(name)
    assert champion
    assert {SINCE, UNTIL} <= champion.tags.keys()


def history(shelf: Shelf) -> str:
    """Return what the registered model remembers."""
    model = shelf.server.tracking().find("registered-models/get", "read", name=shelf.name)
    assert model
    return str(next(tag["value"] for tag in model["registered_model"]["tags"] if tag["key"] == HISTORY))


def test_a_champion_made_by_hand_is_no_obstacle(shelf: Shelf, two_models: tuple[Path, Path]) -> None:
    """Whoever moves the alias in MLflow itself leaves no history: demoting returns to the champion before."""
    for _ in range(3):
        shelf.register(two_models[0])
    registry = shelf.registry
    registry.promote(shelf.name, "1")
    shelf.point("champion", 3)
    assert registry.demote(shelf.name) == Succession(shelf.name, 3, 1)
    with pytest.raises(ModelError, match="has no champion: nothing to demote"):
        registry.demote("docs-of-nobody")


def test_a_model_whose_files_are_gone_is_not_promoted(shelf: Shelf, two_models: tuple[Path, Path]) -> None:
    """The champion stays; the message names the file."""
    shelf.register(two_models[0])
    shelf.registry.promote(shelf.name, "1")
    shelf.register(two_models[1])
    digest = find_model(str(two_models[1])).digest
    shelf.models.store.delete(f"models/{digest}/model/tokenizer.json")
    with pytest.raises(ModelError, match=rf"models:/{shelf.name}/2 cannot be used: .*model/tokenizer\.json is missing"):
        shelf.registry.promote(shelf.name, "2")
    shelf.models.store.delete(f"models/{digest}/model.json")
    with pytest.raises(ModelError, match=rf"models:/{shelf.name}/2 cannot be used: .*/model\.json is missing"):
        shelf.registry.promote(shelf.name, "2")
    assert shelf.registry.version(shelf.name, "champion").number == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_champion_that_changes_meanwhile_stays(
    shelf: Shelf, two_models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Somebody moves the alias after it was read, or right after it was written: they are not overruled silently."""
    for _ in range(3):
        shelf.register(two_models[0])
    registry = shelf.registry
    registry.promote(shelf.name, "1")
    step = "_history" if when == "before" else "_move"
    ours = getattr(registry, step)

    def overtaken(*arguments: object) -> object:
        done = ours(*arguments)
        shelf.point("champion", 2)
        return done

    monkeypatch.setattr(registry, step, overtaken)
    with pytest.raises(ConflictError, match="changed meanwhile: version 2 is champion now, and that stays so"):
        registry.promote(shelf.name, "3")
    assert registry.version(shelf.name, "champion").number == 2
    assert history(shelf) == "1"


def test_a_training_is_refused_before_it_begins(shelf: Shelf) -> None:
    """Who may read everything and write nothing is told so within seconds, with the permission that is missing."""
    shelf.registry.check(shelf.name, "proven")
    reader = Registry(shelf.server.tracking(READER))
    begun = time.monotonic()
    message = (
        r"cannot write a run to experiment 'proven' \(permission EDIT\) at .*: "
        "user 'reader' of MLFLOW_TRACKING_USERNAME has not the permission"
    )
    with pytest.raises(CredentialsError, match=message):
        reader.check(shelf.name, "proven")
    with pytest.raises(CredentialsError, match=rf"cannot change registered model '{shelf.name}' \(permission EDIT\)"):
        reader.check(shelf.name, "readers own")
    assert time.monotonic() - begun < 10


def test_a_check_leaves_no_run_behind(shelf: Shelf) -> None:
    """Nor a version; a registered model that was not there is there."""
    shelf.registry.check("docs-new", "proven")
    shelf.registry.check("docs-new", "proven")
    server = shelf.server.tracking()
    experiment = server.find("experiments/get-by-name", "read", experiment_name="proven")
    assert experiment
    runs = server.change("POST", "runs/search", "search", experiment_ids=[experiment["experiment"]["experiment_id"]])
    assert (runs.get("runs", []), shelf.registry.versions("docs-new")) == ([], [])


def test_who_may_only_read_cannot_promote(shelf: Shelf, two_models: tuple[Path, Path]) -> None:
    """The models are there for them all the same."""
    shelf.register(two_models[0])
    reader = Registry(shelf.server.tracking(READER))
    assert [version.number for version in reader.versions(shelf.name)] == [1]
    with pytest.raises(CredentialsError, match=r"\(permission EDIT\).*user 'reader' .* has not the permission"):
        reader.promote(shelf.name, "1")
    assert reader.champion(shelf.name) is None


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"MLFLOW_TRACKING_PASSWORD": "made-up-wrong"},
            "MLFLOW_TRACKING_USERNAME or MLFLOW_TRACKING_PASSWORD is wrong",
        ),
        (
            {"MLFLOW_TRACKING_USERNAME": "", "MLFLOW_TRACKING_PASSWORD": ""},
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
        ),
    ],
)
def test_wrong_credentials_name_their_variables(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    """And not their values."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CredentialsError, match=message) as caught:
        find_model(f"models:/{shelf.name}@champion")
    assert not [secret for secret in ("made-up", ADMIN[1]) if secret in str(caught.value)]


def test_the_commands(shelf: Shelf, two_models: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """models, promote and demote say what holds and what changed."""
    digest = find_model(str(two_models[0])).digest
    shelf.register(two_models[0])
    shelf.register(two_models[1], **{BEFORE: "0.4123", AFTER: "0.5", VERDICT: "Promoted: it is better."})
    shelf.point("challenger", 2)
    name = shelf.name
    assert main(["promote", name, "1"]) == 0
    assert main(["promote", name]) == 0
    assert main(["demote", name]) == 0
    assert main(["models", name]) == 0
    lines = capsys.readouterr().out.splitlines()
    created = [version.created for version in shelf.registry.versions(name)]
    assert lines == [
        f"models:/{name}/1 is the champion; it is the first",
        f"it goes live with the next: ragline index DOCS --embedder models:/{name}@champion",
        f"models:/{name}/2 is the champion; it was version 1 (back to it: ragline demote {name})",
        f"it goes live with the next: ragline index DOCS --embedder models:/{name}@champion",
        f"models:/{name}/1 is the champion again; it was version 2",
        "releases made with the other one stay: `ragline rollback` takes one back",
        f"models:/{name}/2  -  {find_model(str(two_models[1])).digest[:12]}  {created[0]}  nDCG@10 0.4123 -> 0.5000",
        "    Promoted: it is better.",
        f"models:/{name}/1  champion  {digest[:12]}  {created[1]}  nDCG@10 ? -> ?",
    ]
    assert main(["promote", name, "1", "--json"]) == 0
    assert capsys.readouterr().out == f'{{"name": "{name}", "before": 1, "after": 1}}\n'
    assert main(["demote", name]) == 2
    assert "no version was champion before 1" in capsys.readouterr().err
    assert main(["models", "docs-of-nobody"]) == 0
    assert "no versions of docs-of-nobody are registered at" in capsys.readouterr().out


def test_a_version_without_a_place_is_not_ours(shelf: Shelf) -> None:
    """Both tags are needed."""
    shelf.version({DIGEST: "0" * 64})
    shelf.version({URI: "s3://bucket/models/0"})
    assert shelf.registry.versions(shelf.name) == []
