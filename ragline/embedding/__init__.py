"""Embedding models: found by name, run by the fastest backend of the machine."""

import sys

# OpenVINO would report each import to its maker. Who has private documents tells nobody when they are read.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # how Python marks what is not to be had
