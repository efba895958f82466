"""`python -m ragline.services.llm`: the llm service as a process."""

import argparse
import sys
from pathlib import Path

from ragline.services.command_line import count, run, seconds
from ragline.services.edge.kserve_server import run_service
from ragline.services.llm.api import api_description
from ragline.services.llm.gate import Gate
from ragline.services.llm.plans.plan import PlanSettings, open_plan, plan_names
from ragline.services.llm.responder import Responder
from ragline.services.llm.router import openai_router
from ragline.services.llm.service import LlmService
from ragline.services.llm.store_client import StoreClient
from ragline.settings import LlmSettings, ServiceSettings


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM; return the exit code."""
    return run(parser(), serve, arguments)


def parser() -> argparse.ArgumentParser:
    """Return the command line; options that kserve's controller adds have its names."""
    found = argparse.ArgumentParser("python -m ragline.services.llm", description=__doc__, allow_abbrev=False)
    add = found.add_argument
    add("--vectorstore-url", required=True, help="of the vector store: http(s)://host:port")
    add("--plan", default="extractive", choices=plan_names(), help="how the text is made [%(default)s]")
    add("--llm-url", default="", help="of the plan's backend; http:// and --predictor_host where it is not given")
    add("--llm-model", default="", help="its model; may be left out where the backend has only one")
    add("--tokenizer", type=Path, help="folder of the model's tokenizer and chat template; Triton's plans need it")
    add("--context-tokens", type=count, default=0, help="length of the model's context [what the backend says]")
    add("--longest-answer", type=count, default=0, help="tokens that are generated at most [half of the context]")
    add("--show", default="all", choices=["all", "supported"], help="show only sentences that passages carry [all]")
    add("--concurrency", type=count, default=64, help="generations at once [%(default)s]")
    add("--queue", type=count, default=192, help="questions that may wait; beyond them 429 [%(default)s]")
    add("--timeout", "--predictor_request_timeout_seconds", type=seconds, default=120.0, help="of a question [120 s]")
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 in a container [%(default)s]")
    add("--port", "--http_port", type=int, default=8080, help="port to listen on [%(default)s]")
    add("--model_name", default="llm", help="name in both APIs [%(default)s]")
    add("--predictor_host", default="", help="host:port of the backend, as kserve's controller gives it")
    # What the controller may give as well, and what has no meaning here: there is one worker and no gRPC.
    for name in ("--workers", "--enable_grpc", "--predictor_protocol"):
        add(name, help=argparse.SUPPRESS)
    return found


def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM.

    Raises:
        SettingError: an option or a variable is malformed.
    """
    bundle = ServiceSettings.from_environment().ca_bundle
    url = options.llm_url or (f"http://{options.predictor_host}" if options.predictor_host else "")
    settings = PlanSettings(
        url=url,
        model=options.llm_model,
        key=LlmSettings.from_environment().key,
        ca_bundle=bundle,
        tokenizer=options.tokenizer,
        context_tokens=options.context_tokens,
        longest_answer=options.longest_answer,
        connections=options.concurrency,
    )
    store = StoreClient(options.vectorstore_url, ca_bundle=bundle, connections=options.concurrency + options.queue)
    gate = Gate(options.concurrency, options.queue)
    responder = Responder(open_plan(options.plan, settings), store, gate, show=options.show)
    run_service(
        LlmService(responder, store, model=options.llm_model),
        port=options.port,
        host=options.host,
        model_name=options.model_name,
        routers=[openai_router(responder, options.model_name)],
        openapi=api_description(options.model_name),
        longest=options.timeout,
    )


if __name__ == "__main__":
    sys.exit(main())
