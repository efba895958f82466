"""What a sentence says, as far as it can be read from its words: numbers, names, content words, what is negated."""

import re
from dataclasses import dataclass
from functools import lru_cache

from ragline.lexical import analyzer

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_WORD_NUMBERS = dict(
    zip("one two three four five six seven eight nine ten eleven twelve".split(), map(str, range(1, 13)), strict=True)
)
_WORD_NUMBER = re.compile(rf"\b(?:{'|'.join(_WORD_NUMBERS)})\b", re.IGNORECASE)
_IDENTIFIER = re.compile(r"(?<![\w-])(?:--?[a-z]\w+|\w+)(?:[-_./:@=]+\w+)*\(?", re.IGNORECASE)
_IDEOGRAPH = re.compile(r"[\u3040-\u9fff]")  # no spaces between them: each counts as a word, as in the lexical index
_CAPITAL = re.compile(r"(?<![.!?:\"'(\[] )(?<!^)\b[A-Z][^\W\d_]+")
_NEGATED = re.compile(r"(?:\b(?:not|no|never|cannot|without)|n['’]t)\b\W+((?:\w+\W+){0,3}\w+)", re.IGNORECASE)
_PREAMBLE = re.compile(
    r"^(?:yes|no|sure|certainly|of course|in (?:summary|short))[,.!:]*\s*"
    r"|\b(?:according to|based on|as (?:stated|mentioned|described) in) (?:the )?(?:given |provided )?"
    r"(?:passages?|documents?|documentation|context|sources?|information)(?: provided)?[,:]?",
    re.IGNORECASE,
)
_POLITE = re.compile(
    r"^(?:here(?:'s| is| are)\b.*:$|i hope\b|let me know\b|i(?:'d| would) be happy\b|.*\bas follows:?$|```)",
    re.IGNORECASE,
)
_COMMON = """
    a about above after again all also although always am an and any are as at be because been before being below
    between both but by can cannot could did do does doing don done down during each either else etc few for from
    further get gets had has have having he her here hers him his how however i if in into is isn it its itself just
    let like ll may me might more most much must my no nor not now of off on once one only or other our out over own
    per re rather s same she should so some such t than that the their them themselves then there therefore these
    they this those through thus to too two under until up upon us use used uses using ve very via was we well were
    what when where whether which while who whom whose why will with within without would yes yet you your
"""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a text says, as sets that can be compared.

    Attributes:
        words: content words in lower case, without accents and English endings.
        numbers: as digits without separators of thousands.
        names: capitalised words inside sentences, as `words` has them.
        identifiers: options, paths, names with underscores, in lower case.
        negated: the first content word after each negation.
    """

    words: frozenset[str]
    numbers: frozenset[str]
    names: frozenset[str]
    identifiers: frozenset[str]
    negated: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.words or self.numbers)


class Reader:
    """Reads claims; not to be shared between threads."""

    def __init__(self) -> None:
        self._analyzer = analyzer()

    def claims(self, sentence: str) -> Claims:
        """Return what a sentence of an answer claims; empty for courtesies."""
        sentence = _PREAMBLE.sub(" ", sentence).strip()
        if _POLITE.match(sentence):
            sentence = ""
        return Claims(
            words=self.words(sentence),
            numbers=numbers(sentence),
            names=frozenset(word for name in _CAPITAL.findall(sentence) for word in self.words(name)),
            identifiers=identifiers(sentence),
            negated=self.negated(sentence),
        )

    def words(self, text: str) -> frozenset[str]:
        """Return the content words of a text; digits are no words."""
        terms = set(self._analyzer.analyze(_IDEOGRAPH.sub(r" \g<0> ", text)))
        return frozenset(term for term in terms - _common() if not term.isdigit())

    def negated(self, text: str) -> frozenset[str]:
        """Return the first content word after each negation."""
        found = set()
        for after in _NEGATED.findall(text):
            terms = [term for term in self._analyzer.analyze(after) if term not in _common()]
            found |= set(terms[:1])
        return frozenset(found)


def numbers(text: str, *, spelt: bool = False) -> frozenset[str]:
    """Return the numbers of a text as digits; with `spelt`, those of "one" to "twelve" too."""
    found = {_plain(number) for number in _NUMBER.findall(text)}
    if spelt:
        found |= {_WORD_NUMBERS[word.lower()] for word in _WORD_NUMBER.findall(text)}
    return frozenset(found)


def identifiers(text: str) -> frozenset[str]:
    """Return what only a machine would write: options, paths, names with underscores; in lower case."""
    found = {match.group() for match in _IDENTIFIER.finditer(text)}
    return frozenset(
        name.rstrip("(").lower()
        for name in found
        if set(name) & set("_/@=(.") or name.startswith("-")
        if re.search(r"[^\W\d]{2}", name)
    )


def _plain(number: str) -> str:
    if _THOUSANDS.fullmatch(number):
        number = number.replace(",", "")
    return number.rstrip("0").rstrip(".") if "." in number and number.count(".") == 1 else number


@lru_cache(maxsize=1)
def _common() -> frozenset[str]:
    return frozenset(analyzer().analyze(_COMMON))
