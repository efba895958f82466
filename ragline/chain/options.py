"""What a chain is asked to be."""

import urllib.parse
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from ragline.errors import SettingError

EXTRACTIVE, OPENAI = "extractive", "openai"
SMALL_MODEL = "smollm2-135m-instruct"
"""Name of the small language model in its API."""

_HIGHEST = 65_535
_COMPARED = {"plan", "llm_url", "llm_model", "tokenizer", "small_llm", "port"}


@dataclass(frozen=True, slots=True)
class ChainOptions:
    """How a chain is to be run; holds no secret, for it is shown in the list of processes.

    Attributes:
        store: URI of the object store, absolute.
        name: of the index.
        plan: how answers are made; "" for the default: by quoting, or by the small language model where there is one.
        llm_url: of the language model's server.
        llm_model: its name there.
        tokenizer: folder with its tokenizer and chat template.
        small_llm: whether a small language model runs with the chain.
        port: of the llm service; the others follow. 0 for any that are free.
        triton: folder of the Triton environment; "" for the default.
        seconds: within which every service must be ready.
    """

    store: str
    name: str = "default"
    plan: str = ""
    llm_url: str = ""
    llm_model: str = ""
    tokenizer: str = ""
    small_llm: bool = False
    port: int = 8400
    triton: str = ""
    seconds: float = 600.0

    def __post_init__(self) -> None:
        """Refuse what cannot be run.

        Raises:
            SettingError: options contradict each other, or one is malformed.
        """
        if not 0 <= self.port <= _HIGHEST - 10:
            raise SettingError(f"--port {self.port}: expected 1 to {_HIGHEST - 10}, or 0 for any that are free")
        if not self.seconds > 0:
            raise SettingError(f"--seconds {self.seconds:g}: expected a number above 0")
        if self.small_llm and (self.plan not in {"", OPENAI} or self.llm_url):
            raise SettingError("--small-llm is a language model of its own: leave out --plan and --llm-url")
        if self.llm_url:
            _check_url(self.llm_url)
        needs_url = self.serving_plan != EXTRACTIVE and not self.small_llm
        if needs_url and not self.llm_url:
            raise SettingError(f"--plan {self.plan} needs --llm-url: where its language model is served")
        if self.llm_url and not needs_url:
            raise SettingError(f"--llm-url is given, and plan {EXTRACTIVE!r} asks no model: name a plan with --plan")

    @property
    def serving_plan(self) -> str:
        """The plan, where none was named the default."""
        return self.plan or (OPENAI if self.small_llm else EXTRACTIVE)

    def asks_for_other_than(self, there: Self) -> bool:
        """Tell whether an option other than its default differs from that of a chain that is up."""
        default = type(self)(self.store, self.name)
        asked = {name: value for name, value in asdict(self).items() if name in _COMPARED}
        asked |= {"port": self.port or there.port}
        return any(value not in (getattr(default, name), getattr(there, name)) for name, value in asked.items())

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what `to_json` gave."""
        return cls(**{each.name: value[each.name] for each in fields(cls)})


def _check_url(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingError(f"--llm-url {url!r}: expected http(s)://host:port")
    if "@" in parts.netloc:
        raise SettingError("--llm-url holds credentials (before the '@'): set RAGLINE_LLM_API_KEY instead")
