"""Whatever the history, a release is what an index built from nothing would be."""

import tempfile
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from ragline.chunk_table import ChunkTable
from ragline.release import CHUNKS
from ragline.retention import collect
from ragline.rollback import roll_back
from tests.embedding.conftest import tiny_model
from tests.reindex.conftest import Corpus, content

_NAMES = st.sampled_from("abcdefgh")
_WORDS = st.lists(
    st.sampled_from("harbour keeper tower green ferry seven north storm".split()), min_size=1, max_size=400
)
_numbers = count(1)


class History(RuleBasedStateMachine):
    """A corpus that people change, and the runs over it."""

    models: tuple[str, str]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        root = Path(self.folder.name)
        (root / "store").mkdir()
        self.corpus = Corpus(root / "docs", str(root / "store"), root / "work", embedder=self.models[0])

    def teardown(self) -> None:
        """Remove the store and the runs."""
        self.folder.cleanup()

    @initialize()
    def many_documents(self) -> None:
        """So that one change is a small share, and the index is changed, not rebuilt."""
        self.corpus.write(
            **{f"note{number}": f"# Note {number}\n\nNote {number} of the keeper." for number in range(40)}
        )
        self.index()

    def _write(self, name: str, words: list[str], year: int) -> None:
        self.corpus.write(**{name: f"---\nyear: {year}\n---\n# {name}\n\n{' '.join(words)}."})

    @rule(name=_NAMES, words=_WORDS, year=st.integers(1900, 1902))
    def write(self, name: str, words: list[str], year: int) -> None:
        """Add a document, or change its text."""
        self._write(name, words, year)

    @rule(old=_NAMES, new=_NAMES)
    def move(self, old: str, new: str) -> None:
        """Rename a document, over another perhaps."""
        if (path := self.corpus.documents / f"{old}.md").exists():
            path.rename(path.with_name(f"{new}.md"))

    @rule(old=_NAMES, new=_NAMES)
    def copy(self, old: str, new: str) -> None:
        """Have the same text twice."""
        if (path := self.corpus.documents / f"{old}.md").exists():
            path.with_name(f"{new}.md").write_text(path.read_text())

    @rule(name=_NAMES)
    def delete(self, name: str) -> None:
        """Remove a document."""
        (self.corpus.documents / f"{name}.md").unlink(missing_ok=True)

    @rule(name=_NAMES, year=st.integers(1900, 1902))
    def change_metadata(self, name: str, year: int) -> None:
        """Change what a filter may ask for, and no text."""
        if (path := self.corpus.documents / f"{name}.md").exists():
            path.write_text(f"---\nyear: {year}\n---\n{path.read_text().split('---', 2)[2].lstrip()}")

    @rule()
    def change_model(self) -> None:
        """Embed with the other model from the next run on."""
        self.corpus.embedder = self.models[self.corpus.embedder == self.models[0]]

    @precondition(lambda self: len(list(self.corpus.index.releases())) > 1)
    @rule()
    def go_back(self) -> None:
        """Make another release current."""
        names = [manifest.release for manifest in self.corpus.index.releases()]
        roll_back(self.corpus.index, next(name for name in names if name != self.corpus.index.pointer().release))

    @rule()
    def collect(self) -> None:
        """Remove what is not needed."""
        collect(self.corpus.index.store, self.corpus.name, keep=1, min_age=timedelta(0))

    @rule()
    def index(self) -> None:
        """Run, and compare with a run over the same documents into an empty store."""
        run = self.corpus.run(max_shrink=1.0)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "store").mkdir()
            fresh = Corpus(
                self.corpus.documents, str(Path(folder) / "store"), Path(folder) / "work", embedder=self.corpus.embedder
            )
            rebuilt = fresh.run()
            assert run.manifest.digests == rebuilt.manifest.digests
            assert content(self.corpus) == content(fresh)
            assert rows(self.corpus) == rows(fresh)


def rows(corpus: Corpus) -> list[dict[str, object]]:
    """Return the chunk table of the current release."""
    folder = corpus.index.fetch(corpus.index.current(), corpus.scratch / "fetched")
    with ChunkTable(folder / CHUNKS) as chunks:
        return list(chunks.columns.to_pylist())


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """A function that tries so many histories of so many steps."""
    monkeypatch.setenv("RAGLINE_CACHE", str(tmp_path / "cache"))
    names = [tiny_model(tmp_path / f"model-{seed}", seed=seed, positions=514) for seed in (1, 2)]

    def attempt(histories: int, steps: int) -> None:
        run_state_machine_as_test(
            type("Histories", (History,), {"models": tuple(map(str, names))}),
            settings=settings(
                max_examples=histories,
                stateful_step_count=steps,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )

    return attempt


def test_a_history_comes_to_what_a_rebuild_comes_to(history: Callable[[int, int], None]) -> None:
    """Ids, vectors bit for bit, metadata, rows and digests."""
    history(2, 10)


@pytest.mark.slow
def test_many_histories_come_to_what_a_rebuild_comes_to(history: Callable[[int, int], None]) -> None:
    """The same, with more histories, and longer ones."""
    history(25, 30)
