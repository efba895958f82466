"""The report shows what came out, and nothing in it can act on the reader's browser."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragline.finetune.comparison.evaluation import CHALLENGER, CHAMPION, Evaluation
from ragline.finetune.comparison.gate import verdict
from ragline.finetune.comparison.plots import curve, distributions, intervals, rank_table
from ragline.finetune.comparison.report import render_report, write_report
from ragline.finetune.trainers.training import Training
from tests.finetune.comparison.comparisons import MODEL, comparison, noisy, outcome
from tests.html_view import Page

GOLDEN = [(1, 1), (3, 1), (0, 9), (2, 5)]
BAD_TEXT = '<script>alert(1)</script> "quoted" \u202egnp.exe\x1b[31m'


def trained() -> Training:
    """Return a training of two hundred steps, one of which had no loss."""
    return Training(
        folder=Path("model"),
        steps=200,
        planned=200,
        pairs=6400,
        seconds=312.5,
        curve=[
            {"step": step, "loss": float("nan") if step == 7 else 2 - step / 200, "learning_rate": 1e-5}
            for step in range(1, 201)
        ],
        trainer="sentence-transformers",
        precision="f32",
        device="cpu",
        max_tokens=256,
        environment={"torch": "2.13.0"},
    )


def _rendered(evaluation: Evaluation, training: Training | None = None) -> str:
    return render_report(evaluation, training, verdict(evaluation))


def test_verdict_is_the_first_thing(tmp_path: Path) -> None:
    """Mark and sentence of the verdict stand at the top, whichever way it went."""
    for ranks, mark in (([(5, 1)] * 60, "Promoted"), ([(1, 5)] * 60, "Not promoted")):
        compared = comparison(ranks)
        write_report(compared, None, verdict(compared), tmp_path / "report.html")
        page = (tmp_path / "report.html").read_text("utf-8")
        headline = re.sub(r"<[^>]+>", "", page.split("<h1>")[1].split("</h1>")[0])
        assert headline == mark + verdict(compared).reason.removeprefix(f"{mark}: ")


def test_everything_measured_can_be_read() -> None:
    """Tiles, gains by kind, ranks, wins and losses, golden questions, scores, costs and origin stand on the page."""
    slow = replace(MODEL, name="trained", digest="b" * 64, texts_per_cpu_second=25.0, query_ms=16.8)
    ranks = [(5, 1)] * 58 + [(30, 1), (1, 80)]
    text = Page(_rendered(comparison(ranks, GOLDEN, slow), trained())).text
    for expected in (
        "59 : 1 questions ranked better, worse", "0.25 × the champion's speed", "5 min 12 s trained",
        "all held-out (60)", "first sentence (15)", "golden (4)", "the answer among 4\u202f321 passages",
        "59 better", "30 → 1", "1 → 80", "Do it in 59 steps, and wait.", "changed 3", "the same 1", "none 9",
        "MRR@10", "100.0 25.0", "4.2 16.8", "6\u202f400 pairs, 200 steps", "torch 2.13.0", "b" * 64, "168 documents",
    ):  # fmt: skip
        assert expected in text


def test_curves_leave_out_what_is_no_number() -> None:
    """A step without a loss does not break the curve, and no coordinate is NaN."""
    page = _rendered(comparison([(5, 1)] * 20), trained())
    assert "Loss: from 2 to 1" in page
    assert not re.search(r"\bnan\b|\binf\b", page, re.IGNORECASE)


def test_report_without_a_training_and_without_golden_questions() -> None:
    """What is not known leaves no empty section behind."""
    text = Page(_rendered(comparison([(5, 1)] * 20))).text
    assert "Learning rate" not in text
    assert "Golden questions" not in text


def test_base_that_is_not_the_champion_is_compared_as_well() -> None:
    """The gain over the base is told only when it is another model."""
    compared = comparison([(5, 1)] * 20)
    other = {**compared.models, "base": replace(MODEL, digest="c" * 64)}
    assert "Over the base model: +0." in _rendered(Evaluation.of(other, compared.outcomes))
    assert "Over the base model" not in _rendered(compared)


@pytest.mark.parametrize("field", ["query", "gold", "document", "kind"])
def test_texts_cannot_inject_or_disguise(field: str) -> None:
    """Markup in a question, a passage or a name is shown, not obeyed; so are control characters."""
    changes: dict[str, Any] = {field: BAD_TEXT}
    outcomes = [replace(outcome(number, 9, 1), **changes) for number in range(20)]
    compared = comparison([])
    page = _rendered(Evaluation.of({**compared.models, "challenger": replace(MODEL, name=BAD_TEXT)}, outcomes))
    assert "<script" not in page
    assert "\u202e" not in page
    assert "\x1b" not in page


def test_page_needs_nothing_else_and_says_what_its_drawings_show() -> None:
    """No resource is named, no script runs, and each drawing that stands alone has a title for those who do not see."""
    page = Page(_rendered(comparison(noisy(200, 0.4), GOLDEN), trained()))
    assert {"script", "link", "img", "iframe", "object", "image", "use", "a"}.isdisjoint(page.tags)
    assert {name for name, _ in page.attributes} & {"href", "src", "srcset", "xlink:href", "onload"} == set()
    assert not [value for _, value in page.attributes if value and "url(" in value]
    labels = [value for name, value in page.attributes if name == "aria-label"]
    assert ("role", "img") in page.attributes
    assert len(labels) == 6
    assert all(labels)


@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 5000)), min_size=1, max_size=60))
def test_every_question_is_drawn_once(pairs: list[tuple[int, int]]) -> None:
    """The counts in the circles add up to the number of questions."""
    drawn = rank_table(pairs, "champion", "challenger")
    assert sum(int(count) for count in re.findall(r"<title>(\d+) from rank", drawn)) == len(pairs)


def test_plots_of_nothing_are_nothing() -> None:
    """Without values there is no drawing; a constant curve and a single value are drawn."""
    assert [curve([], "Loss"), intervals([], "Gain"), rank_table([], "a", "b"), distributions({}, "s", (0, 1))] == [
        ""
    ] * 4
    assert "NaN" not in curve([(1, 0.0), (2, 0.0)], "Loss")
    assert "<path" in distributions({"answer": [0.5]}, "Scores", (0.5, 0.5))


def test_large_comparison_gives_a_small_page() -> None:
    """Thousands of questions are summed up: the page stays far below a megabyte."""
    compared = comparison(noisy(3000, 0.3), [(1, 2)] * 500)
    assert len(_rendered(compared, trained())) < 200_000
    assert {CHAMPION, CHALLENGER} <= set(compared.models)
