"""The tutorial on the real Istio, as processes on one machine: no container, no root.

    parts → network → control_plane → images → kubelet → relay → cluster → background

The parts (etcd, the API server, istiod and others) are built once from their Go modules. They run
in a network namespace of their own; every pod is a process in another one. `kubelet` starts pods,
and the real controllers do the rest.
"""
