"""Chat templates: the same text as transformers makes, and what a prompt for a tokenizer needs."""

import json
from pathlib import Path
from typing import Any

import pytest

from ragline.errors import ServiceError, SettingError
from ragline.services.llm.chat_template import ChatModel
from ragline.services.llm.plans.plan import Message
from tests.services.plans.tokenizer_folder import CHATML, LLAMA, NO_SYSTEM, TEMPLATES, write_tokenizer

SYSTEM = Message("system", "Be brief & <clear>.")
HELLO = Message("user", " Hello, wörld? ")
TALKS = {
    "question": [HELLO],
    "system": [SYSTEM, HELLO],
    "turns": [
        SYSTEM,
        HELLO,
        Message("assistant", "Yes?\n"),
        Message("user", "skip"),
        Message("assistant", "ok"),
        HELLO,
    ],
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each template."""
    root = tmp_path_factory.mktemp("templates")
    return {name: write_tokenizer(root / name, template) for name, template in TEMPLATES.items()}


@pytest.mark.parametrize("talk", TALKS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_renders_as_transformers_does(folders: dict[str, Path], name: str, talk: str) -> None:
    """Every construct of the templates gives the text of `apply_chat_template`, to the last space."""
    transformers: Any = pytest.importorskip("transformers")
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(folders[name])
    messages = TALKS[talk]
    if name in {"no-system", "namespaces"}:  # transformers refuses or drops what is folded here
        messages = [message for message in messages if message.role != "system"]
    expected = theirs.apply_chat_template(
        [{"role": message.role, "content": message.content} for message in messages],
        tokenize=False,
        add_generation_prompt=True,
    )
    ours = ChatModel(folders[name])
    assert ours.render(messages) == expected
    assert ours.count(expected) == len(theirs(expected, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("name", ["no-system", "namespaces"])
def test_system_text_is_never_lost(folders: dict[str, Path], name: str) -> None:
    """A template that refuses system messages, or leaves them out, shows their text with the first question."""
    text = ChatModel(folders[name]).render([SYSTEM, HELLO, Message("assistant", "Yes"), HELLO])
    assert text.count(SYSTEM.content) == 1
    assert text.index(SYSTEM.content) < text.index("Hello") < text.index("Yes")


def test_template_of_a_file_precedes(tmp_path: Path) -> None:
    """chat_template.jinja is the one that counts, as with transformers."""
    write_tokenizer(tmp_path, "old: {{ messages[0].content }}")
    (tmp_path / "chat_template.jinja").write_text("new: {{ messages[0].content }}")
    assert ChatModel(tmp_path).render([HELLO]) == "new:  Hello, wörld? "


def test_template_of_a_list(tmp_path: Path) -> None:
    """Of several named templates the default one is used."""
    write_tokenizer(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config["chat_template"] = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": CHATML}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert ChatModel(tmp_path).render([Message("user", "a")]).startswith("<|im_start|>user\na")


@pytest.mark.parametrize(("adds_bos", "opening"), [(False, "<s><|start|>"), (True, "<|start|>")])
def test_a_prompt_begins_once(tmp_path: Path, adds_bos: bool, opening: str) -> None:
    """What the backend's tokenizer puts before a prompt is not in the prompt that is sent."""
    model = ChatModel(write_tokenizer(tmp_path, LLAMA, adds_bos=adds_bos))
    rendered = model.render([HELLO])
    assert rendered.startswith("<s><|start|>")
    assert model.sent(rendered).startswith(opening)


def test_control_tokens(tmp_path: Path) -> None:
    """The tokens that mean more than their letters are known."""
    assert {"<|im_start|>", "<|im_end|>", "</s>"} <= ChatModel(write_tokenizer(tmp_path)).controls


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "holds no tokenizer.json.*tokenizer.model"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "is no tokenizer that can be read"),
        (lambda folder: (folder / "tokenizer_config.json").write_text("{"), "is not JSON"),
        (lambda folder: (folder / "tokenizer_config.json").write_text("{}"), "holds no chat template.*base model"),
        (lambda folder: (folder / "chat_template.jinja").write_text("{% if %}"), "is no Jinja template"),
        (lambda folder: (folder / "chat_template.jinja").write_text("{{ nothing.at.all }}"), "cannot be rendered"),
        (
            lambda folder: (folder / "chat_template.jinja").write_text("{{ ''.__class__.__mro__ }}"),
            "cannot be rendered",
        ),
    ],
)
def test_unusable_folders(tmp_path: Path, break_it: Any, message: str) -> None:
    """Each thing that can be wrong with a folder has a message of its own; a template cannot reach Python."""
    write_tokenizer(tmp_path)
    break_it(tmp_path)
    with pytest.raises(SettingError, match=message):
        ChatModel(tmp_path)


def test_refused_conversation(tmp_path: Path) -> None:
    """What a template refuses is told with its reason."""
    model = ChatModel(write_tokenizer(tmp_path, LLAMA))
    with pytest.raises(ServiceError, match="refuses the conversation: roles have to alternate"):
        model.render([HELLO, HELLO])


def test_echoes(tmp_path: Path) -> None:
    """The forms in which a backend may repeat the prompt: with its control tokens and without."""
    model = ChatModel(write_tokenizer(tmp_path, NO_SYSTEM))
    rendered = model.render([HELLO])
    assert rendered == "<s>user: Hello, wörld?\nmodel: "
    assert {rendered, "user: Hello, wörld?\nmodel: ", "user: Hello, wörld?\nmodel:"} <= model.echoes(rendered)
