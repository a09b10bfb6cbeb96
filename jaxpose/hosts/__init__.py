"""Training and evaluation on several hosts, safe against the usual mistakes.

* `join` connects the hosts; an unreachable coordinator is reported in one line.
* `agree` compares settings, code and data of the hosts before anything is compiled (`records`).
* `run_program` ends all hosts if one fails; each says why (`failures`).
* `messages` replaces the messages of JAX's C++ runtime when a host is lost.
"""

from jaxpose.hosts.agreement import agree
from jaxpose.hosts.failures import HostsDifferError, announced, run_program, several
from jaxpose.hosts.joining import join
from jaxpose.hosts.records import of_arrays, of_data, of_settings
from jaxpose.hosts.turns import first_host_first

__all__ = [
    "HostsDifferError",
    "agree",
    "announced",
    "first_host_first",
    "join",
    "of_arrays",
    "of_data",
    "of_settings",
    "run_program",
    "several",
]
