"""Bytes to clean text: which encoding, which characters stay.

Order: byte-order mark, strict UTF-8, the pattern of UTF-16 without a mark, UTF-8 with a few bad bytes
(kept as U+FFFD), then a statistical guess. A guess is noted, so that a reader of the report can doubt it.
"""

import codecs
import re

from charset_normalizer import from_bytes

from ragline.errors import Unreadable

_BOMS = (  # the UTF-32 marks begin with the UTF-16 ones, so they are tried first
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_GUESSES = [
    "cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256",
    "cp932", "euc_jp", "gb18030", "big5", "euc_kr",
]  # fmt: skip
_FEW = 12
_LATIN = {"cp1252", "cp1250", "cp1254"}
_WEST = frozenset("äöüßÄÖÜéèêëàâçîïôûùñáíóúÉÀÈÇåæøÅÆØãõœ¿¡ìò€£©®°§«»·–—…“”„‘’•")
_EAST = frozenset("äöüßáéíóúýôâîëąćęłńśźżčďěňřšťůžőűăşţľĺŕđĄĆĘŁŃŚŹŻČĎĚŇŘŠŤŮŽŐŰĂŞŢĽ€©®°§«»·–—…“”„‘’•")

_DAMAGED = "utf-8 with errors"

_CONTROL = bytes([*range(0x09), 0x0B, *range(0x0E, 0x1B), *range(0x1C, 0x20), 0x7F])
_MAGIC = (
    b"\x89PNG\r\n", b"GIF87a", b"GIF89a", b"\xff\xd8\xff", b"PK\x03\x04", b"%PDF-", b"\x1f\x8b\x08", b"BZh", b"\x7fELF",
    b"Rar!", b"7z\xbc\xaf\x27\x1c", b"\xfd7zXZ", b"\xd0\xcf\x11\xe0\xa1\xb1", b"SQLite format 3\x00",
    b"\x28\xb5\x2f\xfd",
)  # fmt: skip

_UNWANTED = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u200b\u2060\ufeff\ufffe\uffff\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_LINE_END = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_ANSI = re.compile(r"\x1b\[[0-9;?]{0,32}[A-Za-z]")


def decode(data: bytes, *, declared: str = "") -> tuple[str, str]:
    """Decode text and clean it.

    Args:
        data: the bytes of a text file.
        declared: encoding that the document itself names, used when the bytes are not UTF-8.

    Returns:
        The clean text, and the encoding if it was guessed or damaged, else "".

    Raises:
        Unreadable: "unknown type" if the bytes are no text.
    """
    for mark, name in _BOMS:
        if data.startswith(mark):
            return clean(data[len(mark) :].decode(name, "replace")), ""
    if wide := _utf16_without_mark(data):
        return clean(data.decode(wide, "replace")), wide
    refuse_binary(data)
    try:
        return clean(data.decode("utf-8")), ""
    except UnicodeDecodeError:
        return _decode_other(data, declared)


def clean(text: str) -> str:
    r"""Return text with "\n" as the only line end and without characters that nobody can read.

    Removed are control characters, the byte-order mark, zero-width space, soft hyphen, overrides of the
    writing direction, terminal colours and lone surrogates. Joiners stay: words and emoji need them.
    """
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    if "\x00" in text:
        text = text.replace("\x00", " ")  # it separates fields more often than it splits a word
    return _UNWANTED.sub("", _LINE_END.sub("\n", text))


def refuse_binary(data: bytes) -> None:
    """Raise Unreadable("unknown type") when the bytes are not those of a text."""
    if data.startswith(_MAGIC):
        raise Unreadable("unknown type", f"the content is not text: it begins with {data[:8]!r}")
    sample = data[:65536]
    share = 1 - len(sample.translate(None, _CONTROL)) / max(len(sample), 1)
    if share > 0.3 or (share > 0.02 and not _is_utf8(sample)):
        raise Unreadable("unknown type", f"the content is not text: {share:.0%} of its bytes are control characters")


def _is_utf8(sample: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _utf16_without_mark(data: bytes) -> str:
    """Return the encoding if every second byte is nearly always NUL, as in Western text in UTF-16."""
    sample = data[:4096]
    if len(sample) < 8 or b"\x00" not in sample:
        return ""
    even, odd = sample[::2].count(0) / len(sample[::2]), sample[1::2].count(0) / len(sample[1::2])
    if odd > 0.7 and even < 0.1:
        return "utf-16-le"
    return "utf-16-be" if even > 0.7 and odd < 0.1 else ""


def _decode_other(data: bytes, declared: str) -> tuple[str, str]:
    text = data.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    good = len(text) - len(text.encode("ascii", "ignore")) - bad
    if good > bad:
        return clean(text), _DAMAGED
    try:
        return clean(data.decode(declared or "undeclared")), ""
    except (LookupError, UnicodeDecodeError):
        name = _guess(data)
    return clean(data.decode(name, "replace")), _DAMAGED if name == "utf-8" else name


def _guess(data: bytes) -> str:
    few = data[: 1 << 20].translate(None, bytes(range(128)))
    if len(few) <= _FEW and len(few) < 0.2 * len(data):
        return _guess_from_few(few)
    lines = [line for line in data[: 4 << 20].split(b"\n") if not line.isascii()]
    sample = b"\n".join(lines)[:65536]
    best = from_bytes(sample, cp_isolation=_GUESSES).best()
    name = best.encoding if best else "cp1252"
    return _western_or_eastern(sample) if name in _LATIN else name


def _guess_from_few(few: bytes) -> str:
    """Guess from too few bytes for statistics: usual letters of a Latin code page, or damaged UTF-8."""
    if _WEST.issuperset(few.decode("cp1252", "replace")):
        return "cp1252"
    return "cp1250" if _EAST.issuperset(few.decode("cp1250", "replace")) else "utf-8"


def _western_or_eastern(sample: bytes) -> str:
    """Choose between two Latin code pages that differ in a few letters, by which letters are usual."""
    west, east = sample.decode("cp1252", "replace"), sample.decode("cp1250", "replace")
    return "cp1252" if sum(c in _WEST for c in west) >= sum(c in _EAST for c in east) else "cp1250"
