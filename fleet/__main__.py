"""`python -m fleet` is `maskwatch-fleet`."""

import sys

from fleet.cli import main

sys.exit(main())
