"""reStructuredText as Sphinx projects write it."""

import pytest

from ragline.documents import Heading
from ragline.errors import Unreadable
from ragline.loaders.rst import load_rst


def text_of(source: str) -> str:
    """Load reStructuredText and return its text."""
    return load_rst(source.encode()).text


def test_headings_get_levels_in_order_of_appearance() -> None:
    """Over- and underlined headings are different styles; the first heading is the title."""
    loaded = load_rst(b":orphan:\n\n####\n Top\n####\n\n***\n A\n***\n\n``b``\n=====\n\ntext\n\n***\n C\n***\n\nend\n")
    assert loaded.text == "# Top\n\n## A\n\n### `b`\n\ntext\n\n## C\n\nend"
    assert loaded.headings == (
        Heading(0, 1, "Top"),
        Heading(7, 2, "A"),
        Heading(13, 3, "b"),
        Heading(28, 2, "C"),
    )
    assert loaded.title == "Top"


def test_inline_markup_is_reduced() -> None:
    """Roles, references, literals, emphasis and substitutions become what the page shows."""
    source = (
        ".. |product| replace:: Ragline\n\n"
        "See :ref:`the long\ntitle <target>`, :class:`~a.b.Foo`, :py:meth:`run`, ``lit``, *it*, **bold :ref:`x <y>`**, "
        "`site <https://x.y>`__, `Target`_, |product|, note [#f]_ and a\\ b, :file:`x.py`, :ref:`plain`.\n"
    )
    assert text_of(source) == (
        "See the long\ntitle, Foo, run, `lit`, it, bold x, site, Target, Ragline, note and ab, `x.py`, plain."
    )


def test_directives_leave_their_content() -> None:
    """Notes get a label, code becomes a block, tabs and objects keep title and text, noise goes."""
    source = (
        ".. _label:\n\n.. meta::\n   :description: x\n\n.. toctree::\n   :hidden:\n\n   a\n   b\n\n"
        ".. note::\n\n   Beware of\n   this.\n\n   .. code:: bash\n      :linenos:\n\n      ls -l\n\n"
        ".. a comment\n   over lines\n\n.. image:: x.png\n   :alt: no\n\n"
        ".. tabs::\n\n   .. tab:: Linux\n\n      Use apt.\n\n"
        ".. versionadded:: 1.2 Now faster.\n\n.. py:function:: run(x)\n   :noindex:\n\n   Runs it.\n\n"
        ".. include:: other.txt\n\n"
        ".. admonition:: Title here\n\n   Text.\n"
    )
    assert text_of(source) == (
        "Note: Beware of\nthis.\n\n```bash\nls -l\n```\n\nLinux\n\nUse apt.\n\nNew in version 1.2: Now faster.\n\n"
        "`run(x)`\n\nRuns it.\n\nTitle here: Text."
    )


def test_literal_blocks_and_doctests_are_code() -> None:
    """A paragraph that ends with "::" announces code; a prompt is code by itself."""
    loaded = load_rst(b"Do this::\n\n    make\n\n    make install\n\nThen.\n\n>>> 1 + 1\n2\n")
    assert loaded.text == "Do this:\n\n```\nmake\n\nmake install\n```\n\nThen.\n\n```python\n>>> 1 + 1\n2\n```"
    assert [loaded.text[start:end] for start, end in loaded.blocks] == [
        "```\nmake\n\nmake install\n```",
        "```python\n>>> 1 + 1\n2\n```",
    ]


@pytest.mark.parametrize(
    "source",
    [
        "+-----+-------+\n| Key | Value |\n+=====+=======+\n| a   | ``1`` |\n|     | more  |\n+-----+-------+\n",
        "===  =======\nKey  Value\n===  =======\na    ``1``\n     more\n===  =======\n",
        ".. list-table::\n   :header-rows: 1\n\n   * - Key\n     - Value\n   * - a\n     - ``1``\n       more\n",
        ".. list-table::\n   :widths: 1 2\n\n   -  -  Key\n      -  Value\n   -  -  a\n      -  ``1``\n         more\n",
    ],
    ids=["grid", "simple", "list", "list with dashes"],
)
def test_tables_become_rows(source: str) -> None:
    """Each kind of table becomes the same rows, as one block."""
    loaded = load_rst(source.encode())
    assert loaded.text == "| Key | Value |\n| --- | --- |\n| a | `1` more |"
    assert loaded.blocks == ((0, len(loaded.text)),)


def test_lists_keep_their_items() -> None:
    """Bullets of all kinds become "- "; nesting stays."""
    assert text_of("-  one\n\n   -  two\n\n* three\n#. four\n") == "- one\n\n   - two\n\n- three\n- four"


def test_noise_alone_is_empty() -> None:
    """A file with nothing for readers is reported."""
    with pytest.raises(Unreadable, match="empty"):
        load_rst(b".. _x:\n\n.. include:: y.txt\n")
