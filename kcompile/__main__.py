"""``python -m kcompile``."""

import sys

from kcompile.cli import main

sys.exit(main())
