"""`python -m ragline.services.vectorstore`: the vector store as a process."""

import argparse
import sys
from pathlib import Path

from ragline.embedding.http_pool import HttpPool
from ragline.embedding.triton_client import TritonEmbedder
from ragline.live import INTERVAL, LiveIndex
from ragline.live_metrics import LiveMetrics
from ragline.object_store import ObjectStore
from ragline.release import Manifest
from ragline.services.command_line import count, run, seconds
from ragline.services.edge.kserve_server import run_service
from ragline.services.vectorstore.api import api_description
from ragline.services.vectorstore.search_queue import LONGEST
from ragline.services.vectorstore.service import NAME, VectorStoreService
from ragline.settings import ServiceSettings, Settings


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM; return the exit code."""
    return run(parser(), serve, arguments)


def parser() -> argparse.ArgumentParser:
    """Return the command line; options that kserve's controller adds have its names."""
    found = argparse.ArgumentParser("python -m ragline.services.vectorstore", description=__doc__, allow_abbrev=False)
    add = found.add_argument
    add("--store", required=True, help="where the releases are: a folder or s3://bucket/prefix")
    add("--name", default="default", help="of the index [%(default)s]")
    add("--embedder-url", required=True, help="of the Triton server with the embedders: http(s)://host:port")
    add("--cache", type=Path, help="folder for local copies, three releases large [that of RAGLINE_CACHE]")
    add("--interval", type=seconds, default=INTERVAL, help="seconds between two looks for a new release [%(default)s]")
    add("--queue", type=count, default=LONGEST, help="questions that may wait; beyond them 429 [%(default)s]")
    add("--timeout", type=seconds, default=60.0, help="longest time of a request in seconds [%(default)s]")
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 in a container [%(default)s]")
    add("--port", "--http_port", type=int, default=8080, help="port to listen on [%(default)s]")
    add("--model_name", default=NAME, help="name in the API [%(default)s]")
    # What the controller may give as well, and what has no meaning here: there is one worker and no gRPC.
    for name in ("--workers", "--enable_grpc"):
        add(name, help=argparse.SUPPRESS)
    return found


def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM.

    Raises:
        SettingError: an option or a variable is malformed.
    """
    bundle = ServiceSettings.from_environment().ca_bundle
    pool = HttpPool("embedder", options.embedder_url, ca_bundle=bundle)

    def embedder_of(manifest: Manifest, _: ObjectStore) -> TritonEmbedder:
        return TritonEmbedder(pool.url, manifest.digests["model"], pool=pool)

    cache = options.cache or Settings.from_environment().cache
    with LiveIndex(options.store, options.name, cache, interval=options.interval, embedder_of=embedder_of) as live:
        run_service(
            VectorStoreService(live, longest_queue=options.queue),
            port=options.port,
            host=options.host,
            model_name=options.model_name,
            collectors=[LiveMetrics(live)],
            openapi=api_description(options.model_name),
            longest=options.timeout,
        )


if __name__ == "__main__":
    sys.exit(main())
