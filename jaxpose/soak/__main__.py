"""`python -m jaxpose.soak`."""

import sys

from jaxpose.interrupts import report_interrupts

report_interrupts("soak")

from jaxpose.soak.command import main  # noqa: E402

sys.exit(main())
