"""What carries an answer: sentences against passages."""

import json
import random
from pathlib import Path

import pytest

from ragline.services.llm.retrieved import Document
from ragline.services.llm.sentences import Sentence, Splitter, sentences
from ragline.services.llm.support import Evidence, quotes_from, refuses
from tests.services.llm.stand_ins import HOTELS, TRAINS

ASHA = Document(
    "d3",
    "The searcher stops poorly performing trials early. Set ``max_rungs`` with --rungs; the default value is 5. "
    "It does not support distributed training. If you do not set a seed, one is drawn.",
    "asha.md",
    "Searchers",
    "Adaptive ASHA",
)


def carried(sentence: str, question: str = "") -> tuple[int, ...]:
    """Return the numbers of the passages that carry a sentence, of three."""
    return Evidence(question, [HOTELS, TRAINS, ASHA]).judge(Sentence.of(sentence)).numbers


@pytest.mark.parametrize(
    ("sentence", "numbers"),
    [
        ("Hotels may cost at most 150 EUR a night.", (1,)),
        ("Hotels may cost at most 150 EUR a night [1].", (1,)),
        ("Hotels may cost at most 150 EUR a night. [2]", ()),
        ("Hotels may cost at most 150 EUR a night [7].", ()),
        ("Hotels may cost at most 160 EUR a night.", ()),
        ("Hotels in Vienna may cost at most 150 EUR a night.", ()),
        ("The default of max_rungs is 5.", (3,)),
        ("The default of max_rungs is five.", (3,)),
        ("The default of max_steps is 5.", ()),
        ("Set it with --rungs.", (3,)),
        ("Set it with --max-rungs.", ()),
        ("ASHA stops poorly performing trials early.", (3,)),
        ("Distributed training is supported.", ()),
        ("It does not support distributed training.", (3,)),
        ("A seed is drawn.", (3,)),
        ("Taxis are refunded.", ()),
        ("Hotels cost 150 EUR a night, and trains are booked by the office.", (1, 2)),
        ("Elephants are the largest animals on land.", ()),
    ],
)
def test_a_sentence_is_carried_by_words_numbers_and_names(sentence: str, numbers: tuple[int, ...]) -> None:
    """Each must stand in a passage, in those that are cited where some are; what is negated there is not asserted."""
    assert carried(sentence) == numbers


@pytest.mark.parametrize("sentence", ["Sure!", "Here are the costs:", "I hope this helps.", "```bash", "Yes."])
def test_a_courtesy_claims_nothing(sentence: str) -> None:
    """It can neither be carried nor spoil an answer."""
    assert not Evidence("", [HOTELS]).judge(Sentence.of(sentence)).claims


def test_repeating_the_question_is_no_support() -> None:
    """What the answer adds to the question must stand in the passage too."""
    question = "What do hotels cost at most a night in EUR?"
    assert carried("Hotels cost at most a fortune a night in EUR.", question) == ()
    assert carried("Hotels cost at most 150 EUR a night.", question) == (1,)


def test_quotes_are_literal_and_belong_to_their_numbers() -> None:
    """Each passage that carries something is cited once, with the window that carries it best."""
    support = Evidence("", [HOTELS, TRAINS]).check("Meals cost 40 EUR a day [1]. Taxis are not refunded [2].")
    assert support.supported
    assert [(c.number, c.source, c.section) for c in support.citations] == [
        (1, "travel.md", "Travel > Costs"),
        (2, "trains.md", "Travel > Trains"),
    ]
    assert all(c.quote in d.text for c, d in zip(support.citations, (HOTELS, TRAINS), strict=True))


def test_one_made_up_sentence_spoils_an_answer() -> None:
    """The other sentences stay cited."""
    support = Evidence("", [HOTELS]).check("Meals cost 40 EUR a day. Breakfast costs 12 EUR.")
    assert (support.supported, support.carried, support.unsupported) == (False, 1, 1)
    assert [citation.number for citation in support.citations] == [1]


def test_chinese_is_compared_by_characters() -> None:
    """There are no spaces to find words by."""
    document = Document("d", "酒店每晚最多150欧元。餐费每天40欧元。", "zh.md")
    evidence = Evidence("", [document])
    assert evidence.check("酒店每晚最多150欧元。").supported
    assert not evidence.check("酒店每晚最多160欧元。").supported


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Nothing in the documents answers this question.", True),
        ("The passages do not mention elephants.", True),
        ("I don't know.", True),
        ("The given context doesn't provide any information about this.", True),
        ("Taxis are not refunded.", False),
        ("Taxis are not refunded. The passages do not say why.", False),
        ("The document is not signed.", False),
    ],
)
def test_a_refusal_is_recognised(answer: str, expected: bool) -> None:
    """It claims nothing about the subject."""
    assert refuses(answer) == expected


TEXT = "One is here. Two is v1.2 [1].\nThree e.g. that. [2] 1. Four\n- five [1, 3]\n\nSix? Seven"


def test_sentences_are_the_text() -> None:
    """Numbers of citations belong to the sentence before them; bullets and numbers of lists are no sentences."""
    found = list(sentences(TEXT))
    assert "".join(sentence.raw for sentence in found) == TEXT
    assert [(s.text, s.cited) for s in found] == [
        ("One is here.", ()),
        ("Two is v1.2.", (1,)),
        ("Three e.g. that.", (2,)),
        ("Four", ()),
        ("five", (1, 3)),
        ("Six?", ()),
        ("Seven", ()),
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_pieces_give_the_same_sentences(size: int) -> None:
    """However a text is cut, and none is given before it is complete."""
    splitter = Splitter()
    pieces = [TEXT[start : start + size] for start in range(0, len(TEXT), size)]
    found = [sentence for piece in pieces for sentence in splitter.add(piece)] + list(splitter.end())
    assert [sentence.raw for sentence in found] == [sentence.raw for sentence in sentences(TEXT)]


@pytest.mark.parametrize("text", ["[ " * 20_000, "[1] " * 5_000 + "x", "-" * 20_000, "a." * 20_000, "x_" * 20_000])
def test_odd_texts_take_no_time(text: str) -> None:
    """No expression backtracks for ever."""
    Evidence(text[:9000], [Document("d", text, "s")]).check(text)


def test_quotes_from_given_texts_are_ranked_by_the_questions_words() -> None:
    """One window of each text, unless it holds far fewer of them than another."""
    quotes = quotes_from("What do meals and hotels cost?", [TRAINS, HOTELS])
    assert [quote.source for quote in quotes] == ["travel.md"]
    assert quotes[0].quote in HOTELS.text


def test_true_and_wrong_answers_are_told_apart(shared: Path) -> None:
    """Questions made statements: with their own answer, and with that of another question on the same article."""
    folder = shared / "data" / "qa-wiki"
    lines = (folder / "passages.jsonl").read_text("utf-8").splitlines()
    passages = {passage["passage_id"]: passage for passage in map(json.loads, lines)}
    questions = [json.loads(line) for line in (folder / "questions.jsonl").read_text("utf-8").splitlines()]
    questions = [q for q in questions if q["answerable"] and q["passage_id"] in passages]
    rng, right, wrong, asked = random.Random(0), 0, 0, 0
    for question in rng.sample(questions, 150):
        document = Document("", passages[question["passage_id"]]["text"], question["doc_id"])
        others = [
            q for q in questions if q["doc_id"] == question["doc_id"] and q["passage_id"] != question["passage_id"]
        ]
        if not others:
            continue
        asked += 1
        evidence = Evidence(question["question"], [document])
        stem = question["question"].rstrip("?").partition(" ")[2]
        right += evidence.check(f"{stem} {question['answers'][0]}.").supported
        wrong += evidence.check(f"{stem} {rng.choice(others)['answers'][0]}.").supported
    assert right > 0.5 * asked
    assert wrong < 0.06 * asked
