"""A model's text on its way to the reader: without the prompt, without what it thought, ending at a stop text."""

from collections.abc import Iterable
from typing import Protocol

_OPEN, _CLOSE = "<think>", "</think>"


class AnswerText:
    r"""Takes pieces as a backend sends them, gives what is to be read, as early as that is certain.

    Args:
        echoes: texts that are left out where the first of them stands at the beginning: forms of the prompt.
        stop: texts that end the answer and are not part of it.

    Attributes:
        stopped: whether a stop text was met: whatever comes after it is nothing to read.

    Example:
        >>> text = AnswerText(stop=["\n\n"])
        >>> [text.add(" One.\n"), text.add("\nTwo."), text.end()]
        ['One.', '', '']
    """

    def __init__(self, *, echoes: Iterable[str] = (), stop: Iterable[str] = ()) -> None:
        self._stop = _Stop([text for text in stop if text])
        self._filters: list[_Filter] = [_Opening([text for text in echoes if text]), _Thoughts(), _Start(), self._stop]

    @property
    def stopped(self) -> bool:
        """Whether a stop text was met."""
        return self._stop.met

    def add(self, text: str) -> str:
        """Return what is to be read now."""
        for each in self._filters:
            text = each.add(text)
        return text

    def end(self) -> str:
        """Return what was held back."""
        text = ""
        for each in self._filters:
            text = each.add(text) + each.end()
        return text


class _Filter(Protocol):
    def add(self, text: str) -> str: ...

    def end(self) -> str: ...


class _Opening:
    """Leaves out a text that may stand at the beginning; the longest of those that fit."""

    def __init__(self, openings: list[str]) -> None:
        self._openings = openings
        self._held = ""

    def add(self, text: str) -> str:
        if not self._openings:
            return text
        self._held += text
        if any(len(opening) > len(self._held) and opening.startswith(self._held) for opening in self._openings):
            return ""
        return self.end()

    def end(self) -> str:
        held, openings = self._held, self._openings
        self._held, self._openings = "", []
        longest = max((each for each in openings if held.startswith(each)), key=len, default="")
        return held[len(longest) :]


class _Thoughts:
    """Leaves out what stands between <think> and </think> at the beginning."""

    def __init__(self) -> None:
        self._held = ""
        self._thinks: bool | None = None

    def add(self, text: str) -> str:
        if self._thinks is False:
            return text
        self._held += text
        if self._thinks is None:
            begun = self._held.lstrip()
            if _OPEN.startswith(begun[: len(_OPEN)]) and len(begun) < len(_OPEN):
                return ""
            self._thinks = begun.startswith(_OPEN)
        if self._thinks and _CLOSE not in self._held:
            return ""
        self._thinks = False
        held, self._held = self._held, ""
        return held.partition(_CLOSE)[2] if held.lstrip().startswith(_OPEN) else held

    def end(self) -> str:
        held, self._held = self._held, ""
        return "" if self._thinks else held


class _Start:
    """Leaves out white space at the beginning."""

    def __init__(self) -> None:
        self._begun = False

    def add(self, text: str) -> str:
        if not self._begun:
            text = text.lstrip()
            self._begun = bool(text)
        return text

    def end(self) -> str:
        return ""


class _Stop:
    """Ends at the first stop text; holds back what may be the beginning of one."""

    def __init__(self, stop: list[str]) -> None:
        self._stop = stop
        self._held = ""
        self.met = False

    def add(self, text: str) -> str:
        if not self._stop or self.met:
            return "" if self.met else text
        self._held += text
        found = [position for each in self._stop if (position := self._held.find(each)) >= 0]
        if found:
            self.met = True
            self._held = self._held[: min(found)]
        keep = 0 if self.met else max(map(self._begun, self._stop))
        ready, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return ready

    def end(self) -> str:
        held, self._held = self._held, ""
        return held

    def _begun(self, stop: str) -> int:
        """Return how much of a stop text stands at the end of what is held."""
        longest = min(len(stop) - 1, len(self._held))
        return next((size for size in range(longest, 0, -1) if self._held.endswith(stop[:size])), 0)
