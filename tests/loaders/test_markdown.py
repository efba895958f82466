"""Markdown as it is really written."""

import pytest

from ragline.documents import Heading
from ragline.errors import Unreadable
from ragline.loaders.markdown import load_markdown


def text_of(source: str) -> str:
    """Load Markdown and return its text."""
    return load_markdown(source.encode()).text


def blocks_of(source: str) -> list[str]:
    """Load Markdown and return the text of its blocks."""
    loaded = load_markdown(source.encode())
    return [loaded.text[start:end] for start, end in loaded.blocks]


def test_headings_carry_level_offset_and_plain_title() -> None:
    """ATX and setext headings are found outside code; ids and markup are not part of their titles."""
    loaded = load_markdown(
        b"# Top `x` {#top}\n\ntext\n\nSub\n---\n\n```sh\n# no heading\n```\n\n### **Deep** [link](u) ##\n#hashtag\n"
    )
    assert loaded.headings == (
        Heading(0, 1, "Top x"),
        Heading(loaded.text.index("Sub"), 2, "Sub"),
        Heading(loaded.text.index("### Deep"), 3, "Deep link"),
    )
    assert loaded.title == "Top x"
    assert loaded.text.startswith("# Top `x`\n\ntext")


@pytest.mark.parametrize(
    "source",
    [
        '---\ntitle: "A: b"\nweight: 10\ndraft: false\ntags: [x]\nversion: 1.10\n---\nBody.\n',
        '+++\ntitle = "A: b"\nweight = 10\ndraft = false\ntags = ["x"]\nversion = "1.10"\n+++\nBody.\n',
    ],
    ids=["yaml", "toml"],
)
def test_front_matter_becomes_title_and_metadata(source: str) -> None:
    """Front matter is not text; its scalars are facts about the document."""
    loaded = load_markdown(source.encode())
    facts = {"weight": 10, "draft": False, "version": "1.10"}
    assert (loaded.title, loaded.text, loaded.metadata) == ("A: b", "Body.", facts)


def test_broken_front_matter_is_still_not_text() -> None:
    """YAML that does not parse is left out, and its title is found all the same."""
    loaded = load_markdown(b"---\ntitle: Fine\nbad: [unclosed\n---\nBody.\n")
    assert (loaded.title, loaded.text, loaded.metadata) == ("Fine", "Body.", {})


def test_a_rule_at_the_start_is_not_front_matter() -> None:
    """Text between two rules stays text."""
    assert "An introduction" in text_of("---\n\nAn introduction of the thing\n\n---\n\nBody.\n")


def test_front_matter_alone_is_a_document_of_its_title() -> None:
    """A file that states only a title can still be found by it; one without a title is empty."""
    assert text_of('---\ntitle: "Nothing here"\n---\n') == "Nothing here"
    with pytest.raises(Unreadable, match="empty"):
        load_markdown(b"---\nweight: 10\n---\n")


def test_links_images_and_emphasis_are_reduced_to_their_text() -> None:
    """A reader of the page sees neither targets nor marks; badges and file names of images say nothing."""
    source = (
        "See [the\nguide](/docs/guide.md) and [ref][1], **bold [in](x)** *it* __two words__ __init__, <https://a.b/c>.\n"
        "![a useful caption](x.png) ![shot.png](y.png) [![build](b.svg)](https://ci) a \\* b 2 * 3 * 4\n\n[1]: http://x\n"
    )
    assert text_of(source) == (
        "See the\nguide and ref, bold in it two words __init__, https://a.b/c.\na useful caption   a * b 2 * 3 * 4"
    )


def test_code_is_kept_as_it_is() -> None:
    """Nothing inside code spans and fences is reduced."""
    source = "Use `[a](b) **c** <div>` here.\n\n```yaml\na: **b** <!-- c --> {{< d >}} [e](f)\n```\n"
    assert text_of(source) == "Use `[a](b) **c** <div>` here.\n\n```yaml\na: **b** <!-- c --> {{< d >}} [e](f)\n```"


def test_shortcodes_and_admonitions_leave_their_words() -> None:
    """Hugo shortcodes, Docusaurus, MkDocs and GitHub notes leave title or kind; templates in braces stay."""
    source = (
        '{{% alert title="Old Version" color="warning" %}}\nBeware.\n{{% /alert %}}\n\n{{< note >}}Hi{{< /note >}}\n\n'
        ":::tip Do this\nA\n:::\n\n!!! warning\n    B\n\n> [!NOTE]\n> C\n\n{% include x.html %}\n"
        "{{ .Values.image }} {context} ${HOME}\n"
    )
    assert text_of(source) == (
        "Old Version:\nBeware.\n\nNote:Hi\n\nDo this:\nA\n\nWarning:\n    B\n\n> Note:\n> C\n\n"
        "{{ .Values.image }} {context} ${HOME}"
    )


def test_html_in_markdown_is_reduced() -> None:
    """Tags, comments and scripts go, entities are decoded, and <placeholders> stay."""
    source = (
        "<script>alert(1)</script>\n<h2 id=x>Ports</h2>\n\nA<br>b &amp; <b>c</b> <!-- hidden\n# no --> <name> "
        "<Tabs x='1'>d</Tabs>\n"
        "<table><tr><th>Key</th><th>Value</th></tr>"
        "<tr><td>a|b</td><td><code>1</code> [d](e) {{% f %}}</td></tr></table>\n\nend\n"
    )
    loaded = load_markdown(source.encode())
    assert loaded.text == ("## Ports\n\nA b & c  <name> d\n\n| Key | Value |\n| --- | --- |\n| a\\|b | 1 d |\n\nend")
    assert [heading.title for heading in loaded.headings] == ["Ports"]


def test_mdx_lines_are_left_out() -> None:
    """Imports and exports of MDX are code, not text."""
    assert load_markdown(b"import Tabs from '@theme/Tabs';\nexport const a = 1\n\nText.\n", mdx=True).text == "Text."


def test_blocks_are_code_and_tables() -> None:
    """Fences, pipe tables and code by indentation are blocks; list continuations are not."""
    source = (
        "a\n\n```py\nx = 1\n```\n\n| k | v |\n|---|---|\n| 1 | 2 |\n\n"
        "Text:\n\n    make all\n\n- item\n\n    goes on\n\n"
        "one | two\n--- | ---\n3 | 4\n"
    )
    assert blocks_of(source) == [
        "```py\nx = 1\n```",
        "| k | v |\n|---|---|\n| 1 | 2 |",
        "    make all",
        "one | two\n--- | ---\n3 | 4",
    ]


def test_an_open_fence_runs_to_the_end() -> None:
    """What follows an unclosed fence is code: its comments are no headings."""
    loaded = load_markdown(b"# Code\n\n```yaml\nkey: value\n# not a heading\n")
    assert (loaded.headings, loaded.text[8:]) == (
        (Heading(0, 1, "Code"),),
        "```yaml\nkey: value\n# not a heading\n```",
    )


def test_fences_in_lists_and_quotes_are_found() -> None:
    """A fence may be indented or quoted; a longer fence may hold a shorter one."""
    assert blocks_of("- a\n\n  ```sh\n  ls\n  ```\n\n> ```\n> cat\n> ```\n\n````\n```\nx\n```\n````\n") == [
        "```sh\nls\n```",
        "```\ncat\n```",
        "````\n```\nx\n```\n````",
    ]
