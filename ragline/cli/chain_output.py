"""What the commands about the serving chain print."""

import json
import time
from typing import TYPE_CHECKING, TextIO

from ragline.cli.output import print_json, printable

if TYPE_CHECKING:
    from ragline.chain.state import ChainState, Place, ServiceState

_QUESTION = "What is this about?"


class ChainLines:
    """Prints a line whenever something has changed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begun = time.monotonic()
        self._said: dict[str, str] = {}

    def __call__(self, state: "ChainState") -> None:
        """Take the state of a chain that is coming up."""
        for service in state.services:
            if service.state != "waiting":
                self._say(service.name, _line(service))
        if state.phase == "ready":
            self._say("", f"answered a question in {state.answered * 1000:.0f} ms; release {state.release}")
        if state.phase == "stopping":
            self._say("", "stopping")

    def _say(self, name: str, text: str) -> None:
        if self._said.get(name) != text:
            self._said[name] = text
            self._stream.write(f"{time.monotonic() - self._begun:5.1f} s  {name:<12}{printable(text)}\n")
            self._stream.flush()


def place_of(store: str, name: str) -> "Place":
    """Return where the files of the chain of an index are.

    Raises:
        SettingError: the store's URI or the index's name is malformed.
    """
    from ragline.chain.state import Place
    from ragline.object_store import open_store
    from ragline.release import check_name
    from ragline.settings import Settings

    return Place.of(Settings.from_environment().cache, open_store(store).uri, check_name(name))


def print_chain(state: "ChainState", *, as_json: bool) -> None:
    """Print what runs and where, and how to ask it."""
    if as_json:
        print_json(_facts(state))
        return
    rows = [(each.name, each.state, each.url, _note(each)) for each in state.services]
    for name, condition, url, note in rows:
        print(f"{name:<12} {condition:<10} {url:<22} {printable(note)}".rstrip())
    if state.ready:
        body = json.dumps({"instances": [{"input": _QUESTION}]})
        print(f"\ncurl {state.url}/v1/models/llm:predict -H 'content-type: application/json' -d '{body}'")


def _line(service: "ServiceState") -> str:
    if service.state == "ready":
        return f"ready after {service.seconds:.1f} s: {service.url}"
    return service.state + (f": {service.detail}" if service.detail else "")


def _note(service: "ServiceState") -> str:
    restarts = f"started again {service.restarts} times" if service.restarts else ""
    return "; ".join(part for part in (restarts, service.detail.partition("\n")[0]) if part)


def _facts(state: "ChainState") -> dict[str, object]:
    return {
        "phase": state.phase,
        "ready": state.ready,
        "url": state.url,
        "store": state.store,
        "name": state.name,
        "plan": state.plan,
        "release": state.release,
        "since": state.since,
        "problem": state.problem,
        "services": [
            {
                "name": each.name,
                "state": each.state,
                "url": each.url,
                "detail": each.detail,
                "pid": each.pid,
                "restarts": each.restarts,
                "since": each.since,
                "log": each.log,
            }
            for each in state.services
        ],
    }
