"""The serving chain on one machine: plain processes on 127.0.0.1, and a supervisor that keeps them running.

The processes are a Triton server with the embedder of the current release, `ragline.services.vectorstore`, and
`ragline.services.llm`, where questions come in; with them runs `ragline.services.small_llm`, if it is asked for.
"""
