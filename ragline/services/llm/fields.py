"""The fields of a JSON object that somebody sent: read with their types, refused with one line that names the field."""

from collections.abc import Mapping
from typing import Any

from ragline.errors import ServiceError

_SHOWN = 40


class Fields:
    """Reads an object's fields; null is as good as absent, and what nobody reads is ignored.

    Example:
        >>> Fields({"top_p": 2}, "instances[0]").number("top_p", 1.0, 0.0, 1.0)
        Traceback (most recent call last):
        ragline.errors.ServiceError: instances[0].top_p is 2: expected a number from 0 to 1
    """

    def __init__(self, found: object, name: str = "") -> None:
        """Take what was sent as `name`.

        Raises:
            ServiceError: 400, it is no object.
        """
        self.name = name
        if not isinstance(found, Mapping):
            raise ServiceError(f"{name or 'the body'} is {shown(found)}: expected an object", 400)
        self._found: Mapping[str, Any] = found

    def __contains__(self, field: str) -> bool:
        return self._found.get(field) is not None

    def get(self, field: str) -> Any:
        """Return a field as it was sent; None where it is absent."""
        return self._found.get(field)

    def path(self, field: str) -> str:
        """Return a field's name as messages have it."""
        return f"{self.name}.{field}" if self.name else field

    def inner(self, field: str) -> "Fields":
        """Return the fields of an object; those of an empty one where it is absent."""
        found = self._found.get(field)
        return Fields({} if found is None else found, self.path(field))

    def text(self, field: str, default: str | None = None) -> str:
        """Return a text; without a default the field is required."""
        found = self._found.get(field)
        if found is None and default is not None:
            return default
        if not isinstance(found, str):
            raise self.refusal(field, "a text")
        return found

    def flag(self, field: str) -> bool:
        """Return true or false; false where it is absent."""
        found = self._found.get(field)
        if found is not None and not isinstance(found, bool):
            raise self.refusal(field, "true or false")
        return bool(found)

    def whole(self, field: str, default: int, least: int, most: int) -> int:
        """Return a whole number from `least` to `most`."""
        found = self._found.get(field)
        if found is None:
            return default
        if isinstance(found, float) and found.is_integer():  # some clients write 256.0
            found = int(found)
        if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= most:
            raise self.refusal(field, f"a whole number from {least} to {most}")
        return found

    def number(self, field: str, default: float, least: float, most: float) -> float:
        """Return a number from `least` to `most`."""
        found = self._found.get(field)
        if found is None:
            return default
        if not isinstance(found, int | float) or isinstance(found, bool) or not least <= found <= most:
            raise self.refusal(field, f"a number from {least:g} to {most:g}")
        return float(found)

    def texts(self, field: str, most: int) -> tuple[str, ...]:
        """Return a text or a list of at most `most` texts; empty where it is absent."""
        found = self._found.get(field)
        if found is None:
            return ()
        if isinstance(found, str):
            return (found,)
        if not isinstance(found, list) or len(found) > most or not all(isinstance(text, str) for text in found):
            raise self.refusal(field, f"a text or a list of at most {most} texts")
        return tuple(found)

    def refusal(self, field: str, expected: str) -> ServiceError:
        """Return what is to be raised for a field that is not what it should be."""
        if self._found.get(field) is None:
            return ServiceError(f"{self.path(field)} is missing: expected {expected}", 400)
        return ServiceError(f"{self.path(field)} is {shown(self._found[field])}: expected {expected}", 400)


def shown(value: object) -> str:
    """Return how a message names a value: its kind, unless it is a number; texts are the caller's business."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            text = format(value, ".15g") if isinstance(value, float) or abs(value) < 1 << 60 else "a huge number"
            return text[:_SHOWN]
        case str():
            return "a text" if value else "an empty text"
        case list():
            return f"a list of {len(value):,}"
    return "an object"
