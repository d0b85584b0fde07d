"""The real programs, built once by Go from pinned modules into the user's cache directory."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
        minutes = sum(part.minutes for part in left)
        names = ", ".join(name for part in left for name in part.programs)
        raise LabError(
            f"the real Istio's parts have not been built ({names}): trafficsplit lab build, once, "
            f"some {max(round(minutes), 1)} minutes on two cores"
        )


def build(parts: list[Part], say: Callable[[str], None]) -> None:
    """Build parts; `say` is called with a line for each. Raises LabError."""
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
    except OSError as error:
        raise LabError(f"{target} cannot be used: {error.strerror or error}") from None
    for number, part in enumerate(parts, 1):
        names = ", ".join(part.programs)
        say(f"{number}/{len(parts)} {names}: some {part.minutes:g} min the first time …")
        _build(go, part, target)


def _build(go: str, part: Part, target: Path) -> None:
    """Build one part beside its place, and move it there whole."""
    aside = target / f"{part.module}.new"
    shutil.rmtree(aside, ignore_errors=True)
    source = aside / "source"
    try:
        shutil.copytree(MODULES / part.module, source)
        (aside / "bin").mkdir()
        log = target / "logs" / f"{part.module}.log"
        command = [go, "build", "-trimpath", "-ldflags", part.flags, "-o", f"{aside}/bin/"]
        _run([*command, *part.packages], source, log)
        for module, pattern in part.crds:
            _copy_crds(go, module, pattern, aside / "crds", source, log)
        for file in (aside / "bin").iterdir():
            file.replace(target / "bin" / file.name)
        if part.crds:
            (target / "crds").mkdir(exist_ok=True)
            shutil.rmtree(crds(part.module), ignore_errors=True)
            (aside / "crds").rename(crds(part.module))
    except OSError as error:
        raise LabError(f"{target} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _copy_crds(go: str, module: str, pattern: str, to: Path, source: Path, log: Path) -> None:
    """Copy the definitions that a dependency has in its own folder."""
    _run([go, "mod", "download", module], source, log)
    listing = [go, "list", "-m", "-f", "{{.Dir}}", module]
    found = subprocess.run(listing, cwd=source, env=_environment(), capture_output=True, text=True)
    folder = Path(found.stdout.strip())
    to.mkdir(exist_ok=True)
    files = sorted(folder.glob(pattern)) if found.stdout.strip() else []
    if not files:
        raise LabError(f"{module} has no {pattern}: {found.stderr.strip() or folder}")
    for file in files:
        (to / file.name).write_bytes(file.read_bytes())


def _run(command: list[str], directory: Path, log: Path) -> None:
    with log.open("a") as output:
        done = subprocess.run(
            command, cwd=directory, env=_environment(), stdout=output, stderr=subprocess.STDOUT
        )
    if done.returncode:
        what = " ".join(command[1:3])
        raise LabError(f"go {what} in {directory.parent.name} failed: {last_line(log)} ({log})")


def _environment() -> dict[str, str]:
    """Return the environment of Go: nothing of a surrounding workspace, and no C compiler."""
    return {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=readonly"}


def lines_of_state() -> Iterator[str]:
    """Yield what is built, and where."""
    for part in PARTS:
        state = "built" if _is_built(part) else "not built"
        yield f"{', '.join(part.programs)}: {state}"
