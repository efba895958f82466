"""The paths that a service opens; there is nothing at any other."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_PARAMETER = re.compile(r"\{\w+\}")


@dataclass(frozen=True, slots=True)
class Match:
    """What was found at a path.

    Attributes:
        route: the path as it is declared, for metrics and logs; "" where nothing is.
        methods: that may be used on it.
    """

    route: str = ""
    methods: frozenset[str] = frozenset()


class RouteTable:
    """Finds the route of a path.

    Args:
        routes: each a method and a path, as in "GET /v1/models/{name}"; a parameter is one segment.

    Example:
        >>> RouteTable(["GET /v1/models/{name}"]).find("/v1/models/llm").route
        '/v1/models/{name}'
    """

    def __init__(self, routes: Sequence[str]) -> None:
        methods: dict[str, set[str]] = {}
        for each in routes:
            method, _, path = each.partition(" ")
            methods.setdefault(path, set()).add(method)
        matches = {path: Match(path, frozenset(allowed)) for path, allowed in methods.items()}
        self._fixed = {path: match for path, match in matches.items() if "{" not in path}
        self._open = [(_pattern(path), match) for path, match in matches.items() if "{" in path]

    def find(self, path: str) -> Match:
        """Return what is at a path; an empty match where nothing is."""
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed
        return next((match for pattern, match in self._open if pattern.fullmatch(path)), Match())


def _pattern(path: str) -> re.Pattern[str]:
    parts = _PARAMETER.split(path)
    return re.compile("[^/]+".join(map(re.escape, parts)))
