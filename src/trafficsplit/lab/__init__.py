"""The system under test on one machine: real Envoy in front of real Color processes.

    fields → system → translation → lab → background
                 ↳ weights

The manifests are read strictly, described, translated as istiod does it, started, and kept.

    LabError              one line to show to a person: what the lab cannot do, and the way out
"""

from lab.background import State, down, home, set_weights, status, up
from lab.fields import LabError
from lab.lab import MANIFESTS, Lab, Replica, start
from lab.system import System, read_system

__all__ = [
    "MANIFESTS",
    "Lab",
    "LabError",
    "Replica",
    "State",
    "System",
    "down",
    "home",
    "read_system",
    "set_weights",
    "start",
    "status",
    "up",
]
