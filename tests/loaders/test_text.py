"""Plain text and delimited rows."""

import pytest

from ragline.loaders.text import load_rows, load_text


def test_plain_text_keeps_its_lines() -> None:
    """Windows, old Mac and Unix line ends are all line ends; nothing is markup."""
    loaded = load_text(b"Line one\r\nLine *two*\rLine # three\n")
    assert (loaded.text, loaded.headings, loaded.blocks) == ("Line one\nLine *two*\nLine # three", (), ())


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_each_row_names_its_columns(delimiter: str) -> None:
    """A row is one line that can be understood alone; quoted cells keep delimiters, line ends become spaces."""
    rows = [["name", "city", "note"], ['"Müller, Anna"', "Köln", '"line one\nline two"'], ["O'Neil", "Dublin", '""']]
    data = "\n".join(delimiter.join(row) for row in rows).encode()
    assert load_rows(data, "text/csv").text == (
        "name: Müller, Anna; city: Köln; note: line one line two\nname: O'Neil; city: Dublin"
    )


def test_rows_without_a_header_are_only_values() -> None:
    """Numbers are no names of columns."""
    assert load_rows(b"1\t2\n3\t4\n", "text/tab-separated-values").text == "1; 2\n3; 4"


def test_rows_longer_than_the_header_keep_all_cells() -> None:
    """A cell without a column is kept without a name."""
    assert load_rows(b"a,b\n1,2,3\n", "text/csv").text == "a: 1; b: 2; 3"


def test_what_is_no_table_is_kept_as_text() -> None:
    """A cell beyond the reader's limit does not lose the file."""
    assert load_rows(b'a,b\n"' + b"x" * 200_000 + b'",2\n', "text/csv").text.startswith('a,b\n"xxx')
