"""What keeps releases in order: verification, comparison, rollback, retention; in a folder and on a real S3 server."""

import json
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import pytest

from ragline import rollback
from ragline.comparison import compare_releases
from ragline.errors import ConflictError, DamagedReleaseError, InputError, NoReleaseError
from ragline.inventory import Problem, absences, stored_sizes
from ragline.leftovers import Mark
from ragline.object_store import ObjectStore
from ragline.reindex.changes import Changes
from ragline.release import CHUNKS, DOCUMENTS, LEXICAL, Index, describe_files, now
from ragline.retention import Removal, collect
from ragline.rollback import Move, embedder_problem, roll_back
from ragline.verification import Verification, verify_release
from tests.small_releases import Shelf, keys, make_release

A, B, C, D, E = (letter * 16 for letter in "abcde")
NO_WAIT = timedelta(0)
LONG_AGO = "2020-01-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """The files of a small release, built once."""
    return Shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture
def index(store: ObjectStore) -> Index:
    """An index of which nothing is published."""
    return Index(store, "docs")


@pytest.fixture
def three(index: Index, shelf: Shelf) -> Index:
    """The index after three releases went live, on three days; the last one has all parts."""
    shelf.publish(index, shelf.light("a", 1), shelf.light("b", 2), shelf.like("c", 3))
    return index


def history(index: Index) -> list[str]:
    """Return what is current and what was before, as first letters."""
    pointer = index.pointer()
    return [release[0] for release in (pointer.release, *pointer.before)]


# verification


def test_a_whole_release_has_no_problems(three: Index, shelf: Shelf, tmp_path: Path) -> None:
    """Every file is compared, nothing is left in the scratch folder."""
    files = shelf.manifest.files
    size = sum(facts["bytes"] for facts in files.values())
    found = verify_release(three, C, tmp_path / "scratch")
    assert found == Verification(C, len(files), size, (), ())
    assert (found.whole, list((tmp_path / "scratch").iterdir())) == (True, [])


def test_each_damaged_file_is_named(three: Index, shelf: Shelf, tmp_path: Path) -> None:
    """A missing one, a shorter one, one with other bytes of the same length; what does not belong is a warning."""
    prefix = f"indexes/docs/releases/{C}/"
    documents = three.store.read(prefix + DOCUMENTS)
    lexical = next(path for path in shelf.manifest.files if path.startswith(LEXICAL))
    three.store.delete(prefix + CHUNKS)
    three.store.write(prefix + lexical, b"short")
    three.store.write(prefix + DOCUMENTS, documents[:-1] + b"!")
    three.store.write(prefix + "chroma/extra", b"1")
    found = verify_release(three, C, tmp_path)
    assert [problem.file for problem in found.problems] == sorted([CHUNKS, DOCUMENTS, lexical])
    assert {problem.file: problem.detail.split()[:2] for problem in found.problems} == {
        CHUNKS: ["is", "missing"],
        lexical: ["has", "5"],
        DOCUMENTS: ["has", "sha256"],
    }
    assert found.unlisted == ("chroma/extra",)


def test_counts_that_do_not_agree_are_found(index: Index, shelf: Shelf, tmp_path: Path) -> None:
    """The files are as listed, and hold something else than the manifest says."""
    counts = {"documents": 3, "chunks": 4, "dimensions": 8, "deleted": 0}
    shelf.publish(index, shelf.like("b", counts=counts))
    assert verify_release(index, B, tmp_path).problems == (
        Problem("chroma", "holds 2 chunks, 4 in the manifest"),
        Problem(CHUNKS, "holds 2 chunks, 4 in the manifest"),
        Problem(DOCUMENTS, "holds 2 documents, 3 in the manifest"),
        Problem(LEXICAL, "holds 2 chunks, 4 in the manifest"),
    )


def test_parts_that_cannot_be_opened_are_found(index: Index, tmp_path: Path, shelf: Shelf) -> None:
    """Their checksums are right: they were published so. What is not listed at all is missed, too."""
    folder = tmp_path / "broken"
    (folder / "chroma").mkdir(parents=True)
    for path in (DOCUMENTS, CHUNKS, "chroma/chroma.sqlite3"):
        (folder / path).write_bytes(b"not an index")
    manifest = shelf.like("b", files=describe_files(folder))
    index.add(manifest, folder)
    problems = verify_release(index, B, tmp_path / "scratch").problems
    assert [(problem.file, problem.detail.partition(":")[0]) for problem in problems] == [
        ("chroma", "cannot be opened"),
        (CHUNKS, "cannot be opened"),
        (DOCUMENTS, "cannot be opened"),
        (LEXICAL, "is not in the manifest"),
    ]


def test_names_and_digests_that_do_not_agree_are_found(three: Index, tmp_path: Path) -> None:
    """A manifest under another name, a pointer to another digest, a manifest that is none."""
    store, folder = three.store, "indexes/docs/releases"
    other = replace(three.manifest(C), digests={**three.manifest(C).digests, "index": "f" * 64})
    store.write(f"{folder}/{C}/manifest.json", other.to_json())
    store.write(f"{folder}/{A}/manifest.json", b"{")
    files = [problem.file for problem in verify_release(three, C, tmp_path).problems]
    assert files == ["current.json", "manifest.json"]
    found = verify_release(three, A, tmp_path)
    assert [problem.file for problem in found.problems] == ["manifest.json"]
    assert found.problems[0].detail.startswith("cannot be used: ")
    with pytest.raises(NoReleaseError, match="no release 'f'"):
        verify_release(three, "f", tmp_path)


# references


def test_a_release_is_found_by_what_a_person_writes(three: Index, shelf: Shelf) -> None:
    """Its name, how it begins, or "current"; what fits none or several is refused."""
    three.add(replace(shelf.like("b"), release="bc" * 8), shelf.files)
    assert [three.find(text) for text in ("current", C, "a", "bb", "bc")] == [C, C, A, B, "bc" * 8]
    with pytest.raises(InputError, match=f"release 'b': {B}, {'bc' * 8} begin so; give more of the name"):
        three.find("b")
    with pytest.raises(NoReleaseError, match="no release 'x'; `ragline releases` lists them"):
        three.find("x")


# comparison


def test_a_comparison_names_documents_and_settings(index: Index, tmp_path: Path) -> None:
    """Added, changed, moved, removed; and the settings that differ, no others."""
    first = make_release(
        tmp_path / "1", "a", {"kept": "k", "edited": "old", "old-name": "moved", "gone": "g"}, created=now()
    )
    second = make_release(
        tmp_path / "2", "b", {"kept": "k", "edited": "new", "new-name": "moved", "n1": "1", "n2": "2"}, created=now()
    )
    second = replace(second, chunking={"size": 100, "overlap": 0})
    index.add(first, tmp_path / "1")
    index.add(second, tmp_path / "2")
    found = compare_releases(index, A, B)
    assert found.changes == Changes(
        added=("n1", "n2"), changed=("edited",), moved=(("old-name", "new-name"),), removed=("gone",), unchanged=1
    )
    assert found.settings == {"chunk size": (200, 100), "chunks": (4, 5)}
    assert (found.before, found.after) == (first, second)


# rollback


def test_repeated_rollback_walks_back(three: Index) -> None:
    """Each time to the release that was live before; when there is none, nothing is changed."""
    assert [roll_back(three), roll_back(three)] == [Move(C, B, warning()), Move(B, A, warning())]
    with pytest.raises(NoReleaseError, match=f"no release was live before {A}, .*`ragline rollback RELEASE` goes to"):
        roll_back(three)
    assert history(three) == ["a"]
    assert three.pointer().run == "rollback"


def warning() -> str:
    """What is said of the small releases: their digest of the model is made up."""
    return "embedder 'all-MiniLM-L6-v2' is another model here, with other vectors"


def test_a_rollback_can_be_taken_back_by_name(three: Index, shelf: Shelf) -> None:
    """Forward again; then the way back is the same as before. A new release goes on from what is live."""
    roll_back(three)
    assert history(three) == ["b", "a"]
    assert roll_back(three, C).after == C
    assert history(three) == ["c", "b", "a"]
    roll_back(three, A)
    shelf.publish(three, shelf.light("d", 4))
    assert history(three) == ["d", "a"]


def test_a_rollback_to_what_is_live_changes_nothing(three: Index) -> None:
    """It may be repeated by a script that does not know whether it was done."""
    before = three.pointer()
    assert roll_back(three, C) == Move(C, C)
    assert three.pointer() == before


def test_a_release_that_was_collected_is_passed_over(three: Index) -> None:
    """Going back means to the last one that is still there."""
    three.store.delete(f"indexes/docs/releases/{B}/manifest.json")
    assert roll_back(three).after == A


def test_a_pointer_of_an_older_ragline_has_nothing_before(three: Index, shelf: Shelf) -> None:
    """It can be read, replaced, and left by name."""
    value = json.loads(three.store.read("indexes/docs/current.json"))
    del value["before"]
    three.store.write("indexes/docs/current.json", json.dumps(value).encode())
    with pytest.raises(NoReleaseError, match="no release was live before"):
        roll_back(three)
    assert roll_back(three, B).after == B
    assert history(three) == ["b", "c"]


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_a_damaged_release_never_becomes_current(three: Index, damage: str) -> None:
    """Files are looked for before the pointer moves; the message says what is wrong and what stays."""
    key = f"indexes/docs/releases/{B}/{CHUNKS}"
    if damage == "missing":
        three.store.delete(key)
    else:
        three.store.write(key, b"short")
    before = three.pointer()
    with pytest.raises(DamagedReleaseError, match=f"^release {B}: {CHUNKS} (is missing|has 5 bytes.*); {C} stays"):
        roll_back(three)
    assert three.pointer() == before


def test_checksums_are_compared_on_demand(three: Index, shelf: Shelf, tmp_path: Path) -> None:
    """A file of the right size with other bytes is only found by downloading it."""
    shelf.publish(three, shelf.like("d", 4), shelf.light("e", 5))
    key = f"indexes/docs/releases/{D}/{DOCUMENTS}"
    three.store.write(key, three.store.read(key)[:-1] + b"!")
    with pytest.raises(DamagedReleaseError, match=f"^release {D}: {DOCUMENTS} has sha256 .*; {E} stays current"):
        roll_back(three, scratch=tmp_path)
    assert history(three) == ["e", "d", "c", "b", "a"]


def test_a_rollback_gives_way_to_a_run_that_publishes(
    three: Index, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What went live while the release was checked stays live."""
    check = rollback._check

    def publish_meanwhile(*arguments: object) -> None:
        check(*arguments)  # type: ignore[arg-type]
        shelf.publish(three, shelf.light("d", 4))

    monkeypatch.setattr(rollback, "_check", publish_meanwhile)
    with pytest.raises(ConflictError, match=f"release {D}, published by run-d, is live"):
        roll_back(three)
    assert history(three) == ["d", "c", "b", "a"]


def test_a_rollback_to_what_is_being_collected_is_taken_back(three: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest vanishes between the check and the move: the pointer never stays at a release that is not there."""
    check = rollback._check

    def collect_meanwhile(*arguments: object) -> None:
        check(*arguments)  # type: ignore[arg-type]
        three.store.delete(f"indexes/docs/releases/{B}/manifest.json")

    monkeypatch.setattr(rollback, "_check", collect_meanwhile)
    with pytest.raises(ConflictError, match=f"release {B} was collected meanwhile; {C} stays current"):
        roll_back(three)
    assert history(three) == ["c", "b", "a"]


def test_an_embedder_that_is_not_here_is_only_warned_of(three: Index, shelf: Shelf) -> None:
    """A folder that is gone, a hub id that was never downloaded, a registered model, another model of the same name."""
    names = ("./gone", "some/model", "models:/docs/3")
    made = [shelf.like("b", embedder=name, digests={**shelf.manifest.digests, "model": "0" * 64}) for name in names]
    problems = [embedder_problem(manifest, three.store) for manifest in made]
    assert problems == [
        "embedder './gone': gone is not a folder; name a model folder or a hub id",
        "embedder 'some/model' is not on this machine; it will be downloaded when a question needs it",
        "embedder 'models:/docs/3' is not in the store; only the registry has it",
    ]
    assert embedder_problem(shelf.manifest, three.store) == warning()


# retention


def test_the_newest_stay_and_the_others_go(three: Index, shelf: Shelf) -> None:
    """The current one and the one before it stay in any case; a rollback still works."""
    shelf.publish(three, shelf.light("d", 4), shelf.light("e", 5))
    roll_back(three, B)
    sizes = [sum(info.size for info in three.store.list(f"indexes/docs/releases/{name}/")) for name in (C, D)]
    before = keys(three.store)
    planned = collect(three.store, "docs", keep=1, min_age=NO_WAIT, dry_run=True)
    assert planned.removed == (Removal("release", C, sizes[0]), Removal("release", D, sizes[1]))
    assert planned.kept == {A: "live before the current one", B: "current", E: "of the newest 1"}
    assert keys(three.store) == before
    assert collect(three.store, "docs", keep=1, min_age=NO_WAIT) == planned
    assert keys(three.store) == [key for key in before if C not in key and D not in key]
    assert roll_back(three).after == A


def test_young_and_served_releases_stay(three: Index, shelf: Shelf) -> None:
    """A run may be about to make a young one current; a service says until when it holds one; an old mark is void."""
    shelf.publish(three, shelf.light("d", 4), shelf.light("e", 5))
    three.add(shelf.light("f", created=now()), shelf.files)
    for name, release, until in (("x", A, "9"), ("y", B, "2020"), ("z", C, None)):
        mark = json.dumps({"release": release, "until": until}).encode()
        three.store.write(f"indexes/docs/serving/{name}.json", mark if until else b"{")
    done = collect(three.store, "docs", keep=1)
    assert [removal.name for removal in done.removed] == [B, C]
    assert done.kept == {
        A: "being served",
        D: "live before the current one",
        E: "current",
        "f" * 16: "of the newest 1",
    }
    three.add(shelf.light("0", created=now()), shelf.files)
    assert collect(three.store, "docs", keep=1).kept["f" * 16] == "younger than 1 h"


def test_a_collection_that_was_killed_is_completed(three: Index, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the manifest: there is no release any more, and the next collection removes its files."""
    delete = type(three.store).delete

    def die(store: ObjectStore, key: str) -> None:
        delete(store, key)
        if key.endswith("manifest.json"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(three.store), "delete", die)
        with pytest.raises(KeyboardInterrupt):
            collect(three.store, "docs", keep=1, min_age=NO_WAIT)
    assert three.names() == [B, C]
    left = keys(three.store, f"indexes/docs/releases/{A}/")
    files = shelf.light("a").files
    assert len(left) == len(files)
    size = sum(facts["bytes"] for facts in files.values())
    done = collect(three.store, "docs", keep=1, min_age=NO_WAIT)
    assert done.removed == (Removal("leftovers", A, size),)
    assert keys(three.store, f"indexes/docs/releases/{A}/") + keys(three.store, "gc/") == []


def test_what_a_killed_run_uploaded_goes_when_it_was_quiet_for_a_day(three: Index) -> None:
    """Its age is found by looking twice; whatever is written in between begins the wait anew."""
    store, prefix, mark = three.store, f"indexes/docs/releases/{E}/", f"gc/indexes/docs/releases/{E}.json"
    store.write(f"{prefix}chroma/a", b"12")
    assert collect(store, "docs").watched == (prefix,)
    make_older(store, mark)
    store.write(f"{prefix}chroma/b", b"345")
    assert (collect(store, "docs").removed, collect(store, "docs").removed) == ((), ())
    make_older(store, mark)
    assert collect(store, "docs", dry_run=True).removed == (Removal("leftovers", E, 5),)
    assert collect(store, "docs").removed == (Removal("leftovers", E, 5),)
    assert keys(store, prefix) + keys(store, "gc/") == []


def make_older(store: ObjectStore, mark: str) -> None:
    """Change a mark as if it had been made long ago."""
    seen = Mark(**json.loads(store.read(mark)))
    store.write(mark, json.dumps(asdict(replace(seen, since=LONG_AGO))).encode())


def test_a_release_that_is_uploaded_again_is_not_taken_for_leftovers(three: Index, shelf: Shelf) -> None:
    """Its files are there before its manifest; an old note about them does not count once they are whole."""
    store, mark = three.store, f"gc/indexes/docs/releases/{D}.json"
    store.write(f"indexes/docs/releases/{D}/{CHUNKS}", b"half")
    collect(store, "docs")
    make_older(store, mark)
    shelf.publish(three, shelf.light("d", 4))
    assert collect(store, "docs").removed == ()
    assert (three.has(D), keys(store, "gc/")) == (True, [])


def test_a_release_that_goes_live_while_it_is_removed_comes_back(
    three: Index, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the pointer and the removal of the manifest, a rollback moved the pointer to it."""
    delete = type(three.store).delete

    def point_before(store: ObjectStore, key: str) -> None:
        if key == f"indexes/docs/releases/{A}/manifest.json":
            three.point(three.manifest(A), "rollback")
        delete(store, key)

    with monkeypatch.context() as patch:
        patch.setattr(type(three.store), "delete", point_before)
        assert collect(three.store, "docs", keep=1, min_age=NO_WAIT).removed == ()
    assert list(absences(three.current(), stored_sizes(three, A))) == []
    assert keys(three.store, "gc/") == []


def test_vectors_go_when_no_release_of_any_index_uses_their_model(three: Index, shelf: Shelf) -> None:
    """And only when nothing was written to them for a week: a long run with a new model writes before it publishes."""
    store = three.store
    shelf.publish(Index(store, "other"), shelf.light("e", digests={**shelf.manifest.digests, "model": "n"}))
    for model in ("m", "n", "o"):
        store.write(f"vectors/{model}/00-ff-x.keys", b"1")
        store.write(f"vectors/{model}/00-ff-x.parquet", b"23")
    assert collect(store, "docs").watched == ("vectors/o/",)
    make_older(store, "gc/vectors/o.json")
    assert collect(store, "docs").removed == (Removal("vectors", "o", 3),)
    assert keys(store, "vectors/") == [f"vectors/{m}/00-ff-x.{end}" for m in "mn" for end in ("keys", "parquet")]


def test_a_manifest_that_cannot_be_read_keeps_its_release_and_all_vectors(three: Index) -> None:
    """What it needs is not known, so nothing that it may need is removed."""
    store = three.store
    store.write(f"indexes/docs/releases/{A}/manifest.json", b"{")
    store.write("vectors/o/00-ff-x.keys", b"1")
    done = collect(store, "docs", keep=1, min_age=NO_WAIT)
    assert (done.removed, done.watched) == ((), ())
    assert done.kept == {A: "its manifest cannot be read", B: "live before the current one", C: "current"}


def test_collection_needs_a_pointer_and_something_to_keep(index: Index, shelf: Shelf) -> None:
    """A wrong name or number removes nothing."""
    with pytest.raises(NoReleaseError, match="nothing has been published"):
        collect(index.store, "docs")
    with pytest.raises(InputError, match="keep 0: at least 1 release must stay"):
        collect(index.store, "docs", keep=0)


def test_a_manifest_of_somebody_else_cannot_lead_outside(index: Index, shelf: Shelf, tmp_path: Path) -> None:
    """A path that leaves the release is no file of it: missing, never read or written."""
    evil = shelf.like("b", files={"../../../x": {"bytes": 1, "sha256": ""}})
    index.store.write(f"indexes/docs/releases/{B}/manifest.json", evil.to_json())
    assert Problem("../../../x", "is missing") in verify_release(index, B, tmp_path).problems
