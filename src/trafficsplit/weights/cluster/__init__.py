"""A live cluster: the weights that its resources give, where its gateways are, and other weights.

    access → resources → gateways

The official Kubernetes client does the talking; it is an extra, `pip install '.[cluster]'`.

    ClusterError          one line to show to a person: what the cluster refuses, and the way out
"""

from cluster.access import Access, ClusterError, connect
from cluster.gateways import Found, gateways_of
from cluster.resources import KINDS, Kind, Resource, apply, read

__all__ = [
    "KINDS",
    "Access",
    "ClusterError",
    "Found",
    "Kind",
    "Resource",
    "apply",
    "connect",
    "gateways_of",
    "read",
]
