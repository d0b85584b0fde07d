"""What one look of the sequential test costs."""

from __future__ import annotations

import timeit

from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.split import Split


def main() -> None:
    """Print microseconds an update, by the number of variants."""
    for size in (2, 3, 5):
        weights = {f"v{n}": 75.0 if n == 0 else 25 / (size - 1) for n in range(size)}
        batch = {name: int(weight * 4) for name, weight in weights.items()}

        def update(weights: dict[str, float] = weights, batch: dict[str, int] = batch) -> None:
            test = SequentialTest(Split(weights), tolerance=0.0005)  # far from a verdict
            for _ in range(1000):
                test.update(batch)

        each = min(timeit.repeat(update, number=1, repeat=7)) / 1000 * 1e6
        print(f"an update of the sequential test, {size} variants   {each:6.1f} µs")


if __name__ == "__main__":
    main()
