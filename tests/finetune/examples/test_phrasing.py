"""Sentences and titles become what someone would ask."""

import pytest

from ragline.finetune.examples.phrasing import asked, bare, is_query, lowered


@pytest.mark.parametrize(
    ("sentence", "question"),
    [
        ("To roll back a release, run `ragline rollback`.", "how to roll back a release"),
        ("If you want to delete the cluster, remove its stack.", "how to delete the cluster"),
        ("You can also change the password by calling the API.", "how to change the password"),
        ("The port can be changed with `--port`.", "how can the port be changed?"),
        ("This guide describes how to deploy a model on a cluster.", "how to deploy a model on a cluster"),
        ("- Note: The `store` is a folder.", "The store is a folder"),
        ("See the reference for all the options.", ""),
        ("It is slower than the others.", ""),
        ("The policy can be one of the following:", ""),
        (
            "A worker takes one task at a time from the queue of its pool, which the master fills in the order of age.",
            "A worker takes one task at a time from the queue of its pool",
        ),
    ],
)
def test_a_sentence_as_a_question(sentence: str, question: str) -> None:
    """What is to be done is asked for with how; what points at its neighbours is not asked; long ones are cut."""
    assert asked(sentence, english=True, draw=0) == question


def test_other_languages_are_left_as_they_are() -> None:
    """Phrasings in English are made of English alone."""
    assert (
        asked("Um zu beginnen, öffnen Sie die Datei.", english=False, draw=0) == "Um zu beginnen, öffnen Sie die Datei"
    )


@pytest.mark.parametrize(
    ("title", "inside"),
    [
        ("Roll Back a Release", "roll Back a Release"),
        ("Azure Blob Storage", "Azure Blob Storage"),
        ("DNS", "DNS"),
        ("", ""),
    ],
)
def test_names_keep_their_capitals(title: str, inside: str) -> None:
    """Only a word that is no name gets a small letter inside a sentence."""
    assert lowered(title) == inside


def test_numbering_and_labels_go() -> None:
    """What only numbers or labels a text is not asked."""
    assert [bare(text) for text in ("2.1. Install", "Step 3: Install", "Warning: Hot", "`a`  b")] == [
        "Install",
        "Install",
        "Hot",
        "a b",
    ]


def test_what_is_no_query() -> None:
    """Too few words, signs and fields are no queries; ideographs count without spaces."""
    texts = ("roll back", "Release Date: May 27", "-x --y {a: 1, b: 2} [3]", "how to roll back", "如何回滚到上一个版本")
    assert [is_query(text) for text in texts] == [False, False, False, True, True]
