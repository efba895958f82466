"""Titles and headings become queries that tell what they are about."""

from ragline.documents import Document, Heading, Loaded
from ragline.finetune.examples.headings import HeadingCounts, heading_query, title_query


def _counts(*titles: str) -> HeadingCounts:
    counts = HeadingCounts()
    for number, title in enumerate(titles):
        counts.count(Document(str(number), "", Loaded("", headings=(Heading(0, 1, title),))))
    return counts


def test_a_heading_of_many_sections_gets_what_stands_above_it() -> None:
    """Neither a usual heading nor one that the corpus repeats is asked alone."""
    counts = _counts(*3 * ["Rolling back quickly"])
    above = ("Cluster upgrades", "Overview")
    queries = {
        title: heading_query(title, above, counts, english=True, draw=0)
        for title in ("Prerequisites", "Rolling back quickly", "Rolling back slowly")
    }
    assert queries == {
        "Prerequisites": "Cluster upgrades prerequisites",
        "Rolling back quickly": "Cluster upgrades rolling back quickly",
        "Rolling back slowly": "Cluster upgrades: Rolling back slowly",
    }


def test_a_heading_that_tells_nothing_is_not_asked() -> None:
    """A generic heading without anything specific above it, a version, and what comes next give no query."""
    counts = _counts()
    titles = ("Overview", "Version 1.2.3", "Next steps", "`port`")
    assert [heading_query(title, ("Introduction",), counts, english=True, draw=1) for title in titles] == 4 * [""]


def test_tasks_and_settings_are_asked_as_people_ask() -> None:
    """A task is asked with how, a setting with where it is set."""
    counts, above = _counts(), ("Master configuration",)
    assert heading_query("Install the client", above, counts, english=True, draw=1) == "how to install the client"
    assert (
        heading_query("bind_port", above, counts, english=True, draw=0)
        == "what does bind_port do in master configuration?"
    )


def test_a_generic_title_gets_the_names_of_its_folders() -> None:
    """The folder tells which overview it is."""
    counts = _counts()
    assert title_query("docs/batch-jobs/index.md", "Overview", counts, english=True, draw=0) == "batch jobs overview"
    assert title_query("index.md", "Overview", counts, english=True, draw=0) == ""
