"""The report says what a run did, and nothing in it can act on the reader's browser."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragline.reindex.report import render_report
from tests.html_view import Page

SUMMARY: dict[str, Any] = {
    "name": "handbook",
    "release": "3f7a0c9d2b1e4f58",
    "previous_release": "",
    "documents_uri": "s3://corpus/handbook",
    "store_uri": "s3://ragline",
    "embedder": "all-MiniLM-L6-v2",
    "precision": "bf16",
    "documents": {"added": 1200, "changed": 3, "moved": 1, "removed": 0, "unchanged": 8, "unreadable": 2},
    "changes": {"added": ["a.md", "b.md"], "changed": ["c.md"], "moved": [["old.md", "new.md"]], "removed": []},
    "chunks": 5000,
    "embedded": 4321,
    "tokens": {"histogram": [[0, 16, 2], [16, 32, 40]], "mean": 20.4},
    "seconds": {"snapshot": 1.25, "embed": 75.0},
    "checks": {"recall@10": 0.9995},
    "calibration": {"threshold": 0.41},
    "digests": {"corpus": "c" * 64, "index": "3f7a0c9d2b1e4f58" * 4},
    "size_bytes": 48_300_000,
    "created": "2026-11-03T10:22:11+00:00",
    "version": "0.1.0",
}
PROBLEMS = [
    {"source": "scan.pdf", "reason": "no text layer", "detail": "none of the 3 pages holds text"},
    {"source": "key.docx", "reason": "encrypted", "detail": "it is protected by a password"},
]


def _headline(summary: dict[str, Any]) -> str:
    page = render_report(summary, [])
    return re.sub(r"<[^>]+>", "", page.split("<h1>")[1].split("</h1>")[0])


def test_verdict_says_what_changed_and_what_could_not_be_read() -> None:
    """One sentence at the top: which release is live, what changed, what is left out."""
    assert _headline(SUMMARY) == (
        "Release 3f7a0c9d2b1e4f58 is live: 1\u202f200 documents added, 3 changed and 1 moved; 2 could not be read."
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"release": "a1", "previous_release": "a1"}, "Release a1 is live, as before: nothing changed."),
        ({"release": "a1", "documents": {"removed": 1}}, "Release a1 is live: 1 document removed."),
        ({}, "No release was published: nothing changed."),
    ],
    ids=["the same again", "one document", "nothing known"],
)
def test_verdict_of_small_runs(changes: dict[str, Any], expected: str) -> None:
    """The verdict is right for a run that changed nothing, for one document, and without any facts."""
    assert _headline(changes) == expected


def test_everything_given_stands_on_the_page() -> None:
    """Tiles, reasons, changes, steps, checks and digests can all be read."""
    text = Page(render_report(SUMMARY, PROBLEMS)).text
    for expected in (
        "1\u202f212 documents", "2 could not be read", "5\u202f000 chunks", "4\u202f321 newly embedded",
        "1 min 16 s time", "48.3 MB size", "no text layer 1 scan.pdf none of the 3 pages", "encrypted 1 key.docx",
        "Added 1\u202f200 a.md b.md and 1\u202f198 more", "old.md → new.md", "snapshot 1.25 s", "embed 1 min 15 s",
        "16 to 31 tokens: 40", "20 tokens on average", "recall@10 0.9995", "threshold 0.41", "s3://corpus/handbook",
        "bf16", "c" * 64,
    ):  # fmt: skip
        assert expected in text


def test_an_empty_summary_gives_a_page_without_sections() -> None:
    """What is missing is left out: no empty table, plot or heading."""
    page = Page(render_report({}, []))
    assert {"section", "table", "svg", "details", "li"} & set(page.tags) == set()


def test_reasons_are_grouped_most_frequent_first_and_long_lists_are_cut() -> None:
    """Each reason stands once, with its number; of many files the first are shown."""
    problems = [{"source": f"{number}.bin", "reason": "unknown type", "detail": ""} for number in range(1500)]
    text = Page(render_report({}, [*PROBLEMS, *problems])).text
    assert text.index("unknown type 1\u202f500") < text.index("encrypted 1")
    assert "99.bin and 1\u202f400 more" in text
    assert "100.bin" not in text


def test_names_cannot_inject_or_disguise() -> None:
    """Markup is escaped; control characters, direction overrides and bytes that are no text are shown."""
    name = '<img src=x onerror="alert(1)">&amp;\x1b[31m\n\u202egnp.exe\udc80\u200b'
    page = render_report(
        {"name": name, "changes": {"added": [name]}}, [{"source": name, "reason": name, "detail": name}]
    )
    shown = r'<img src=x onerror="alert(1)">&amp;\x1b[31m\x0a\u202egnp.exe\udc80\u200b'
    parsed = Page(page)
    assert "img" not in parsed.tags
    assert parsed.texts.count(shown) == 4
    page.encode("utf-8")


def test_joiners_stay() -> None:
    """Characters that words and emoji are made of are not taken for disguise."""
    assert "👩\u200d🔬.md" in render_report({"changes": {"added": ["👩\u200d🔬.md"]}}, [])


def test_the_page_loads_nothing() -> None:
    """No script, link, image or style from elsewhere; a policy forbids it as well."""
    page = render_report(SUMMARY, PROBLEMS)
    parsed = Page(page)
    assert {"script", "link", "img", "iframe", "object"} & set(parsed.tags) == set()
    assert not [name for name, _ in parsed.attributes if name in {"src", "href"} or name.startswith("on")]
    assert "url(" not in page
    assert "default-src 'none'" in page


@given(st.text(st.characters()), st.text(st.characters()))
def test_any_text_is_safe(name: str, detail: str) -> None:
    """Whatever a name holds, the page has the same elements and can be written as UTF-8."""
    page = render_report({"changes": {"removed": [name]}}, [{"source": name, "reason": "damaged", "detail": detail}])
    plain = render_report({"changes": {"removed": ["x"]}}, [{"source": "x", "reason": "damaged", "detail": "x"}])
    page.encode("utf-8")
    assert Page(page).tags == Page(plain).tags
