"""The system under test on one machine: real Envoy in front of real Color processes.

    system → translation → lab → background → source
        ↳ weights

The manifests are read into a system, which is translated as istiod translates it, started, and kept
in the background, where it is a source of weights.
"""

from trafficsplit.lab.background import State, down, home, set_weights, status, up, up_with_istio
from trafficsplit.lab.lab import MANIFESTS, Lab, Replica, start
from trafficsplit.lab.system import System, read_system

__all__ = [
    "MANIFESTS",
    "Lab",
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
    "up_with_istio",
]
