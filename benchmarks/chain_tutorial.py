"""The way of the tutorials, as a baseline: three services that do the plainest thing.

    python -m benchmarks.chain_tutorial embedder --port 9001
    python -m benchmarks.chain_tutorial vectorstore --port 9002 --chroma FOLDER --next http://127.0.0.1:9001
    python -m benchmarks.chain_tutorial llm --port 9003 --next http://127.0.0.1:9002 --backend http://127.0.0.1:9000

The embedder runs the PyTorch model as sentence-transformers has it; the vector store asks it and then Chroma; the LLM
service asks the vector store, puts the texts before the question and asks the language model. Every hop is JSON on a
new connection, and every service does one call at a time, since its handler blocks the loop: so do KServe models whose
`predict` is not asynchronous. It is spared what KServe would add.
"""

import argparse
import asyncio
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ragline.embedding.model import DEFAULT, find_model
from ragline.retrieval import Retriever

COLLECTION = "documents"
_PROMPT = "Use these documents to answer.\n\n{documents}\n\nQuestion: {question}\nAnswer:"
_BATCH = 5000
_Predict = Callable[[dict[str, Any]], dict[str, Any]]


def store_documents(release: Path, folder: Path) -> None:
    """Put texts and vectors of a release into a Chroma collection."""
    import chromadb

    collection = chromadb.PersistentClient(str(folder)).create_collection(COLLECTION, metadata={"hnsw:space": "cosine"})
    with Retriever(release) as retriever:
        rows = [retriever.chunks[row] for row in range(len(retriever))]
        for start in range(0, len(rows), _BATCH):
            part = rows[start : start + _BATCH]
            vectors = retriever.vectors.stored([chunk.id for chunk in part])
            collection.add(
                ids=[chunk.id for chunk in part],
                embeddings=[vectors[chunk.id] for chunk in part],
                documents=[chunk.text for chunk in part],
                metadatas=[{"source": chunk.document} for chunk in part],
            )


def _embedder(options: argparse.Namespace) -> _Predict:
    import sentence_transformers
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    model = sentence_transformers.SentenceTransformer(str(find_model(DEFAULT).folder), device="cpu")
    return lambda instance: {"embedding": model.encode(instance["input"]).tolist()}


def _vectorstore(options: argparse.Namespace) -> _Predict:
    import chromadb

    collection = chromadb.PersistentClient(str(options.chroma)).get_collection(COLLECTION)

    def predict(instance: dict[str, Any]) -> dict[str, Any]:
        vector = _ask(options.next, {"input": instance["input"]})["embedding"]
        found = collection.query(query_embeddings=[vector], n_results=instance["num_docs"])
        texts, metadata = found["documents"] or [[]], found["metadatas"] or [[]]
        return {"documents": [{"text": t, **m} for t, m in zip(texts[0], metadata[0], strict=True)]}

    return predict


def _llm(options: argparse.Namespace) -> _Predict:
    def predict(instance: dict[str, Any]) -> dict[str, Any]:
        found = _ask(options.next, {"input": instance["input"], "num_docs": instance["num_docs"]})
        texts = "\n\n".join(document["text"] for document in found["documents"])
        prompt = _PROMPT.format(documents=texts, question=instance["input"])
        body = {"model": "stand-in", "messages": [{"role": "user", "content": prompt}]}
        answer = _post(f"{options.backend}/v1/chat/completions", body)
        return {"answer": answer["choices"][0]["message"]["content"]}

    return predict


def _ask(url: str, instance: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = _post(f"{url}/v1/models/model:predict", {"instances": [instance]})["predictions"][0]
    return found


def _post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def serve(predict: _Predict, port: int) -> None:
    """Serve one model in KServe's first protocol."""
    import uvicorn
    from fastapi import FastAPI, Request

    app = FastAPI()

    @app.get("/")
    async def alive() -> dict[str, str]:
        return {"status": "alive"}

    @app.post("/v1/models/model:predict")
    async def answer(request: Request) -> dict[str, Any]:
        return {"predictions": [predict(instance) for instance in (await request.json())["instances"]]}

    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)
    asyncio.run(uvicorn.Server(config).serve())


def main() -> None:
    """Serve one of the three until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = {"embedder": _embedder, "vectorstore": _vectorstore, "llm": _llm}
    parser.add_argument("service", choices=kinds)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--next", default="", help="URL of the service that it asks")
    parser.add_argument("--backend", default="", help="URL of the language model")
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch (default: its own choice)")
    parser.add_argument("--chroma", type=Path, help="folder of the collection")
    options = parser.parse_args()
    serve(kinds[options.service](options), options.port)


if __name__ == "__main__":
    main()
