"""The gate lets a model pass only if it is better for sure."""

from dataclasses import replace

import pytest

from ragline.finetune.comparison.gate import verdict
from tests.finetune.comparison.comparisons import MODEL, comparison, noisy

BETTER = [(5, 1), (3, 1), (8, 2), (4, 1)] * 30


def test_clearly_better_model_is_promoted() -> None:
    """A gain whose interval lies above what was asked for passes; the sentence says what, how much and how sure."""
    judged = verdict(comparison(BETTER))
    assert judged.promote
    assert judged.reason == (
        "Promoted: nDCG@10 on 120 held-out questions rises from 0.408 to 0.908, "
        "by +0.499 (95 % interval +0.499 to +0.499)."
    )


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_refused(seed: int) -> None:
    """A model that only differs at random does not pass, whichever way the mean happens to fall."""
    judged = verdict(comparison(noisy(200, 0.0, seed=seed)))
    assert not judged.promote
    assert "all of which should lie above +0.000" in judged.reason


def test_worse_model_is_refused() -> None:
    """A model that ranks worse is named as such."""
    judged = verdict(comparison([(after, before) for before, after in BETTER]))
    assert not judged.promote
    assert "falls from 0.908 to 0.408" in judged.reason


def test_model_that_ranks_alike_is_refused() -> None:
    """Other weights with the same ranks gain nothing."""
    judged = verdict(comparison([(before, before) for before, _ in BETTER]))
    assert not judged.promote
    assert "stays at 0.408, by +0.000" in judged.reason


def test_champion_itself_is_refused() -> None:
    """A training that changed nothing is not registered as progress."""
    judged = verdict(comparison(BETTER, challenger=MODEL))
    assert (judged.promote, judged.reason) == (
        False,
        "Not promoted: the challenger is the champion, byte for byte.",
    )


def test_gain_must_exceed_the_least_gain_for_sure() -> None:
    """The lower bound counts, not the mean."""
    compared = comparison(noisy(240, 0.4, seed=1))
    gain = compared.gain()
    assert gain is not None
    assert verdict(compared, min_gain=gain.low - 0.001).promote
    assert not verdict(compared, min_gain=gain.low).promote
    assert not verdict(compared, min_gain=gain.mean).promote


def test_few_documents_prove_nothing() -> None:
    """Questions about one document say how one document is read, however many they are."""
    judged = verdict(comparison(BETTER[:8]))
    assert not judged.promote
    assert "-1.000 to +1.000" in judged.reason


def test_loss_on_the_golden_questions_is_refused() -> None:
    """A model that is better on held-out questions and worse on people's own does not pass, unless allowed."""
    compared = comparison(BETTER, golden=[(1, 1)] * 18 + [(2, 7), (3, 0)])
    judged = verdict(compared)
    assert not judged.promote
    assert "hit@4 on the golden questions falls from 1.000 to 0.900, a fall of more than 0.02" in judged.reason
    assert verdict(compared, max_drop=0.1).promote


def test_speed_is_part_of_the_sentence() -> None:
    """A better but slower model is a choice that the reader must see."""
    slow = replace(MODEL, digest="c" * 64, texts_per_cpu_second=25.0)
    assert "; it embeds at 0.25 times the champion's speed." in verdict(comparison(BETTER, challenger=slow)).reason
