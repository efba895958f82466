"""A real Triton server: several models side by side, each caller gets their own answer, a bad request fails alone."""

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from ragline.embedding.model import EmbeddingModel
from ragline.embedding.triton_client import MAX_BATCH, TritonEmbedder
from ragline.errors import InputError, RaglineError, ServiceError, SettingError
from ragline.export.exported import export_model
from ragline.export.triton_model import Encoder, read_description, start_encoder
from ragline.export.triton_repository import MODEL, ServerOptions, join_repositories, version_of
from ragline.triton_server import Addresses, Installation, TritonServer
from tests.export.conftest import PAIRS, TEXTS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def repository(bert: EmbeddingModel, m3: EmbeddingModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both tiny models, in float32 alone."""
    folder = tmp_path_factory.mktemp("repositories")
    parts = [folder / model.name for model in (bert, m3)]
    for part, model in zip(parts, (bert, m3), strict=True):
        export_model(model.folder, PAIRS, part, variants=[])
    join_repositories(parts, folder / "joined", ServerOptions(threads=1))
    return folder / "joined"


@pytest.fixture(scope="module")
def server(
    triton: Path, repository: Path, bert: EmbeddingModel, m3: EmbeddingModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonServer]:
    """A server with both models."""
    folder = tmp_path_factory.mktemp("triton")
    with TritonServer.start(triton, repository, folder, models=[MODEL]) as running:
        running.wait_ready({MODEL: [version_of(bert.digest), version_of(m3.digest)]})
        yield running


@pytest.fixture(scope="module")
def client(server: TritonServer) -> Iterator[Callable[[EmbeddingModel], TritonEmbedder]]:
    """Makes clients of a model's version."""
    clients: list[TritonEmbedder] = []

    def make(model: EmbeddingModel) -> TritonEmbedder:
        clients.append(TritonEmbedder(server.addresses.url, model.digest))
        return clients[-1]

    yield make
    for each in clients:
        each.close()


Clients = Callable[[EmbeddingModel], TritonEmbedder]


def in_process(repository: Path, model: EmbeddingModel) -> Encoder:
    """Return the same version without a server."""
    folder = repository / MODEL / str(version_of(model.digest))
    return start_encoder(folder, read_description(folder), 1, print)


def test_two_models_answer_side_by_side(
    client: Clients, repository: Path, bert: EmbeddingModel, m3: EmbeddingModel
) -> None:
    """Each digest has its own version, its own dimensions and its own vectors."""
    for model, dimensions in ((bert, 48), (m3, 32)):
        found = client(model).embed(TEXTS)
        assert found.shape == (len(TEXTS), dimensions)
        np.testing.assert_allclose(found, in_process(repository, model).embed(TEXTS), atol=2e-6)


def test_concurrent_callers_get_their_own_answers(
    client: Clients, server: TritonServer, repository: Path, bert: EmbeddingModel, m3: EmbeddingModel
) -> None:
    """240 requests of 24 callers on two models are merged into fewer batches, and none gets another's vectors."""
    models = {model: (client(model), in_process(repository, model)) for model in (bert, m3)}
    letters = "abcdefghijklmnopqrstuvwxyz"
    requests = [
        (
            model,
            [
                f"{letters[number % 26]}{letters[(number + row) % 26]} the release " * (1 + row)
                for row in range(1 + number % 5)
            ],
        )
        for number in range(120)
        for model in models
    ]
    before = counted(server, "batches")
    with ThreadPoolExecutor(24) as callers:
        answers = list(callers.map(lambda request: models[request[0]][0].embed(request[1]), requests))
    for (model, texts), answer in zip(requests, answers, strict=True):
        np.testing.assert_allclose(answer, models[model][1].embed(texts), atol=2e-6)
    assert counted(server, "batches") - before < len(requests)


BAD = [
    ([b"\xff\xfe"], ("embeddings",), r"text_input\[0\] is not UTF-8: invalid start byte at byte 0"),
    ([b"good", b"ab\xc3"], ("embeddings",), r"text_input\[1\] is not UTF-8: unexpected end of data at byte 2"),
    ([b"a" * 20_000], ("embeddings",), r"text_input\[0\] has 20000 bytes, more than 16384"),
    ([b"a"], ("embeddings", "sparse_ids"), "this model has no sparse_ids: it gives embeddings"),
    ([b"a"], ("no such output",), "unexpected inference output 'no such output'"),
    ([b"a"] * (MAX_BATCH + 1), ("embeddings",), "batch-size must be <= 64"),
    ([], ("embeddings",), "text_input"),
]


@pytest.mark.parametrize(("texts", "outputs", "message"), BAD)
def test_a_bad_request_has_its_own_error(
    client: Clients, bert: EmbeddingModel, texts: list[bytes], outputs: tuple[str, ...], message: str
) -> None:
    """400, and the message says which text and why."""
    with pytest.raises(InputError, match=message):
        client(bert).ask(texts, outputs)


def test_a_bad_request_fails_alone(
    client: Clients, server: TritonServer, repository: Path, bert: EmbeddingModel
) -> None:
    """Every third caller sends what cannot be read; the batches that they share with others are answered."""
    embedder, expected = client(bert), in_process(repository, bert).embed(TEXTS[:2])

    def ask(number: int) -> np.ndarray | str:
        if number % 3:
            return embedder.embed(TEXTS[:2])
        try:
            embedder.ask([b"good", b"\xff"])
        except InputError as exc:
            return str(exc)
        return "was answered"

    before = {name: counted(server, name) for name in ("batches", "refused")}
    with ThreadPoolExecutor(16) as callers:
        answers = list(callers.map(ask, range(150)))
    for number, answer in enumerate(answers):
        if number % 3:
            np.testing.assert_allclose(np.asarray(answer), expected, atol=2e-6)
        else:
            assert "text_input[1] is not UTF-8" in str(answer)
    assert counted(server, "refused") - before["refused"] == 50
    assert counted(server, "batches") - before["batches"] < 150


def test_heads_come_when_they_are_asked_for(client: Clients, repository: Path, m3: EmbeddingModel) -> None:
    """Sparse weights for each token id, without special ones; a vector for each token; and only then."""
    embedder, runner = client(m3), in_process(repository, m3)
    texts = [text.encode() for text in TEXTS]
    names = ("embeddings", "sparse_ids", "sparse_weights", "multi_vectors")
    assert set(embedder.ask(texts)) == {"embeddings"}
    found = embedder.ask(texts, names)
    rows = runner.tokenize(TEXTS)
    weights, vectors = runner.encode(rows, ("token_weights", "multi_vectors"))
    for row, ids in enumerate(rows):
        pairs = zip(found["sparse_ids"][row].tolist(), found["sparse_weights"][row].tolist(), strict=True)
        sparse = {token: weight for token, weight in pairs if token >= 0}
        assert sparse == pytest.approx(runner.sparse(ids, weights[row]), abs=1e-5)
        assert not {0, 1, 2, 3} & sparse.keys()
        np.testing.assert_allclose(found["multi_vectors"][row][: len(ids) - 1], vectors[row], atol=1e-5)
        assert not found["multi_vectors"][row][len(ids) - 1 :].any()


def test_a_version_that_is_not_there_is_said(server: TritonServer, bert: EmbeddingModel, m3: EmbeddingModel) -> None:
    """A release asks for exactly its model; another one is never taken instead."""
    digest = "000000000007" + "0" * 52
    served = ", ".join(sorted(model.digest[:12] for model in (bert, m3)))
    with pytest.raises(ServiceError, match=f"does not serve model 000000000007, .* it serves {served}. .* version 7 "):
        TritonEmbedder(server.addresses.url, digest).embed(["a"])


def test_a_server_that_is_gone_is_said() -> None:
    """No stack of urllib3, but what to look at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ServiceError, match="is the server up"):
            TritonEmbedder(url, "0" * 64, seconds=1).embed(["a"])


def test_a_new_model_joins_a_running_server(
    triton: Path, bert: EmbeddingModel, m3: EmbeddingModel, repository: Path, tmp_path: Path
) -> None:
    """While it is loaded the old one goes on answering, and afterwards both do."""
    old, new = version_of(bert.digest), version_of(m3.digest)
    growing = tmp_path / "growing"
    shutil.copytree(repository, growing)
    shutil.rmtree(growing / MODEL / str(new))
    with TritonServer.start(triton, growing, tmp_path / "run", models=[MODEL]) as server:
        server.wait_ready({MODEL: [old]})
        embedder, asked, done = TritonEmbedder(server.addresses.url, bert.digest), [], threading.Event()

        def ask() -> None:
            while not done.is_set():
                asked.append(embedder.embed(TEXTS[:2]).shape)

        with ThreadPoolExecutor(1) as caller:
            asking = caller.submit(ask)
            shutil.copytree(repository / MODEL / str(new), growing / MODEL / str(new))
            server.load(MODEL)
            server.wait_ready({MODEL: [old, new]})
            done.set()
            asking.result()
        assert set(asked) == {(2, 48)}
        assert TritonEmbedder(server.addresses.url, m3.digest).embed(TEXTS).shape == (len(TEXTS), 32)


def test_a_broken_model_leaves_the_others_serving(
    triton: Path, bert: EmbeddingModel, m3: EmbeddingModel, repository: Path, tmp_path: Path
) -> None:
    """Whoever asks the broken version is told the reason."""
    broken = tmp_path / "broken"
    shutil.copytree(repository, broken)
    (broken / MODEL / str(version_of(m3.digest)) / "model.onnx").write_bytes(b"damaged")
    with TritonServer.start(triton, broken, tmp_path / "run", models=[MODEL]) as server:
        numbers = [version_of(bert.digest), version_of(m3.digest)]
        server.wait_ready({MODEL: numbers}, seconds=30)
        good, bad = (TritonEmbedder(server.addresses.url, model.digest) for model in (bert, m3))
        assert good.embed(["a"]).shape == (1, 48)
        with pytest.raises(
            RaglineError, match=r"gave 503: version \d+ cannot be served: .* no variant works here: fp32"
        ):
            bad.embed(["a"])


def test_a_full_queue_refuses_at_once(triton: Path, m3: EmbeddingModel, repository: Path, tmp_path: Path) -> None:
    """Load is shed instead of queueing for ever; who is answered is answered rightly."""
    small = tmp_path / "small"
    join_repositories([repository], small, ServerOptions(threads=1, max_batch=1, max_queue=2))
    expected = in_process(repository, m3).embed(TEXTS[3:4])
    with TritonServer.start(triton, small, tmp_path / "run", models=[MODEL]) as server:
        server.wait_ready({MODEL: [version_of(m3.digest)]})
        embedder = TritonEmbedder(server.addresses.url, m3.digest)

        def ask(_: int) -> np.ndarray | str:
            try:
                return embedder.embed(TEXTS[3:4])
            except RaglineError as exc:
                return str(exc)

        with ThreadPoolExecutor(64) as callers:
            answers = list(callers.map(ask, range(640)))
    refused = {answer for answer in answers if isinstance(answer, str)}
    assert all("gave 503" in text and "maximum queue size" in text for text in refused), refused
    assert refused
    for answer in answers:
        if not isinstance(answer, str):
            np.testing.assert_allclose(answer, expected, atol=2e-6)


def test_it_stops_in_seconds_and_leaves_nothing(
    triton: Path, bert: EmbeddingModel, repository: Path, tmp_path: Path
) -> None:
    """No process, no shared memory; the log stays, and that of the run before too."""
    for _ in range(2):
        server = TritonServer.start(triton, repository, tmp_path, models=[MODEL])
        server.wait_ready({MODEL: [version_of(bert.digest)]})
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < 6
    assert not server.running
    assert not list(alive(server.process.pid))
    assert not list(Path("/dev/shm").glob(server.region + "*"))
    assert {path.name for path in tmp_path.glob("*.log*")} == {"triton.log", "triton.log.1"}


def test_after_a_kill_it_is_seen_and_cleaned_up(
    triton: Path, bert: EmbeddingModel, repository: Path, tmp_path: Path
) -> None:
    """A server that dies is seen at once, and `stop` removes what it left."""
    server = TritonServer.start(triton, repository, tmp_path, models=[MODEL])
    server.process.kill()
    server.process.wait()
    assert not server.running
    with pytest.raises(RaglineError, match="the Triton server ended with status -9"):
        server.wait_ready({MODEL: [version_of(bert.digest)]})
    server.stop()
    assert not list(Path("/dev/shm").glob(server.region + "*"))


def test_a_port_that_is_taken_is_said(triton: Path, repository: Path, tmp_path: Path) -> None:
    """With the server's own words; it was named, so no other is tried."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        addresses = Addresses(taken.getsockname()[1], 0, 0)
        with pytest.raises(RaglineError, match="the Triton server ended with status"):
            TritonServer.start(triton, repository, tmp_path, models=[MODEL], addresses=addresses)


def test_keys_of_ours_do_not_reach_the_server(triton: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its environment is made, not inherited."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert "secret" not in str(Installation.find(triton).variables(tmp_path))


def test_no_server_is_said(tmp_path: Path) -> None:
    """The message says which command makes one."""
    with pytest.raises(SettingError, match=r"no Triton environment at .*: run `make triton`"):
        TritonServer.start(tmp_path / "nowhere", tmp_path, tmp_path / "run", models=[MODEL])


def alive(session: int) -> Iterator[str]:
    """Yield the processes of a session, but for those that have ended and wait for their parent to notice."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, _, rest = path.read_text().rpartition(") ")
            state, _, _, found = rest.split()[:4]
            if int(found) == session and state != "Z":
                yield name


def counted(server: TritonServer, name: str) -> float:
    """Return a counter of the embedder, over all versions."""
    lines = server.metrics().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"ragline_embedder_{name}_total{{"))
