"""`python -m ragline` is the `ragline` command."""

import sys

from ragline.cli import main

sys.exit(main())
