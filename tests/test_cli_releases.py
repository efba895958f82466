"""The commands about releases: what they print, for people and for scripts, and their exit status."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ragline.cli import main, parser
from ragline.object_store import open_store
from ragline.release import CHUNKS, DOCUMENTS, Index
from tests.small_releases import Shelf, make_release

A, B, C = (letter * 16 for letter in "abc")
WARNING = "embedder 'all-MiniLM-L6-v2' is another model here, with other vectors"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """The files of a small release, built once."""
    return Shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture
def index(shelf: Shelf, tmp_path: Path) -> Index:
    """The index "docs" in a folder, after three releases went live."""
    (tmp_path / "store").mkdir()
    index = Index(open_store(str(tmp_path / "store")), "docs")
    shelf.publish(index, shelf.light("a", 1), shelf.light("b", 2), shelf.like("c", 3))
    return index


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command on the index; gives exit status, stdout, stderr."""
    monkeypatch.setenv("RAGLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RAGLINE_STORE", str(tmp_path / "store"))

    def call(*arguments: str) -> tuple[int, str, str]:
        status = main([*arguments, "--name", "docs"])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def test_releases_shows_what_is_live_and_where_rollback_goes(index: Index, run: Run) -> None:
    """Newest first, * and <; and the same for scripts."""
    status, out, _ = run("releases")
    assert status == 0
    assert [line[:18] for line in out.splitlines()] == [f"* {C}", f"< {B}", f"  {A}"]
    assert out.splitlines()[1].endswith("2 documents, 2 chunks, 0.0 MB, all-MiniLM-L6-v2")
    rows = json.loads(run("releases", "--json")[1])
    assert [(row["release"], row["current"], row["rollback"]) for row in rows] == [
        (C, True, False),
        (B, False, True),
        (A, False, False),
    ]


def test_verify_says_whole_or_names_the_file(index: Index, run: Run) -> None:
    """Exit status 0 or 1; what does not belong is only a warning."""
    index.store.write(f"indexes/docs/releases/{C}/extra", b"1")
    status, out, err = run("verify")
    assert (status, err) == (0, "")
    assert out.startswith(f"release {C}: whole (")
    assert out.endswith("  warning: extra does not belong to the release\n")
    index.store.delete(f"indexes/docs/releases/{C}/{CHUNKS}")
    status, out, _ = run("verify", "cc")
    assert status == 1
    assert out.splitlines()[0].startswith(f"release {C}: damaged (")
    assert out.splitlines()[1] == f"  {CHUNKS} is missing"


def test_verify_all_goes_through_every_release(index: Index, run: Run) -> None:
    """One that is damaged does not hide the others."""
    index.store.write(f"indexes/docs/releases/{A}/manifest.json", b"{")
    status, out, _ = run("verify", "--all", "--json")
    found = json.loads(out)
    assert (status, [(each["release"], each["whole"]) for each in found]) == (1, [(A, False), (B, False), (C, True)])
    assert found[1]["problems"] == [
        {"file": "chroma", "detail": "is not in the manifest"},
        {"file": "lexical", "detail": "is not in the manifest"},
    ]
    assert found[2].keys() == {"release", "whole", "files", "bytes", "problems", "unlisted"}


@pytest.fixture
def grown(index: Index, tmp_path: Path) -> Index:
    """The index after 25 documents came, one moved and one changed."""
    documents = {"one.md": "other text", "three.md": "second text", **{f"new{n:02}.md": str(n) for n in range(25)}}
    created = "2020-02-01T00:00:00.000+00:00"
    manifest = make_release(tmp_path / "grown", "d", documents, created=created)
    index.add(manifest, tmp_path / "grown")
    index.point(manifest, "run-d")
    return index


def test_diff_shows_counts_and_the_first_documents(grown: Index, run: Run) -> None:
    """To the current release unless another is named; all of them on demand."""
    status, out, _ = run("diff", "c")
    lines = out.splitlines()
    assert (status, lines[:3]) == (
        0,
        [
            f"from {C}  2020-01-03T00:00:00.000+00:00",
            f"to   {'d' * 16}  2020-02-01T00:00:00.000+00:00",
            "documents: 25 added, 1 changed, 1 moved, 0 removed, 0 unchanged",
        ],
    )
    assert lines[3:5] + lines[22:] == [
        "+ new00.md",
        "+ new01.md",
        "+ new19.md",
        "+ ... and 5 more, with --all",
        "~ one.md",
        "> two.md -> three.md",
        "chunks: 2 -> 27",
    ]
    assert run("diff", "c", "--all")[1].count("\n+ ") == 25


def test_diff_gives_scripts_all_documents(grown: Index, run: Run) -> None:
    """Whatever was moved is a pair of names."""
    found = json.loads(run("diff", "current", "a", "--json")[1])
    assert found == {
        "before": "d" * 16,
        "after": A,
        "documents": {"added": 0, "changed": 1, "moved": 1, "removed": 25, "unchanged": 0},
        "added": [],
        "changed": ["one.md"],
        "moved": [["three.md", "two.md"]],
        "removed": [f"new{n:02}.md" for n in range(25)],
        "settings": {"chunks": [27, 2]},
    }


def test_rollback_says_what_was_and_what_is_live(index: Index, run: Run) -> None:
    """And how to take it back; the warning about the embedder does not stop it."""
    assert run("rollback") == (
        0,
        f"release {B} is live; it was {C} (back to it: ragline rollback {C})\n",
        f"warning: {WARNING}\n",
    )
    assert json.loads(run("rollback", "--json")[1]) == {"before": B, "after": A, "warning": WARNING}
    status, out, err = run("rollback")
    assert (status, out) == (2, "")
    assert err.startswith("ragline: index 'docs' in ")
    assert len(err.splitlines()) == 1
    assert run("rollback", "a")[:2] == (0, f"release {A} is live already; nothing was changed\n")
    assert run("rollback", "c", "--verify")[0] == 0
    assert index.pointer().release == C


def test_a_refused_rollback_is_one_line(index: Index, run: Run) -> None:
    """The current release stays, and scripts get the error as JSON."""
    index.store.delete(f"indexes/docs/releases/{B}/{DOCUMENTS}")
    message = f"release {B}: {DOCUMENTS} is missing; {C} stays current. See: ragline verify {B}"
    assert run("rollback") == (2, "", f"ragline: {message}\n")
    assert json.loads(run("rollback", "--json")[1]) == {"error": "DamagedReleaseError", "message": message}
    assert index.pointer().release == C


def test_gc_says_what_it_removed_and_why_the_others_stay(index: Index, run: Run) -> None:
    """First without doing it."""
    index.store.write(f"indexes/docs/releases/{'9' * 16}/chunks.arrow", b"1")
    status, out, _ = run("gc", "--keep", "1", "--dry-run")
    kept = [f"kept release {B}: live before the current one", f"kept release {C}: current"]
    watched = f"watched indexes/docs/releases/{'9' * 16}/: belongs to no release; "
    lines = out.splitlines()
    assert (status, lines[0], lines[1:3]) == (0, f"would remove release {A}: 0.0 MB", kept)
    assert lines[3].startswith(watched)
    assert lines[4:] == ["would free 0.0 MB"]
    assert len(index.names()) == 3
    done = json.loads(run("gc", "--keep", "1", "--json")[1])
    assert done == {
        "dry_run": False,
        "bytes": done["bytes"],
        "removed": [{"kind": "release", "name": A, "bytes": done["bytes"]}],
        "kept": {B: "live before the current one", C: "current"},
        "watched": [f"indexes/docs/releases/{'9' * 16}/"],
    }
    assert run("gc")[1].splitlines()[-1] == "freed 0.0 MB"
    assert index.names() == [B, C]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["verify", "x"], "no release 'x'"),
        (["diff", "x"], "no release 'x'"),
        (["rollback", "x"], "no release 'x'"),
        (["gc", "--keep", "0"], "keep 0: at least 1"),
        (["verify", "--store", "ftp://host/x"], "ftp"),
        (["gc", "--store", "nowhere"], "nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_clear_line(arguments: list[str], says: str, index: Index, run: Run) -> None:
    """Exit status 2, and nothing is changed."""
    status, out, err = run(*arguments)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert says in err
    assert len(index.names()) == 3


@pytest.mark.parametrize("arguments", [["verify", "--all"], ["diff", "a"], ["rollback"], ["gc"], ["releases"]])
def test_an_index_without_releases_says_how_to_make_one(arguments: list[str], index: Index, tmp_path: Path) -> None:
    """Whatever is asked of it."""
    assert main([*arguments, "--store", str(tmp_path / "store"), "--name", "empty"]) == 2


def test_hours_are_a_number(index: Index, run: Run) -> None:
    """A negative age would protect nothing by mistake."""
    with pytest.raises(SystemExit, match="2"):
        run("gc", "--min-age", "-1")


def test_help_lists_the_commands_in_the_order_people_need_them() -> None:
    """First make an index, ask and serve it, then look after it, then measure."""
    actions: Any = parser()._subparsers
    verbs = list(actions._group_actions[0].choices)
    assert [verb for verb in verbs if verb != "plan"] == [
        "index",
        "ask",
        "up",
        "status",
        "down",
        "releases",
        "verify",
        "diff",
        "rollback",
        "gc",
        "finetune",
        "models",
        "promote",
        "demote",
        "eval",
    ]
