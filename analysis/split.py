"""What do counts say of a split? Chi-square, evidence and, with --plot, how they came to it.

    python analysis/split.py reports/20261125T210000Z-match
    python analysis/split.py blue=741 green=259 --weights blue=75,green=25

Counts are a run's (a report's directory, or its tally.csv, stretch by stretch) or bare ones. The
weights are the run's own, unless others are given. Copy what you need: all of it is public API.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from pathlib import Path

from trafficsplit import InputError, SequentialTest, Split, chi_square

OTHER_COLUMNS = {"from_seconds", "to_seconds", "errors", "unidentified"}
Counts = dict[str, int]


def stretches_of(table: Path) -> list[Counts]:
    """Return the counts of each stretch of a tally.csv."""
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    variants = [name for name in rows[0] if name not in OTHER_COLUMNS] if rows else []
    return [{variant: int(row[variant]) for variant in variants} for row in rows]


def weights_of(directory: Path) -> dict[str, float]:
    """Return the weights that a report's run was to have."""
    document = json.loads((directory / "verdict.json").read_text("utf-8"))
    weights: dict[str, float] = document["expected"]
    return weights


def parsed(pairs: list[str]) -> dict[str, float]:
    """Return numbers by name, from `blue=741`."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not value.replace(".", "", 1).strip().isdecimal():
            raise ValueError(f"{pair!r} is not NAME=NUMBER, as blue=741")
        found[name.strip()] = float(value)
    return found


def report(stretches: list[Counts], split: Split) -> SequentialTest:
    """Print what counts say of a split, and return the sequential test on them."""
    total: Counter[str] = Counter()
    test = SequentialTest(split)
    for counts in stretches:
        test.update(counts)
        total.update(counts)
    n = sum(total.values())
    print(f"{'variant':12} {'weight':>9} {'responses':>10} {'share':>9}  interval")
    for variant in split:
        low, high = test.confidence(variant)
        share = total[variant] / n if n else 0.0
        print(
            f"{variant:12} {split[variant]:9.2%} {total[variant]:10,} {share:9.2%}  "
            f"{low:.2%} to {high:.2%}"
        )
    fixed = chi_square(dict(total), split)
    print()
    print(f"chi-square {fixed.statistic:.3f} on {fixed.dof} degrees, p = {fixed.p_value:.3g}")
    print(f"G          {fixed.g_statistic:.3f}, p = {fixed.g_p_value:.3g} ({fixed.method})")
    print(f"Cohen's w  {fixed.effect_size:.4f}")
    print()
    print(f"evidence for a match    {test.log_match:9.2f} of {test.threshold:.2f}")
    print(f"evidence for a mismatch {test.log_mismatch:9.2f} of {test.threshold:.2f}")
    print(f"against exactly these weights {test.log_exact():.2f}")
    print(f"\n{test.verdict}")
    return test


def plot(stretches: list[Counts], split: Split, file: Path) -> None:
    """Draw shares and evidence as responses came in."""
    try:
        from matplotlib import pyplot
    except ModuleNotFoundError:
        raise InputError("plots need matplotlib: pip install 'trafficsplit[plots]'") from None

    test = SequentialTest(split)
    seen: Counter[str] = Counter()
    xs: list[int] = []
    shares: dict[str, list[float]] = {variant: [] for variant in split}
    evidence: dict[str, list[float]] = {"match": [], "mismatch": []}
    for counts in stretches:
        test.update(counts)
        seen.update(counts)
        n = sum(seen.values())
        if not n:
            continue
        xs.append(n)
        for variant, line in shares.items():
            line.append(seen[variant] / n)
        evidence["match"].append(test.log_match / test.threshold)
        evidence["mismatch"].append(test.log_mismatch / test.threshold)
    figure, (above, below) = pyplot.subplots(2, sharex=True, layout="constrained")
    for variant, line in shares.items():
        above.plot(xs, line, label=variant)
        above.axhline(split[variant], color="grey", linewidth=0.8, linestyle=":")
    above.set_ylabel("share")
    above.legend()
    for verdict, parts in evidence.items():
        below.plot(xs, parts, label=f"for a {verdict}")
    below.axhline(1, color="black", linewidth=0.8)
    below.set_ylabel("evidence, of what is needed")
    below.set_xlabel("responses")
    below.set_ylim(-1, 1.5)
    below.legend()
    figure.savefig(file, dpi=120)
    print(f"drawn: {file}")


def main() -> int:
    """Read what is given, and report on it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("counts", nargs="+", help="a report's directory, a tally.csv, or V=N …")
    parser.add_argument("--weights", default="", help="blue=75,green=25 [the run's own]")
    parser.add_argument("--plot", type=Path, help="draw shares and evidence into this PNG")
    options = parser.parse_args()
    given = Path(options.counts[0])
    directory = given if given.is_dir() else given.parent
    try:
        if given.exists():
            stretches = stretches_of(directory / "tally.csv" if given.is_dir() else given)
        else:
            stretches = [{name: int(n) for name, n in parsed(options.counts).items()}]
        if not given.exists() and not options.weights:
            raise ValueError("bare counts need --weights, as blue=75,green=25")
        weights = parsed(options.weights.split(",")) if options.weights else weights_of(directory)
        split = Split(weights)
        strange = {name for counts in stretches for name, n in counts.items() if n} - set(split)
        if strange:
            raise ValueError(f"{', '.join(sorted(strange))} answered, and has no weight")
        report(stretches, split)
        if options.plot:
            plot(stretches, split, options.plot)
    except (OSError, ValueError, KeyError, InputError) as error:
        print(f"split.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
