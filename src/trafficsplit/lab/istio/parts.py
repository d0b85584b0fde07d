"""The real programs, built once by Go from pinned modules into the user's cache directory."""

from __future__ import annotations

import fcntl
import hashlib
import math
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from trafficsplit.errors import LabError
from trafficsplit.processes import last_line

MODULES = Path(__file__).with_name("parts")
KUBERNETES = "k8s.io/kubernetes"
VERSION = "v1.37.2"  # of Kubernetes, which Flagger reads from the API server
KEY_LENGTH = 12  # characters of the digest that names a build
SMALL = "-s -w"  # no symbols for a debugger


@dataclass(frozen=True)
class Part:
    """Programs of one Go module: `module` is a folder of `parts/`, `packages` what to build there.

    `minutes` is what it takes the first time on two cores. `crds` are a dependency's module and
    globs of its files with CustomResourceDefinitions. A part that is not `needed` is for tests of
    delivery controllers.
    """

    module: str
    packages: tuple[str, ...]
    minutes: float
    crds: tuple[tuple[str, str], ...] = ()
    flags: str = SMALL
    needed: bool = True

    @property
    def programs(self) -> list[str]:
        """The names of what is built."""
        if self.packages == (".",):
            return [self.module]
        return [package.rpartition("/")[2] for package in self.packages]


PARTS = (
    Part("keys", (".",), 0.1),
    Part("etcd", (".",), 0.5),
    Part(
        "kubernetes",
        (
            f"{KUBERNETES}/cmd/kube-apiserver",
            f"{KUBERNETES}/cmd/kube-controller-manager",
            f"{KUBERNETES}/cmd/kubectl",
        ),
        5,
        flags=f"{SMALL} -X k8s.io/component-base/version.gitVersion={VERSION}",
    ),
    Part(
        "istio",
        ("istio.io/istio/pilot/cmd/pilot-discovery",),
        3.5,
        crds=(
            ("istio.io/api", "kubernetes/customresourcedefinitions.gen.yaml"),
            ("sigs.k8s.io/gateway-api", "config/crd/experimental/gateway.networking.k8s.io_*.yaml"),
        ),
    ),
    Part(
        "flagger",
        ("github.com/fluxcd/flagger/cmd/flagger",),
        1.5,
        crds=(("github.com/fluxcd/flagger", "artifacts/flagger/crd.yaml"),),
        needed=False,
    ),
    Part(
        "argo",
        ("github.com/argoproj/argo-rollouts/cmd/rollouts-controller",),
        2.7,
        crds=(("github.com/argoproj/argo-rollouts", "manifests/crds/*-crd.yaml"),),
        needed=False,
    ),
)


def home() -> Path:
    """Return where the parts are: a folder of the user's cache directory, by what they are."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "trafficsplit" / f"istio-{_digest()}"


def _digest() -> str:
    """Return what names exactly these versions of all parts."""
    digest = hashlib.sha256()
    for part in PARTS:
        for name in ("go.mod", "go.sum", "main.go"):
            file = MODULES / part.module / name
            if file.exists():
                digest.update(file.read_bytes())
        digest.update(part.flags.encode())
    return digest.hexdigest()[:KEY_LENGTH]


def program(name: str) -> Path:
    """Return the path of a program. Raises LabError where it has not been built."""
    file = home() / "bin" / name
    if not file.exists():
        raise LabError(f"the lab's {name} has not been built: trafficsplit lab build")
    return file


def crds(part: str) -> Path:
    """Return the folder with a part's CustomResourceDefinitions."""
    return home() / "crds" / part


def missing(*, all_of_them: bool = False) -> list[Part]:
    """Return the parts that have not been built, only those that are needed or all of them."""
    wanted = [part for part in PARTS if part.needed or all_of_them]
    return [part for part in wanted if not _is_built(part)]


def _is_built(part: Part) -> bool:
    built = all((home() / "bin" / name).exists() for name in part.programs)
    return built and (not part.crds or crds(part.module).exists())


def check_built() -> None:
    """Raise LabError, with the way out, where a part that is needed has not been built."""
    left = missing()
    if left:
        names = ", ".join(chain(*(part.programs for part in left)))
        raise LabError(
            f"the real Istio's parts have not been built ({names}): trafficsplit lab build, once, "
            f"{minutes_of(left)}"
        )


def minutes_of(some: list[Part]) -> str:
    """Return in words how long it takes to build some parts the first time."""
    minutes = math.ceil(sum(part.minutes for part in some))
    return f"some {minutes} minute{'' if minutes == 1 else 's'} on two cores"


Progress = Callable[[str, float], None]


def build(parts: list[Part], progress: Progress) -> None:
    """Build parts, as one process at a time does. Raises LabError.

    `progress` is called with what is being built and the seconds so far, once a second, and when a
    part is begun (0 seconds).
    """
    go = shutil.which("go")
    if go is None:
        raise LabError(
            "the real Istio is built by Go, which is not on PATH: install Go 1.26 or later "
            "(https://go.dev/dl), or use the plain lab: trafficsplit lab up"
        )
    target = home()
    try:
        (target / "bin").mkdir(parents=True, exist_ok=True)
        (target / "logs").mkdir(exist_ok=True)
        with (target / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for number, part in enumerate(parts, 1):
                if not _is_built(part):  # by another process meanwhile
                    names = f"{number}/{len(parts)} {', '.join(part.programs)}"
                    progress(names, 0)
                    _build(_Go(go, part, target, partial(progress, names)))
    except OSError as error:
        raise LabError(f"{target} cannot be written: {error.strerror or error}") from None


@dataclass(frozen=True)
class _Go:
    """The Go compiler at work on one part, whose place is `target`."""

    path: str
    part: Part
    target: Path
    tick: Callable[[float], None]

    @property
    def aside(self) -> Path:
        """The folder in which the part is built, beside its place."""
        return self.target / f"{self.part.module}.new"

    @property
    def source(self) -> Path:
        """The part's own module, as a copy."""
        return self.aside / "source"

    def run(self, *arguments: str) -> str:
        """Run Go in the part's module; return what it says. Raises LabError."""
        log = self.target / "logs" / f"{self.part.module}.log"
        begun = time.monotonic()
        with log.open("a") as errors:
            process = subprocess.Popen(
                [self.path, *arguments],
                cwd=self.source,
                env=_environment(),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        with process:
            try:
                while True:
                    try:
                        said, _ = process.communicate(timeout=1)
                        break
                    except subprocess.TimeoutExpired:
                        self.tick(time.monotonic() - begun)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            what = f"go {arguments[0]} of {self.part.module}"
            raise LabError(f"{what} failed: {last_line(log)} ({log})")
        return said.strip()


def _build(go: _Go) -> None:
    """Build one part beside its place, and move it there whole."""
    part = go.part
    shutil.rmtree(go.aside, ignore_errors=True)
    try:
        shutil.copytree(MODULES / part.module, go.source)
        programs = go.aside / "bin"
        programs.mkdir()
        flags = ("-trimpath", "-ldflags", part.flags)
        go.run("build", *flags, "-o", f"{programs}/", *part.packages)
        for module, pattern in part.crds:
            _copy_crds(go, module, pattern)
        for file in programs.iterdir():
            file.replace(go.target / "bin" / file.name)
        if part.crds:
            (go.target / "crds").mkdir(exist_ok=True)
            shutil.rmtree(crds(part.module), ignore_errors=True)
            (go.aside / "crds").rename(crds(part.module))
    finally:
        shutil.rmtree(go.aside, ignore_errors=True)


def _copy_crds(go: _Go, module: str, pattern: str) -> None:
    """Copy the definitions that a dependency has in its own folder. Raises LabError."""
    go.run("mod", "download", module)
    folder = Path(go.run("list", "-m", "-f", "{{.Dir}}", module))
    files = sorted(folder.glob(pattern))
    if not files:
        raise LabError(f"{module} has no {pattern} in {folder}")
    copies = go.aside / "crds"
    copies.mkdir(exist_ok=True)
    for file in files:
        (copies / file.name).write_bytes(file.read_bytes())


def _environment() -> dict[str, str]:
    """Return the environment of Go: nothing of a surrounding workspace, and no C compiler."""
    return {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=readonly"}
