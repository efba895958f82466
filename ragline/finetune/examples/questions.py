"""Questions in the users' words, written by a language model behind an OpenAI-compatible endpoint."""

import json
import logging
import re
import ssl
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError

from ragline.errors import CredentialsError, PipelineError, SettingError
from ragline.progress import progress
from ragline.settings import LlmSettings

_log = logging.getLogger(__name__)

PROMPT = (
    "You write search questions. You get a passage of documentation. Write {count} different questions that a person "
    "who has not read it might type, and that it answers. Use the person's words rather than the passage's; name the "
    'thing that is asked about, never "the passage" or "this"; keep to the passage\'s language. At most 20 words '
    "each. Answer with the questions alone, one on each line."
)
"""What the model is told; recorded with the pairs."""

_BUSY = {429, 503}
_TIMEOUT = urllib3.Timeout(connect=10, read=120)
_LONGEST_WAIT = 30.0
_AT_ONCE = 4
_MARK = re.compile(r"^\s*(?:[-*+•]|\d+[.)]|Q\d*[.:])\s*", re.IGNORECASE)
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)


@dataclass(frozen=True)
class QuestionWriter:
    """A language model that writes questions about passages.

    Example:
        >>> writer = QuestionWriter("https://llm.example/v1", "qwen3")
        >>> writer.questions(["Releases are rolled back with `ragline rollback`."])  # doctest: +SKIP
        [['How do I go back to the release before?', 'Which command undoes a release?']]

    Attributes:
        url: of the API, up to and with its version; https, or http inside a cluster.
        model: its name there.
        passages: how many passages to ask about at most.
        each: how many questions about each.
        patience: seconds that a request is repeated while the server says that it is busy (429, 503).
        settings: the key.
    """

    url: str
    model: str
    passages: int = 200
    each: int = 2
    patience: float = 120.0
    settings: LlmSettings = field(default_factory=LlmSettings.from_environment, repr=False)

    def __post_init__(self) -> None:
        parts = urllib.parse.urlsplit(self.url)
        if "@" in parts.netloc:
            raise SettingError("the URL of the language model holds credentials: set RAGLINE_LLM_API_KEY instead")
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise SettingError(f"language model {self.url!r}: expected a URL such as https://host/v1")
        if not self.model.strip():
            raise SettingError(f"language model at {self.url}: its name is empty; name a model that is served there")
        if self.passages < 1 or not 1 <= self.each <= 10:
            raise SettingError(
                f"language model: {self.each} questions about each of {self.passages} passages; "
                "choose 1 to 10 about at least 1"
            )

    def record(self) -> dict[str, Any]:
        """Return what made the questions, for metadata: URL, model, prompt."""
        return {"url": self.url, "model": self.model, "prompt": self._prompt}

    def questions(self, passages: Sequence[str]) -> list[list[str]]:
        """Return the questions about each passage, in order.

        Raises:
            CredentialsError: the key is refused.
            SettingError: nothing of this kind or no such model is at the URL.
            PipelineError: the server cannot be reached, stays busy, or answers something else.
        """
        with progress("questions", total=len(passages), unit="passages") as step, ThreadPoolExecutor(_AT_ONCE) as pool:
            answers = list[list[str]]()
            try:
                for answer in pool.map(self._about, passages):
                    answers.append(answer)
                    step.advance()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return answers

    @property
    def _prompt(self) -> str:
        return PROMPT.format(count=self.each)

    @property
    def _endpoint(self) -> str:
        base = self.url.rstrip("/")
        return base if base.endswith("/chat/completions") else f"{base}/chat/completions"

    @cached_property
    def _http(self) -> urllib3.PoolManager:
        context = ssl.create_default_context()  # verifies; SSL_CERT_FILE adds a private authority
        return urllib3.PoolManager(ssl_context=context, timeout=_TIMEOUT, maxsize=_AT_ONCE, retries=False)

    def _about(self, passage: str) -> list[str]:
        body = {
            "model": self.model,
            "messages": [{"role": "system", "content": self._prompt}, {"role": "user", "content": passage}],
            "temperature": 0,
            "seed": 0,
            "max_tokens": 64 * self.each,
        }
        lines = _THOUGHT.sub("", _content(self._answer(json.dumps(body).encode()), self._endpoint)).splitlines()
        questions = (" ".join(_MARK.sub("", line).split()).strip('"') for line in lines)
        return [text for text in questions if 8 <= len(text) <= 300][: self.each]

    def _answer(self, body: bytes) -> bytes:
        end, delay = time.monotonic() + self.patience, 0.5
        while True:
            response = self._post(body)
            wait = min(_retry_after(response.headers) or delay, _LONGEST_WAIT)
            if response.status not in _BUSY or time.monotonic() + wait > end:
                break
            _log.info("language model is busy (%d), again in %.1f s", response.status, wait)
            time.sleep(wait)
            delay *= 2
        if response.status != 200:
            raise self._refusal(response)
        return response.data

    def _post(self, body: bytes) -> urllib3.BaseHTTPResponse:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.settings.key:
            headers["Authorization"] = f"Bearer {self.settings.key}"
        try:  # a redirect would carry the key elsewhere
            return self._http.request("POST", self._endpoint, body=body, headers=headers, redirect=False)
        except HTTPError as exc:
            message = f"language model at {self._endpoint} cannot be reached ({exc}); is it running, and the URL right?"
            raise PipelineError(message) from exc

    def _refusal(self, response: urllib3.BaseHTTPResponse) -> Exception:
        said = response.data[:2000].decode("utf-8", "replace")
        if self.settings.key:
            said = said.replace(self.settings.key, "***")  # some servers repeat it
        where = f"language model {self.model!r} at {self._endpoint}: status {response.status}: {said[:300]!r}"
        if response.status in {401, 403}:
            return CredentialsError(f"{where}; set RAGLINE_LLM_API_KEY to a key that may use this model")
        if response.status < 500 and response.status not in _BUSY:
            return SettingError(f"{where}; check the URL (it usually ends in /v1) and the model's name")
        return PipelineError(f"{where}; it did not get better in {self.patience:g} s, run again later")


def _retry_after(headers: Mapping[str, str]) -> float:
    value = headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else 0.0


def _content(data: bytes, endpoint: str) -> str:
    try:
        content = json.loads(data)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError) as exc:
        raise PipelineError(
            f"language model at {endpoint}: the answer is not a chat completion: {data[:200]!r}; check the URL"
        ) from exc
    return content if isinstance(content, str) else ""
