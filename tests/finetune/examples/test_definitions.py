"""Definitions become queries."""

from ragline.documents import Chunk, Document, Heading, Loaded
from ragline.finetune.examples.definitions import Definition, definitions
from ragline.finetune.examples.passage import passages

TEXT = """# Master settings

A resource pool is a set of machines of the same kind in one place.
There is a limit for the number of machines in the pool.

- `idle_timeout`: How long a machine that has no task is kept in its pool.
- Note: The machines of the pool are shared by all of the users.

## port

The port on which the master is listening. Defaults to `8080`.
"""


def test_terms_items_and_defaults() -> None:
    """A term is asked for by name, an item by its meaning, which is cut, a default by its setting."""
    headings = (Heading(0, 1, "Master settings"), Heading(TEXT.index("## port"), 2, "port"))
    document = Document("a.md", "", Loaded(TEXT, title="Master settings", headings=headings))
    chunk = Chunk("c", "a.md", "Master settings", "", 0, len(TEXT), TEXT, 0, "")
    (passage,) = passages(document, [chunk])
    start = TEXT.index("How long")
    meaning = "How long a machine that has no task is kept in its pool"
    assert list(definitions(passage, draw=0)) == [
        Definition("what is a resource pool?"),
        Definition(meaning, (start, start + len(meaning) + 1)),
        Definition("what is the default of port in master settings?"),
    ]
