"""What a model writes becomes what is read, however it is cut into pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragline.services.llm.answer_text import AnswerText

PROMPT = "<s>user: why?\nmodel: "
CASES = [
    ("It is so.", (), "It is so."),
    (" \n It is so. ", (), "It is so. "),
    (f"{PROMPT}It is so.", (), "It is so."),
    ("user: why?\nmodel: It is so.", (), "It is so."),
    ("user: whence", (), "user: whence"),
    ("<think>\nHm, [1]?\n</think>\n\nIt is so.", (), "It is so."),
    ("<think>endless", (), ""),
    ("<the> tag", (), "<the> tag"),
    ("It is so.\n\nQuestion: more", ("\n\nQ", "</s>"), "It is so."),
    ("It is so.\n\nAnd so.</s>", ("\n\nQ", "</s>"), "It is so.\n\nAnd so."),
    ("aab", ("aaab",), "aab"),
    ("aaaab", ("aab",), "aa"),
    (f"{PROMPT}<think>x</think>It is.STOP more", ("STOP",), "It is."),
    ("", (), ""),
]
ECHOES = [PROMPT, PROMPT.removeprefix("<s>")]


@pytest.mark.parametrize(("text", "stop", "expected"), CASES)
@given(data=st.data())
def test_any_pieces_give_the_same(text: str, stop: tuple[str, ...], expected: str, data: st.DataObject) -> None:
    """The prompt's echo, thoughts and what follows a stop text are left out of every stream alike."""
    filtered, found, rest = AnswerText(echoes=ECHOES, stop=stop), "", text
    while rest and not filtered.stopped:
        size = data.draw(st.integers(1, len(rest)))
        found += filtered.add(rest[:size])
        rest = rest[size:]
    assert found + filtered.end() == expected
    assert filtered.stopped == any(each in text for each in stop)


def test_nothing_is_held_without_need() -> None:
    """The first word is there when the backend sends it."""
    text = AnswerText(echoes=ECHOES, stop=["\n\n", "</s>"])
    assert [text.add(piece) for piece in ("Thirty", " days <", "b>.\n", "\n")] == ["Thirty", " days ", "<b>.", ""]
    assert text.stopped
