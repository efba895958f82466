"""Run the compiled pipelines: from a notebook, from a script, from the command line.

On this machine a pipeline runs from the very YAML that Kubeflow Pipelines runs, by kfp's own local
runner: one subprocess per step, in this Python environment.
"""

import contextlib
import io
import json
import logging
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ragline import errors
from ragline.errors import DocumentsError, InputError, PipelineError, RaglineError
from ragline.evaluation import fetch_questions
from ragline.object_store import open_documents, open_store
from ragline.release import check_name
from ragline.settings import RegistrySettings, environment_of_steps

LineReader = Callable[[str], None]

_RAISED = re.compile(r"\bragline\.errors\.(?P<kind>[A-Za-z]+): (?P<message>.*)")
_FAILED = re.compile(r"Inner task failed: \S*?'(?P<step>[a-z-]+)")
_TAIL = 20


class Client:
    """Runs pipelines.

    Example:
        >>> summary = Client().reindex("docs", store_uri=".ragline")  # doctest: +SKIP
        >>> summary["release"]  # doctest: +SKIP
        '3f7a0c9d2b1e4f58'
    """

    def __init__(self, on_line: LineReader | None = None) -> None:
        """Create a client.

        Args:
            on_line: is told every line that the steps log, for progress.
        """
        self._on_line = on_line or _ignore

    def reindex(
        self, documents_uri: str, *, store_uri: str, name: str = "default", **parameters: Any
    ) -> dict[str, Any]:
        """Index documents, publish them as the current release, and return the run's summary.

        Args:
            documents_uri: folder, S3 prefix or single file.
            store_uri: object store for vectors and releases.
            name: of the index.
            parameters: the other parameters of the pipeline (docs/pipelines.md); `shards` is 1 unless given, for one
                embedder uses all cores.

        Raises:
            InputError: a parameter is wrong; nothing was started.
            StoreError: a store cannot be used; nothing was started.
            PipelineError: a step failed; the current release serves on.
        """
        from ragline.embedding.model import DEFAULT, find_model

        check_name(name)
        find_model(str(parameters.get("embedder", DEFAULT)))
        documents_uri, store_uri = absolute_uri(documents_uri), absolute_uri(store_uri)
        _check_documents(documents_uri)
        if questions_uri := parameters.get("questions_uri"):
            parameters["questions_uri"] = absolute_uri(str(questions_uri))
            fetch_questions(parameters["questions_uri"])
        open_store(store_uri).check(write=True)
        parameters = {"shards": 1, "documents_uri": documents_uri, "store_uri": store_uri, "name": name, **parameters}
        output = self.run("reindex", **parameters)
        summary: dict[str, Any] = json.loads(output)
        return summary

    def finetune(self, documents_uri: str, *, store_uri: str, **parameters: Any) -> dict[str, Any]:
        """Train an embedder on documents, register it, promote it if it is better, and return the run's summary.

        Args:
            documents_uri: folder, S3 prefix or single file.
            store_uri: object store for models and checkpoints.
            parameters: the other parameters of the pipeline (docs/pipelines.md).

        Raises:
            InputError: a parameter is wrong; nothing was started.
            StoreError: the object store or the registry cannot be used; no document was read.
            PipelineError: a step failed; the champion stays.
        """
        documents_uri, store_uri = absolute_uri(documents_uri), absolute_uri(store_uri)
        _check_documents(documents_uri)
        for name in ("questions_uri", "pairs_uri"):
            parameters[name] = absolute_uri(str(parameters.get(name, "")))
        if parameters["questions_uri"]:
            fetch_questions(parameters["questions_uri"])
        open_store(store_uri).check(write=True)
        RegistrySettings.from_environment()
        _check_trainers()
        output = self.run("finetune_embedder", documents_uri=documents_uri, store_uri=store_uri, **parameters)
        summary: dict[str, Any] = json.loads(output)
        return summary

    def run(self, pipeline: str, **parameters: Any) -> Any:
        """Run a compiled pipeline on this machine and return its output.

        Raises:
            InputError: there is no such pipeline, or a parameter is not one of its.
            RaglineError: what a step raised; PipelineError when it was not one of ours.
        """
        # kfp takes a second to import: only when there is something to run.
        from kfp import components, local

        with as_file(files("ragline") / "compiled" / f"{pipeline}.yaml") as path:
            if not path.is_file():
                raise InputError(f"pipeline {pipeline!r}: not one of {', '.join(compiled_pipelines())}")
            loaded = components.load_component_from_file(str(path))
        if unknown := parameters.keys() - loaded.component_spec.inputs.keys():
            raise InputError(f"pipeline {pipeline!r} has no parameter {', '.join(sorted(unknown))}")
        output = _Lines(self._on_line)
        with (
            tempfile.TemporaryDirectory(prefix="ragline-run-") as root,
            _quiet(),
            _this_python(),
            contextlib.redirect_stdout(output),
        ):
            local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=root)
            try:
                return loaded(**parameters).output
            except RuntimeError as exc:
                raise _failure(pipeline, str(exc), output) from exc


def _ignore(_line: str) -> None:
    """Show no progress."""


def compiled_pipelines() -> list[str]:
    """Return the names of the pipelines that this package holds."""
    return sorted(Path(entry.name).stem for entry in (files("ragline") / "compiled").iterdir())


class _Lines(io.TextIOBase):
    """A text stream that hands whole lines to a reader and remembers those that explain a failure."""

    def __init__(self, on_line: LineReader) -> None:
        self._on_line = on_line
        self._stdout = sys.stdout
        self._rest = ""
        self.tail: list[str] = []
        self.raised: re.Match[str] | None = None

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self.tail = [*self.tail[-_TAIL:], line]
            if raised := _RAISED.search(line):
                self.raised = raised
            with contextlib.redirect_stdout(self._stdout):  # a reader may print
                self._on_line(line)
        return len(text)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what kfp tells developers about its local runner away from users."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)


@contextlib.contextmanager
def _this_python() -> Iterator[None]:
    """Have steps run in this Python, found on the PATH as `python3`.

    kfp would put `sys.executable` unquoted into a shell line, and into every parameter that holds "python3":
    it fails for an environment in a path with a space, and changes the path of documents below "python3-doc".
    """
    executable = sys.executable
    with environment_of_steps(Path(executable).parent):
        sys.executable = "python3"
        try:
            yield
        finally:
            sys.executable = executable


def absolute_uri(uri: str) -> str:
    """Make a local path independent of the folder that a step runs in."""
    return (
        uri if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", uri) or not uri.strip() else str(Path(uri).expanduser().absolute())
    )


def _check_documents(uri: str) -> None:
    if next(iter(open_documents(uri).list()), None) is None:
        raise DocumentsError(
            f"documents {uri!r}: there is no file in it; name a folder, an S3 prefix or a file with documents"
        )


def _check_trainers() -> None:
    """See that training is installed: steps run in this environment."""
    if missing := [package for package in ("sentence_transformers", "mlflow") if find_spec(package) is None]:
        raise InputError(f"training needs {' and '.join(missing)}; run: pip install 'ragline[train]'")


def _failure(pipeline: str, message: str, output: _Lines) -> RaglineError:
    """Return the error that a step raised, with its own class and message, so that it reads as if raised here."""
    if output.raised:
        kind = getattr(errors, output.raised["kind"], PipelineError)
        return kind(output.raised["message"])
    step = _FAILED.search(message)
    where = f"step {step['step']}" if step else "a step"
    lines = "\n".join(line for line in output.tail if line.strip())
    return PipelineError(f"pipeline {pipeline}: {where} failed; what is in use stays in use. Its last lines:\n{lines}")
