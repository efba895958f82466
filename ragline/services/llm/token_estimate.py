"""How many tokens a text has, where the model's tokenizer is not at hand: rather too many than too few."""

import re

_LATIN = re.compile(r"[A-Za-z]+")
_OTHER = re.compile(r"[^\W\d_A-Za-z]+")
_SINGLE = re.compile(r"[ \t]{2,}|\n+|\d|[^\w\s]|_")
_WIDE = re.compile(r"[\u0e00-\u0eff\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")


def estimated_tokens(text: str) -> int:
    """Return an estimate of the number of tokens.

    A word of the Latin alphabet is a token for each five letters begun, of another alphabet one for each two; a
    character of Chinese, Japanese, Korean or Thai is one and a half; a digit and a sign are one each.
    """
    count = float(sum([(len(word) + 4) // 5 for word in _LATIN.findall(text)]) + len(_SINGLE.findall(text)))
    if not text.isascii():
        for word in _OTHER.findall(text):
            wide = len(_WIDE.findall(word))
            count += 1.5 * wide - (-(len(word) - wide) // 2)
    return -int(-count // 1)
