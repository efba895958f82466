"""What the commands print: one-line progress on a terminal, plain lines elsewhere."""

import json
import re
import sys
from typing import Any

from ragline.progress import LINE

_PLAN = re.compile(r"plan: \d+ documents .*")


class ProgressLines:
    """Shows the progress that a run's steps log; goes to stderr, so that stdout stays for results."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._open = False

    def __call__(self, line: str) -> None:
        """Take one line of a run's output."""
        if match := LINE.search(line):
            self._show(f"{match['step']:<9}{_bar(match['done'], match['total'])} {match['unit']}, {match['rate']}/s")
        elif match := _PLAN.search(line):
            self.finish()
            _write(match[0].rstrip() + "\n")

    def finish(self) -> None:
        """End the line that is being redrawn."""
        if self._open:
            _write("\n")
        self._open = False

    def _show(self, text: str) -> None:
        if self._terminal:
            _write(f"\r\x1b[2K{text}")
            self._open = True
        else:
            _write(text + "\n")


def _write(text: str) -> None:
    """Write to stderr; while a pipeline runs, kfp replaces `print` by one that indents on stdout."""
    sys.stderr.write(text)
    sys.stderr.flush()


def print_json(value: Any) -> None:
    """Print one JSON value on one line."""
    print(json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace").decode())


def printable(text: str) -> str:
    """Return a name with its control characters and undecodable bytes shown as escapes."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return shown.encode("utf-8", "backslashreplace").decode()


def _bar(done: str, total: str | None) -> str:
    if not total or not int(total):
        return done
    filled = 24 * int(done) // int(total)
    return f"[{'#' * filled}{'.' * (24 - filled)}] {done}/{total}"
