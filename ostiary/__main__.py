"""`python -m ostiary`: the same as the command."""

import sys

from ostiary.cli import main

sys.exit(main())
