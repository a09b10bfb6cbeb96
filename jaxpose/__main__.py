"""`python -m jaxpose` is the `jaxpose` command."""

import sys

from jaxpose.cli import main

sys.exit(main())
