"""What can go wrong, as exceptions and as exit codes.

    TrafficsplitError
    ├── InputError          what a person gave cannot be used; also a ValueError   → exit code 2
    │   ├── LabError            the lab cannot be set up as described
    │   ├── ClusterError        the cluster cannot be asked, or refuses
    │   │   └── NoClusterError      there are no credentials for one
    │   ├── NotAllowedError     the gate may not send requests to this gateway
    │   └── TooManyError        more verifications are waiting than may wait
    └── BrokenError         this tool could not finish what it began               → exit code 5

The text of each is one line that can be shown to a person as it is.
"""

from __future__ import annotations

import enum


class TrafficsplitError(Exception):
    """The root of all exceptions that this package raises on purpose."""


class InputError(TrafficsplitError, ValueError):
    """What a person gave cannot be used. The text names the thing and the way out."""


class LabError(InputError):
    """The lab cannot be set up as described."""


class ClusterError(InputError):
    """The cluster cannot be asked, or refuses.

    `status` is the HTTP status of a refusal, 0 if there is none.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class NoClusterError(ClusterError):
    """There are no credentials for a cluster, or nothing that could ask it."""


class NotAllowedError(InputError):
    """The gate may not send requests to this gateway."""


class TooManyError(InputError):
    """More verifications are waiting than may wait."""


class BrokenError(TrafficsplitError):
    """This tool could not finish, and nothing is known of the gateway."""


class ExitCode(enum.IntEnum):
    """The exit codes of every command, of Locust on our locustfile, and of their children."""

    MATCH = 0
    MISMATCH = 1
    WRONG_USAGE = 2
    INCONCLUSIVE = 3
    FAILING = 4
    BROKEN = 5
    INTERRUPTED = 130
