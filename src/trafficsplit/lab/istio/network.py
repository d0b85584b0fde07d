"""The network of the cluster: a bridge in our own namespace, and a namespace for each pod.

Everything is done by `ip` and `unshare`, in a namespace in which we are root. When the process that
made it ends, the kernel takes all of it away.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from trafficsplit.errors import LabError
from trafficsplit.processes import spawn

PODS = ipaddress.IPv4Network("10.244.0.0/16")
NODE = PODS[1]  # our own address: that of the control plane, and of the only node
BRIDGE = "pods"
TOOLS = {"ip": "iproute2", "unshare": "util-linux", "nsenter": "util-linux"}  # by Debian's package

# What a pod's process does first: it waits until its end of the link is there, and sets it up.
IN_POD = """
read ready
ip link set lo up
ip link set "$1" name eth0
ip address add "$2" dev eth0
ip link set eth0 up
ip route add default via "$3"
shift 3
exec "$@"
"""


def check_host() -> None:
    """Raise LabError, with the way out, where this machine cannot have such a network."""
    if sys.platform != "linux":
        raise LabError(
            "the real Istio needs Linux's network namespaces: use a Linux machine or VM, or the "
            "plain lab: trafficsplit lab up"
        )
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            raise LabError(f"the real Istio's network needs `{tool}`: install {package}")
    tried = subprocess.run([*unshared(), "true"], capture_output=True, text=True)
    if tried.returncode:
        raise LabError(
            "this machine forbids user namespaces "
            f"({tried.stderr.strip() or f'unshare ended with {tried.returncode}'}): allow them "
            "(sysctl kernel.apparmor_restrict_unprivileged_userns=0 or user.max_user_namespaces, "
            "docker run --privileged), or use the plain lab: trafficsplit lab up"
        )


def unshared() -> list[str]:
    """Return the command that runs another in namespaces of its own, in which it is root.

    When either end is killed, all processes in the namespaces are.
    """
    namespaces = ["--user", "--map-root-user", "--net", "--pid", "--mount-proc"]
    return ["unshare", *namespaces, "--fork", "--kill-child"]


def begin() -> None:
    """Set up our own end: the loopback device, and the bridge. Raises LabError."""
    _ip("link", "set", "lo", "up")
    _ip("link", "add", BRIDGE, "type", "bridge")
    _ip("address", "add", f"{NODE}/{PODS.prefixlen}", "dev", BRIDGE)
    _ip("link", "set", BRIDGE, "up")


def addresses() -> Iterator[str]:
    """Yield an address for each further pod. Raises LabError when there are no more."""
    for address in PODS.hosts():
        if address > NODE:
            yield str(address)
    raise LabError(f"{PODS} has no address left for another pod")


class PodNetwork:
    """Starts the processes of one pod in a namespace of its own, all in the same one."""

    def __init__(self, number: int, address: str) -> None:
        self.address = address
        self._ours = f"pod{number}"
        self._theirs = f"peer{number}"
        self._holder: subprocess.Popen[bytes] | None = None

    def start(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a process of the pod. Raises InputError or LabError."""
        if self._holder is None:
            self._holder = self._hold(log)
        inside = ["nsenter", "--net", f"--target={self._holder.pid}", "--", *command]
        return spawn(inside, log, environment)

    def _hold(self, log: Path) -> subprocess.Popen[bytes]:
        """Start the process that holds the namespace, and set up both ends of its link."""
        theirs = [self._theirs, f"{self.address}/{PODS.prefixlen}", str(NODE)]
        with log.open("ab") as output:
            holder = subprocess.Popen(
                ["unshare", "--net", "sh", "-c", IN_POD, "sh", *theirs, "sleep", "infinity"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        assert holder.stdin is not None
        _ip("link", "add", self._ours, "type", "veth", "peer", "name", self._theirs)
        _await_namespace(holder.pid)
        _ip("link", "set", self._theirs, "netns", str(holder.pid))
        _ip("link", "set", self._ours, "master", BRIDGE, "up")
        holder.stdin.write(b"\n")
        holder.stdin.close()
        return holder

    def end(self) -> None:
        """Take the pod's namespace away, once its processes have ended."""
        if self._holder is not None:
            self._holder.kill()
            self._holder.wait()
            self._holder = None


def _await_namespace(pid: int) -> None:
    """Return once a process has a network namespace of its own."""
    ours = Path("/proc/self/ns/net").readlink()
    while Path(f"/proc/{pid}/ns/net").readlink() == ours:
        os.sched_yield()


def _ip(*arguments: str) -> None:
    """Run `ip`. Raises LabError."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
