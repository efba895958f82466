"""Positives do not hold their queries."""

from hypothesis import given
from hypothesis import strategies as st

from ragline.documents import Chunk
from ragline.finetune.examples.passage import Passage, Title
from ragline.finetune.examples.scrubbing import positive, says_enough, scrub


@given(st.text("ab `\n-", max_size=40), st.text("ab ", min_size=1, max_size=6))
def test_a_scrubbed_text_does_not_hold_the_query(text: str, query: str) -> None:
    """Whatever the text, the query is not found in it any more."""
    words = query.split()
    if words:
        assert " ".join(words) not in " ".join(scrub(text, query).split())


def test_scrubbing_sees_through_case_marks_and_line_ends() -> None:
    """A query is found as a reader would find it."""
    assert scrub("Here ROLL\n  BACK is explained.", "roll back") == "Here is explained."


def test_the_heading_goes_from_text_and_path() -> None:
    """A positive of a heading has neither its line nor its place in the path; the other headings stay."""
    text = "## Limits\n\nAt most ten are kept.\n\n## Roll back\n\nGo to the one before."
    chunk = Chunk("c", "d", "Releases", "Limits", 0, len(text), text, 0, "")
    titles = (Title(0, 9, "Limits", ("Releases",)), Title(34, 46, "Roll back", ("Releases",)))
    passage = Passage(chunk, titles, (), english=True)
    made = positive(passage, [(0, 9)], ["Limits"], ["Releases limits"])
    assert made == "Releases\n\nAt most ten are kept.\n\n## Roll back\n\nGo to the one before."


def test_code_keeps_its_indentation() -> None:
    """Only what is cut changes a text."""
    text = "Do this:\n\n```yaml\na:\n    b: 1\n```"
    passage = Passage(Chunk("c", "d", "", "", 0, len(text), text, 0, ""), (), ((10, 32),), english=True)
    assert positive(passage, [(0, 8)], [], ["x y"]) == "```yaml\na:\n    b: 1\n```"


def test_what_says_too_little() -> None:
    """Ten words are enough, and about twenty ideographs."""
    assert [says_enough(text) for text in (9 * "word ", 10 * "word ", 10 * "- ", 32 * "版")] == [
        False,
        True,
        False,
        True,
    ]
