"""``python -m hime`` is ``hime``."""

import sys

from hime.cli import main

sys.exit(main())
