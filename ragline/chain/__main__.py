"""The supervisor as a process: `python -m ragline.chain OPTIONS`, with the options as JSON; `ragline up` starts it."""

import json
import logging
import sys
from pathlib import Path

from ragline.chain.options import ChainOptions
from ragline.chain.state import Place
from ragline.chain.supervisor import Supervisor
from ragline.settings import Settings, environment_of_services

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    options = ChainOptions.from_json(json.loads(sys.argv[1]))
    cache = Settings.from_environment().cache.absolute()
    place = Place.of(cache, options.store, options.name)
    with environment_of_services():
        sys.exit(Supervisor(options, place, cache, Path(options.triton)).run())
