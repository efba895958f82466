"""Registered models in MLflow, by plain REST: which version is in use, and how that changes.

MLflow keeps for each version where its files are (tags); the files are in an object store
(`ragline.registry.model_store`).
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from ragline.errors import ConflictError, ModelError, StoreError
from ragline.registry.registered_model import (
    CHALLENGER,
    CHAMPION,
    DIGEST,
    URI,
    ModelReference,
    ModelVersion,
    check_model_name,
)
from ragline.registry.tracking_server import TrackingServer
from ragline.settings import RegistrySettings

EXPERIMENT = "ragline"
"""The experiment that holds the runs of trainings."""

HISTORY = "ragline.champions"
"""Tag of a registered model: the numbers of its champions, the latest one first."""

SINCE, UNTIL = "ragline.champion_since", "ragline.champion_until"
"""Tags of a version that was champion: from when, and until when."""

CHECKED = "ragline.checked"
"""Tag of a registered model: when it was last proven that it can be written."""

_REMEMBERED = 20
_PAGE = 200


@dataclass(frozen=True, slots=True)
class Succession:
    """A change of champions.

    Attributes:
        name: of the registered model.
        before: the version that was champion, 0 if there was none.
        after: the version that is.
    """

    name: str
    before: int
    after: int


class Registry:
    """The registered models of an MLflow server.

    Example:
        >>> registry = Registry.from_environment()  # doctest: +SKIP
        >>> registry.promote("docs", "3")  # doctest: +SKIP
        Succession(name='docs', before=2, after=3)
    """

    def __init__(self, server: TrackingServer) -> None:
        self._server = server
        self.url = server.url

    @classmethod
    def from_environment(cls) -> Self:
        """Return the registry that MLFLOW_TRACKING_URI names; nothing is contacted before its first use.

        Raises:
            SettingError: a variable is missing or malformed.
            CredentialsError: there is a user without a password, or the other way round.
        """
        return cls(TrackingServer(RegistrySettings.from_environment()))

    def check(self, name: str, experiment: str = EXPERIMENT) -> None:
        """Prove, within seconds, that a training can be written down: a run, an artifact, the registered model.

        The experiment and the registered model are made if they are not there; the run is deleted again.

        Raises:
            CredentialsError: the user may not; names the permission.
            StoreError: the server does not answer, or refuses.
        """
        doing = f"write a run to experiment {experiment!r} (permission EDIT)"
        fields = {"experiment_id": self._experiment(experiment), "run_name": "ragline check"}
        info = self._server.change("POST", "runs/create", doing, start_time=int(time.time() * 1000), **fields)["run"][
            "info"
        ]
        try:
            scheme, _, root = info["artifact_uri"].partition(":/")
            if scheme == "mlflow-artifacts":  # else the client writes to the store behind it, with keys of its own
                self._server.put(f"{root}/check.txt", f"write an artifact to experiment {experiment!r}", b"written\n")
        finally:
            self._server.change("POST", "runs/delete", doing, run_id=info["run_id"])
        self._prove_model(name)

    def champion(self, name: str) -> ModelVersion | None:
        """Return the version that is in use; None if there is none, or no such model.

        Raises:
            ModelError: it is not ragline's.
        """
        reference = ModelReference(check_model_name(name), CHAMPION)
        value = self._find(reference)
        return _checked(value, reference) if value else None

    def version(self, name: str, version: str) -> ModelVersion:
        """Return a version by its number or by an alias.

        Raises:
            ModelError: there is none, or ragline did not register it.
            StoreError: the server does not answer, or refuses.
        """
        reference = ModelReference(check_model_name(name), version)
        value = self._find(reference)
        if value is None:
            raise ModelError(f"{reference}: not at {self.url}; see what is there with: ragline models {name}")
        return _checked(value, reference)

    def versions(self, name: str = "") -> list[ModelVersion]:
        """Return the versions that ragline registered, the latest first; of all models if none is named."""
        names = [check_model_name(name)] if name else self._names()
        return [version for each in names for version in self._versions_of(each)]

    def promote(self, name: str, version: str = CHALLENGER) -> Succession:
        """Make a version the champion.

        Args:
            name: of the registered model.
            version: its number, or an alias.

        Raises:
            ModelError: there is no such version, it is not ragline's, or its files are gone from the object store.
            ConflictError: someone else has made another version the champion meanwhile; it stays.
        """
        chosen = self.version(name, version)
        _check_files(chosen)
        before = self._champion_number(name)
        if before != chosen.number:
            earlier = [number for number in (before, *self._history(name)) if number]
            self._install(chosen, [chosen.number, *_without_repetition(earlier)], before)
        if CHALLENGER in chosen.aliases:
            self._move(name, CHALLENGER, None)
        return Succession(name, before, chosen.number)

    def demote(self, name: str) -> Succession:
        """Make the version champion again that was before the one that is.

        Raises:
            ModelError: there is none, or its files are gone from the object store.
            ConflictError: someone else has made another version the champion meanwhile; it stays.
        """
        before = self._champion_number(check_model_name(name))
        if not before:
            raise ModelError(f"registered model {name!r} at {self.url} has no champion: nothing to demote")
        history = self._history(name)
        earlier = history[history.index(before) + 1 :] if before in history else history
        if not earlier:
            raise ModelError(
                f"registered model {name!r} at {self.url}: no version was champion before {before}; "
                f"`ragline promote {name} VERSION` makes another one champion"
            )
        chosen = self.version(name, str(earlier[0]))
        _check_files(chosen)
        self._install(chosen, earlier, before)
        return Succession(name, before, chosen.number)

    def challenge(self, version: ModelVersion) -> None:
        """Give a version the alias `challenger`."""
        self._move(version.name, CHALLENGER, version.number)

    def _install(self, chosen: ModelVersion, history: Sequence[int], before: int) -> None:
        """Move the alias, and see that it is where we moved it; MLflow cannot compare and set."""
        name = chosen.name
        if (now := self._champion_number(name)) != before:
            raise _overtaken(chosen, now)
        self._move(name, CHAMPION, chosen.number)
        if (now := self._champion_number(name)) != chosen.number:
            raise _overtaken(chosen, now)
        self._tag("registered-models", HISTORY, ",".join(map(str, history[:_REMEMBERED])), name=name)
        self._tag("model-versions", SINCE, _now(), name=name, version=str(chosen.number))
        if before:
            self._tag("model-versions", UNTIL, _now(), name=name, version=str(before))

    def _tag(self, kind: str, key: str, value: str, **where: str) -> None:
        self._server.change("POST", f"{kind}/set-tag", _editing(where["name"]), key=key, value=value, **where)

    def _move(self, name: str, alias: str, number: int | None) -> None:
        where = {"name": name, "alias": alias}
        if number is None:
            self._server.change("DELETE", "registered-models/alias", _editing(name), **where)
        else:
            self._server.change("POST", "registered-models/alias", _editing(name), **where, version=str(number))

    def _experiment(self, name: str) -> str:
        value = self._server.find("experiments/get-by-name", f"read experiment {name!r}", experiment_name=name)
        if value is None:
            return str(
                self._server.change("POST", "experiments/create", f"make experiment {name!r}", name=name)[
                    "experiment_id"
                ]
            )
        if value["experiment"]["lifecycle_stage"] != "active":
            raise StoreError(f"experiment {name!r} at {self.url} is deleted: restore it in MLflow, or name another one")
        return str(value["experiment"]["experiment_id"])

    def _prove_model(self, name: str) -> None:
        if self._model(check_model_name(name)) is None:
            self._server.change("POST", "registered-models/create", f"make registered model {name!r}", name=name)
        self._tag("registered-models", CHECKED, _now(), name=name)

    def _model(self, name: str) -> dict[str, Any] | None:
        value = self._server.find("registered-models/get", f"read registered model {name!r}", name=name)
        return value["registered_model"] if value else None

    def _names(self) -> list[str]:
        models = self._pages("registered-models/search", "registered_models", "list the registered models")
        return sorted(model["name"] for model in models)

    def _versions_of(self, name: str) -> list[ModelVersion]:
        aliases = self._aliases(name)
        doing = f"list the versions of registered model {name!r}"
        values = self._pages("model-versions/search", "model_versions", doing, filter=f"name='{name}'")
        found = [version for value in values if (version := _ours(value, aliases))]
        return sorted(found, key=lambda version: version.number, reverse=True)

    def _pages(self, path: str, key: str, doing: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            more = {"page_token": token} if token else {}
            value = self._server.find(path, doing, max_results=_PAGE, **parameters, **more) or {}
            yield from value.get(key, [])
            token = value.get("next_page_token", "")
            if not token:
                return

    def _find(self, reference: ModelReference) -> dict[str, Any] | None:
        kind, key = ("model-versions/get", "version") if reference.is_number else ("registered-models/alias", "alias")
        value = self._server.find(kind, f"read {reference}", name=reference.name, **{key: reference.version})
        return value["model_version"] if value else None

    def _champion_number(self, name: str) -> int:
        """Return the number of the champion, whoever registered it; 0 if there is none."""
        value = self._find(ModelReference(name, CHAMPION))
        return int(value["version"]) if value else 0

    def _aliases(self, name: str) -> dict[int, list[str]]:
        aliases: dict[int, list[str]] = {}
        for entry in (self._model(name) or {}).get("aliases", []):
            aliases.setdefault(int(entry["version"]), []).append(entry["alias"])
        return aliases

    def _history(self, name: str) -> list[int]:
        tags = _tags(self._model(name) or {})
        return [int(number) for number in tags.get(HISTORY, "").split(",") if number.isdigit()]


def _ours(value: dict[str, Any], aliases: dict[int, list[str]]) -> ModelVersion | None:
    """Read a version; None if ragline did not register it."""
    tags, number = _tags(value), int(value["version"])
    if not tags.get(DIGEST) or not tags.get(URI):
        return None
    return ModelVersion(
        name=value["name"],
        number=number,
        digest=tags[DIGEST],
        uri=tags[URI],
        created=datetime.fromtimestamp(int(value["creation_timestamp"]) / 1000, UTC).isoformat(timespec="seconds"),
        aliases=tuple(sorted({*value.get("aliases", []), *aliases.get(number, [])})),
        tags=tags,
        mlflow_run=value.get("run_id", ""),
    )


def _checked(value: dict[str, Any], reference: ModelReference) -> ModelVersion:
    found = _ours(value, {})
    if found is None:
        raise ModelError(
            f"{reference}: version {value['version']} was not registered by ragline: it has no tag {DIGEST}; "
            f"`ragline models {reference.name}` lists those that were"
        )
    return found


def _without_repetition(numbers: Sequence[int]) -> list[int]:
    return [number for number, before in zip(numbers, (0, *numbers), strict=False) if number != before]


def _tags(value: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag.get("value", "") for tag in value.get("tags", [])}


def _check_files(version: ModelVersion) -> None:
    """Prove that the files of a version are in the object store.

    Raises:
        ModelError: they are not.
    """
    # Reading a folder of vectors is no business of those who list versions.
    from ragline.object_store import open_store
    from ragline.registry.model_store import ModelStore

    try:
        ModelStore(open_store(version.store_uri)).check(version.digest)
    except ModelError as exc:
        raise ModelError(f"{version.reference} cannot be used: {exc}") from exc


def _overtaken(chosen: ModelVersion, now: int) -> ConflictError:
    theirs = f"version {now} is champion now" if now else "it has no champion now"
    return ConflictError(
        f"the champion of registered model {chosen.name!r} changed meanwhile: {theirs}, and that stays so; "
        f"to have version {chosen.number} nevertheless, promote it again"
    )


def _editing(name: str) -> str:
    return f"change registered model {name!r} (permission EDIT)"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
