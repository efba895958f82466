"""How many tokens a text has, where the model's tokenizer is not at hand: rather too many than too few."""

import re

_PIECE = re.compile(r"(?P<word>[A-Za-z]+)|(?P<other>[^\W\d_A-Za-z]+)|(?P<space>[ \t]{2,}|\n+)|\d|[^\w\s]|_")
_WIDE = re.compile(r"[\u0e00-\u0eff\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")


def estimated_tokens(text: str) -> int:
    """Return an estimate of the number of tokens.

    A word of the Latin alphabet is a token for each five letters begun, of another alphabet one for each two; a
    character of Chinese, Japanese, Korean or Thai is one and a half; a digit and a sign are one each.
    """
    count = 0.0
    for match in _PIECE.finditer(text):
        length = match.end() - match.start()
        if match["word"]:
            count += -(-length // 5)
        elif match["other"]:
            wide = len(_WIDE.findall(match["other"]))
            count += 1.5 * wide - (-(length - wide) // 2)
        else:
            count += 1
    return -int(-count // 1)
