"""docs/services.md is true: every curl line that it shows works, and answers with the fields that it shows."""

import json
import re
import subprocess
from typing import Any

import pytest

from tests.services.chain.local_chain import ROOT, Chain

_PAGE = (ROOT / "docs" / "services.md").read_text(encoding="utf-8")
_EXAMPLE = re.compile(r"^```sh\n(curl .*?)^```\n+(?:```json\n(.*?)^```)?", re.MULTILINE | re.DOTALL)
_EXAMPLES = _EXAMPLE.findall(_PAGE)
_PORTS = {"8400": "llm", "8401": "vectorstore", "8402": "embedder"}


def test_the_page_shows_every_hop() -> None:
    """There is an example for each service, and one that streams."""
    commands = "\n".join(command for command, _ in _EXAMPLES)
    assert {port for port in _PORTS if f"127.0.0.1:{port}/" in commands} == set(_PORTS)
    assert '"stream": true' in commands


@pytest.mark.slow
@pytest.mark.parametrize(("command", "shown"), _EXAMPLES, ids=[f"{number}" for number in range(len(_EXAMPLES))])
def test_every_curl_line_works(chain: Chain, command: str, shown: str) -> None:
    """It succeeds on a running chain, and the answer has every field that the page shows."""
    for port, service in _PORTS.items():
        command = command.replace(f"http://127.0.0.1:{port}", chain.url(service))
    line = command.replace("curl ", "curl --fail-with-body --silent --show-error --max-time 30 ", 1)
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if shown:
        assert _fields(json.loads(shown)) - _fields(json.loads(done.stdout)) == set()


def _fields(value: Any, path: str = "") -> set[str]:
    """Return the paths of all fields; elements of a list count as one."""
    if isinstance(value, dict):
        return {field for key, each in value.items() for field in {f"{path}.{key}", *_fields(each, f"{path}.{key}")}}
    if isinstance(value, list):
        return {field for each in value for field in _fields(each, f"{path}[]")}
    return set()
