"""A live cluster: the weights that its resources give, where its gateways are, and other weights.

    access → controllers → resources → gateways, releases

The official Kubernetes client does the talking; it is an extra, `pip install '.[cluster]'`.

    ClusterError          one line to show to a person: what the cluster refuses, and the way out
"""

from trafficsplit.weights.cluster.access import Access, connect
from trafficsplit.weights.cluster.gateways import gateways_of
from trafficsplit.weights.cluster.releases import Release, read_release
from trafficsplit.weights.cluster.resources import KINDS, Kind, Resource, Setting, read, set_weights

__all__ = [
    "KINDS",
    "Access",
    "Kind",
    "Release",
    "Resource",
    "Setting",
    "connect",
    "gateways_of",
    "read",
    "read_release",
    "set_weights",
]
