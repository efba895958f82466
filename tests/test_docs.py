"""The documentation says what the code does: variables, options, parameters, links."""

import argparse
import re
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from ragline import cli, loaders
from ragline.client import compiled_pipelines
from ragline.settings import VARIABLES

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

_LINK = re.compile(r"\[[^\[\]]*\]\((?!https?:|mailto:|#)([^)\s#]+)[^)]*\)")
_ROW = re.compile(r"^\| `([^`]+)` \| (.*?) \| (.*?) \|$", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def _page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def _section(page: str, heading: str) -> str:
    """Return the text below a heading, up to the next one."""
    return re.split(r"^## ", page.split(f"\n## {heading}", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def _verbs() -> list[tuple[str, argparse.ArgumentParser]]:
    actions = cli.parser()._actions
    return [pair for each in actions if isinstance(each, argparse._SubParsersAction) for pair in each.choices.items()]


def test_every_variable_is_documented_with_its_default() -> None:
    """docs/environment.md has one row for each variable, in the order of the settings, and no other."""
    rows = [match.groups() for match in _ROW.finditer(_page("environment.md"))]
    assert rows == [(each.name, each.default or "none", each.meaning) for each in VARIABLES]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_to_files(page: Path) -> None:
    """Every relative link leads to a file of the repository."""
    targets = _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_page_is_in_the_index() -> None:
    """docs/README.md leads to every page below docs/."""
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")} - {"README.md"}
    assert pages - set(_LINK.findall(_page("README.md"))) == set()


def test_pages_that_the_code_names_are_there() -> None:
    """A docstring or message that sends a reader to a page names one that exists."""
    named = {
        match
        for folder in ("ragline", "components", "pipelines")
        for path in (ROOT / folder).rglob("*.py")
        for match in re.findall(r"docs/(?:decisions/\d{4}|[a-z-]+\.md)", path.read_text(encoding="utf-8"))
    }
    assert sorted(name for name in named if not list(ROOT.glob(f"{name}*"))) == []


@pytest.mark.parametrize(("verb", "parser"), _verbs(), ids=[verb for verb, _ in _verbs()])
def test_every_option_is_documented(verb: str, parser: argparse.ArgumentParser) -> None:
    """docs/cli.md has a section for each command, and each of its options stands there or in the introduction."""
    page = _page("cli.md")
    described = page.split("\n## ")[0] + _section(page, f"ragline {verb}")
    options = [option for action in parser._actions for option in action.option_strings if option.startswith("--")]
    assert [option for option in options if not re.search(rf"`{option}[ `]", described)] == []


def test_no_option_is_documented_that_does_not_exist() -> None:
    """Options that the pages name in code are options of the command line."""
    options = {option for _, parser in _verbs() for action in parser._actions for option in action.option_strings}
    options |= {option for action in cli.parser()._actions for option in action.option_strings}
    named = {
        option
        for name in ("cli.md", "documents.md", "object-store.md", "embedders.md", "releases.md")
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", _page(name))
    }
    assert named - options == set()


def test_every_file_type_is_documented() -> None:
    """docs/documents.md lists the extensions that the loaders take, and no other."""
    table = _section(_page("documents.md"), "Which file types are indexed").split("\n\n")[1]
    extensions = [cell for row in table.splitlines()[2:] for cell in row.split("|")[2].split()]
    assert sorted(extensions) == sorted(f".{extension}" for extension in loaders.EXTENSIONS)


@pytest.mark.parametrize("pipeline", compiled_pipelines())
def test_every_parameter_of_the_pipeline_is_documented_with_its_default(pipeline: str) -> None:
    """docs/pipelines.md has the parameters that the compiled pipeline takes."""
    compiled = files("ragline") / "compiled" / f"{pipeline}.yaml"
    spec = next(yaml.safe_load_all(compiled.read_text(encoding="utf-8")))
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    documented = {
        name: default.strip("`") for name, default, _ in _ROW.findall(_section(_page("pipelines.md"), pipeline))
    }
    assert documented == {name: _default(entry) for name, entry in parameters.items()}


def _default(parameter: dict[str, object]) -> str:
    if "defaultValue" not in parameter:
        return "required"
    value = parameter["defaultValue"]
    return (f"{value:g}" if isinstance(value, float) else str(value)) or "none"
