"""A model's own words: its tokenizer and its chat template, read from the folder that its weights came with.

The template renders what `apply_chat_template` of transformers renders, without transformers: Jinja in the same
sandbox, with the same functions and the same names.
"""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from ragline.errors import ServiceError, SettingError
from ragline.services.llm.plans.plan import Message

_PROBE = "8f3a probe"


class ChatModel:
    r"""The tokenizer and the chat template of a model.

    Example:
        >>> model = ChatModel(Path("smollm2"))  # doctest: +SKIP
        >>> model.render([Message("user", "Hello?")])  # doctest: +SKIP
        '<|im_start|>user\nHello?<|im_end|>\n<|im_start|>assistant\n'
    """

    def __init__(self, folder: Path) -> None:
        """Read a folder.

        Raises:
            SettingError: it lacks a tokenizer or a chat template, or has one that cannot be used.
        """
        self._folder = folder
        self._tokenizer = _tokenizer(folder)
        config = _json(folder / "tokenizer_config.json")
        self._special = _special_tokens(_json(folder / "special_tokens_map.json")) | _special_tokens(config)
        source = _template(folder, config)
        self._template = _compiled(source, folder)
        self._adds_bos = self._opens_with(self._special.get("bos_token", ""))
        self._takes_system = self._probed()
        self.controls = self._control_tokens(source)

    def render(self, messages: Sequence[Message]) -> str:
        """Return a conversation in the model's format, up to where its answer begins.

        What the caller says first is given the system message's text where the template knows no system messages.

        Raises:
            ServiceError: the template refuses these messages.
        """
        if not self._takes_system:
            messages = _folded(messages)
        try:
            return self._rendered(messages)
        except jinja2.TemplateError as exc:
            raise ServiceError(f"the chat template of {self._folder.name} refuses the conversation: {exc}") from exc

    def count(self, text: str) -> int:
        """Return the number of tokens of a text."""
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def sent(self, text: str) -> str:
        """Return a rendered prompt as it is to be sent to a tokenizer that adds its special tokens.

        A template writes the token that begins every prompt; the tokenizer would put a second one before it.
        """
        return text.removeprefix(self._special["bos_token"]) if self._adds_bos else text

    def echoes(self, text: str) -> frozenset[str]:
        """Return what a backend may write before its answer where it repeats the prompt."""
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        plain = self._tokenizer.decode(ids, skip_special_tokens=True)
        kept = self._tokenizer.decode(ids, skip_special_tokens=False)
        forms = {text, self.sent(text), plain, kept}
        return frozenset(forms | {form.strip() for form in forms})

    def _rendered(self, messages: Sequence[Message]) -> str:
        return self._template.render(
            messages=[{"role": message.role, "content": message.content} for message in messages],
            tools=None,
            documents=None,
            add_generation_prompt=True,
            **self._special,
        )

    def _probed(self) -> bool:
        """Whether the template takes a system message, and shows it.

        Raises:
            SettingError: it does not even take a question.
        """
        user = Message("user", "question")
        try:
            self._rendered([user])
        except jinja2.TemplateError as exc:
            raise SettingError(f"the chat template of {self._folder} cannot be rendered: {exc}") from exc
        try:
            return _PROBE in self._rendered([Message("system", _PROBE), user])
        except jinja2.TemplateError:
            return False

    def _opens_with(self, token: str) -> bool:
        ids = self._tokenizer.encode("a").ids
        return bool(token) and bool(ids) and ids[0] == self._tokenizer.token_to_id(token)

    def _control_tokens(self, template: str) -> frozenset[str]:
        """Return the tokens that mean something to the model other than their letters."""
        added = self._tokenizer.get_added_tokens_decoder().values()
        found = {token.content for token in added if token.special or token.content in template}
        return frozenset(token for token in found if len(token) > 1 and not token.isspace())


def _folded(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with the text of the system message in the first one of the user."""
    system = "\n\n".join(message.content for message in messages if message.role == "system")
    others = [message for message in messages if message.role != "system"]
    if system and others:
        others[0] = Message(others[0].role, f"{system}\n\n{others[0].content}")
    return others


def _tokenizer(folder: Path) -> Tokenizer:
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise SettingError(
            f"{folder} holds no tokenizer.json: name the folder of the model's tokenizer; one that has only a "
            "tokenizer.model is converted by AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as exc:  # the Rust library raises Exception itself
        raise SettingError(f"{path} is no tokenizer that can be read: {exc}") from exc
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    except ValueError as exc:
        raise SettingError(f"{path} is not JSON: {exc}") from exc
    return found if isinstance(found, dict) else {}


def _special_tokens(config: dict[str, Any]) -> dict[str, str]:
    """Return the texts of the tokens that a configuration names, as in {"eos_token": "</s>"}."""
    named = {name: value for name, value in config.items() if re.fullmatch("[a-z]+_token", name)}
    texts = {name: value.get("content") if isinstance(value, dict) else value for name, value in named.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def _template(folder: Path, config: dict[str, Any]) -> str:
    """Return the chat template: a file of its own precedes the one in the tokenizer's configuration."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text("utf-8")
    found = _json(folder / "chat_template.json").get("chat_template") or config.get("chat_template")
    if isinstance(found, list):
        found = {each["name"]: each["template"] for each in found}.get("default")
    if not isinstance(found, str):
        raise SettingError(
            f"{folder} holds no chat template: a model for conversations has chat_template.jinja, or chat_template in "
            "tokenizer_config.json; a base model cannot be used"
        )
    return found


def _compiled(source: str, folder: Path) -> jinja2.Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _raise, "strftime_now": lambda form: datetime.now().strftime(form)}
    try:
        return environment.from_string(source)
    except jinja2.TemplateError as exc:
        raise SettingError(f"the chat template of {folder} is no Jinja template: {exc}") from exc


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    # Jinja's own filter writes for HTML: `<` as \u003c.
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


class _Generation(jinja2.ext.Extension):
    """The block {% generation %}, which marks for a training what the model wrote; here it is its content."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own way of telling

    def parse(self, parser: Any) -> Any:
        """Return what stands in the block."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)
