"""Near duplicates are found, and nothing else."""

import random

import numpy as np

from ragline.finetune.examples.likeness import bands_of, groups_of

_WORDS = [f"word{number}" for number in range(2000)]


def _text(seed: int, count: int = 150) -> list[str]:
    return random.Random(seed).choices(_WORDS, k=count)


def test_near_duplicates_share_a_group() -> None:
    """A text with one word changed is of the first one's group, in any number of steps; others stand alone."""
    first, other = _text(1), _text(2)
    second = [*first[:70], "changed", *first[71:]]
    third = [*second[:100], "again", *second[101:]]
    texts = [other, first, second, third, _text(3)]
    bands = np.array([bands_of(" ".join(words)) for words in texts])
    assert groups_of(bands).tolist() == [0, 1, 1, 1, 4]


def test_different_texts_are_never_taken_for_the_same() -> None:
    """Of a thousand texts from the same words no two are near duplicates."""
    bands = np.array([bands_of(" ".join(_text(seed))) for seed in range(1000)])
    assert groups_of(bands).tolist() == list(range(1000))


def test_case_punctuation_and_marks_do_not_matter() -> None:
    """A text is known by its words, in every language."""
    assert bands_of("Roll back, `now`!").tolist() == bands_of("roll BACK now").tolist()
    assert bands_of("回滚到上一个版本。").tolist() == bands_of("回滚到上一个版本").tolist()
    assert bands_of("").tolist() == bands_of("...").tolist()
