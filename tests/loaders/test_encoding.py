"""Bytes to clean text."""

import pytest

from ragline.errors import Unreadable
from ragline.loaders.encoding import clean, decode

GERMAN = "Der Schlüssel für die Übergabe liegt im Büro 1. Öffnungszeiten: 8–17 Uhr."


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_is_read_with_or_without_a_mark(codec: str) -> None:
    """Unicode encodings give the text without the byte-order mark, and are no guess."""
    assert decode(GERMAN.encode(codec)) == (GERMAN, "")


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_recognised(codec: str) -> None:
    """The zero bytes of Western text in UTF-16 give it away."""
    assert decode(GERMAN.encode(codec)) == (GERMAN, codec)


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        ("cp1252", GERMAN),
        ("cp1252", "Le café est fermé à Noël; où êtes-vous? “Ici” – 5 €."),
        ("cp1250", "Příliš žluťoučký kůň úpěl ďábelské ódy"),
        ("cp1251", "Съешь ещё этих мягких французских булок, да выпей чаю"),
        ("cp932", "サーバーの再起動は午前1時に行います。担当は佐藤です。" * 5),
        ("euc_jp", "サーバーの再起動は午前1時に行います。担当は佐藤です。" * 5),
        ("gb18030", "服务器将在凌晨一点重新启动，负责人是王先生。" * 5),
        ("euc_kr", "서버는 오전 한 시에 다시 시작됩니다. 담당자는 김 대리입니다." * 5),
    ],
)
def test_other_encodings_are_guessed_and_noted(codec: str, text: str) -> None:
    """What is not Unicode is read as the most likely encoding, the same each time, and the guess is named."""
    assert [decode(text.encode(codec)) for _ in range(3)] == [(text, codec)] * 3


def test_few_bad_bytes_leave_the_good_text() -> None:
    """UTF-8 with damaged bytes is still UTF-8: they become U+FFFD, and the damage is noted."""
    assert decode("Größe und Länge".encode() + b" \xff\xfe!") == ("Größe und Länge \ufffd\ufffd!", "utf-8 with errors")


def test_a_declared_encoding_goes_before_a_guess() -> None:
    """A page that names its encoding is believed, unless the bytes are UTF-8."""
    assert decode(GERMAN.encode("cp1250"), declared="cp1250") == (GERMAN, "")
    assert decode(GERMAN.encode(), declared="cp1250") == (GERMAN, "")


def test_clean_keeps_what_people_write_and_drops_what_nobody_reads() -> None:
    """Line ends become one kind; NUL, zero-width space, mark, overrides and colours go; joiners stay."""
    dirty = "one\r\ntwo\rthree\u2028four\x00five\u200b\ufeff\u202eRTL\u202c\x1b[31mred\x1b[0m so\u00adft\tend\ud800"
    assert clean(dirty) == "one\ntwo\nthree\nfour fiveRTLred soft\tend"
    assert clean("👩\u200d💻 می\u200cخواهم") == "👩\u200d💻 می\u200cخواهم"


@pytest.mark.parametrize("data", [b"\x00" * 100, bytes(range(256)) * 16, b"\x89PNG\r\n\x1a\n", b"PK\x03\x04rest"])
def test_binary_content_is_refused(data: bytes) -> None:
    """Content that is no text is reported, whatever the name says."""
    with pytest.raises(Unreadable, match="unknown type: the content is not text"):
        decode(data)
