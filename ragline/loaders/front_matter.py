"""The facts that a Markdown file states about itself before its text: YAML or TOML front matter."""

import re
import tomllib
from typing import Any

import yaml

from ragline.loaders.page import facts, one_line

_YAML = re.compile(r"---[ \t]*\n(?:(.*?)\n)??(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_TOML = re.compile(r"\+\+\+[ \t]*\n(?:(.*?)\n)??\+\+\+[ \t]*(?:\n|\Z)", re.DOTALL)
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_LARGEST = 65536
_DEEPEST = 500  # brackets, all together: the C parser has no guard against deep nesting
_TITLE = re.compile(r"^title[ \t]*[:=][ \t]*([^\n]*)$", re.MULTILINE)
_KEY = re.compile(r"""\s*(?:["']?[\w.-]+["']?[ \t]*[:=]|#|\[)""")
_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,14})\Z")


def split_front_matter(text: str) -> tuple[dict[str, str | int | float | bool], str, str]:
    """Split a source into its scalar front matter fields, its title, and the rest.

    Front matter that does not parse is still kept out of the text; its title is then found by its line.
    """
    head = text[:_LARGEST]
    for pattern, parse in ((_YAML, _parse_yaml), (_TOML, _parse_toml)):
        match = pattern.match(head)
        source = (match[1] or "") if match else ""
        if match and (not source.strip() or _KEY.match(source)):  # else the line was a rule between paragraphs
            fields = parse(source)
            title = fields.pop("title", "")
            return facts(fields), one_line(title if isinstance(title, str) else ""), text[match.end() :]
    return {}, "", text


def _parse_yaml(source: str) -> dict[str, Any]:
    if source.count("[") + source.count("{") > _DEEPEST:
        return _only_title(source)
    try:  # Base: no dates, no floats from versions such as 1.10, no tags
        fields = yaml.load(source, Loader=_LOADER)
    except (yaml.YAMLError, RecursionError):
        fields = None
    return {key: _typed(value) for key, value in fields.items()} if isinstance(fields, dict) else _only_title(source)


def _typed(value: Any) -> Any:
    if value in ("true", "false"):
        return value == "true"
    return int(value) if isinstance(value, str) and _INTEGER.match(value) else value


def _parse_toml(source: str) -> dict[str, Any]:
    if source.count("[") + source.count("{") > _DEEPEST:
        return _only_title(source)
    try:
        return tomllib.loads(source)
    except (tomllib.TOMLDecodeError, RecursionError):
        return _only_title(source)


def _only_title(source: str) -> dict[str, Any]:
    match = _TITLE.search(source)
    return {"title": match[1].strip().strip("\"'")} if match else {}
