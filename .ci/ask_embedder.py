"""Asks the embedder in its own container, as soon as it is ready, for a vector of length 1."""

import json
import sys
import time
import urllib.error
import urllib.request

URL = "http://127.0.0.1:8080/v2/models/embedder"


def main() -> None:
    """Wait, ask and say what came."""
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{URL}/ready", timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
        else:
            break
    text = {"name": "text_input", "datatype": "BYTES", "shape": [1, 1], "data": ["What colour is the lighthouse?"]}
    body = json.dumps({"inputs": [text], "outputs": [{"name": "embeddings"}]}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{URL}/infer", body), timeout=30) as answer:
        (output,) = json.loads(answer.read())["outputs"]
    vector = output["data"]
    length = sum(value * value for value in vector) ** 0.5
    assert abs(length - 1) < 1e-3, length
    sys.stdout.write(f"the embedder answers: {len(vector)} dimensions\n")


main()
