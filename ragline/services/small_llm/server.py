"""The small language model behind OpenAI's API, in this process: llama.cpp's own server, on 127.0.0.1 alone."""

from typing import Any, Self

from ragline.errors import SettingError
from ragline.services.small_llm.weights import MODEL, check_machine, find_weights

HOST = "127.0.0.1"


class SmallLlm:
    """A running server; a context manager that stops it.

    Example:
        with SmallLlm.start(8405) as server:
            ...  # server.url + "/v1/chat/completions"
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        self.url: str = server.listening_address

    @classmethod
    def start(cls, port: int, *, threads: int = 1, slots: int = 2, context_tokens: int = 2048) -> Self:
        """Load the weights and listen.

        Args:
            port: 0 for any free one.
            threads: for generation; a second one makes it slower as soon as anything else wants the processor.
            slots: answers that are written at the same time.
            context_tokens: of each of them.

        Raises:
            SettingError: a package is missing, the processor is too old, or the port is taken.
        """
        check_machine()
        weights = find_weights()
        # Here: a processor that is too old ends the process at this line.
        import xllamacpp  # type: ignore[import-untyped]

        options = xllamacpp.CommonParams()
        options.model.path = str(weights)
        options.model_alias = {MODEL}
        options.n_parallel = slots
        options.n_ctx = slots * context_tokens  # is divided among the slots
        options.cpuparams.n_threads = options.cpuparams_batch.n_threads = threads
        options.hostnames = [HOST]
        options.port = port
        options.offline = True
        options.ui = options.endpoint_slots = options.warmup = False
        options.endpoint_metrics = True
        options.verbosity = -1
        try:
            return cls(xllamacpp.Server(options))
        except RuntimeError as exc:
            raise SettingError(f"the small language model cannot listen on {HOST}:{port}: {exc}") from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server; answers that are being written are cut."""
        self._server = None
