"""Random numbers of a made-up world: each purpose has its own, from one seed."""

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers: TypeAlias = NDArray[np.float64]
    Whole: TypeAlias = NDArray[np.int64]


class Draws:
    """Random numbers of one purpose: uniform ones alone are drawn, all else follows from them.

    A purpose's numbers are its own, so that drawing more of one thing changes no other.
    """

    def __init__(self, purpose: str, seed: int) -> None:
        import numpy as np

        self._generator = np.random.Generator(np.random.PCG64([seed, *purpose.encode()]))

    def uniform(self, *shape: int) -> "Numbers":
        """Return numbers in [0, 1)."""
        return self._generator.random(shape)

    def normal(self, *shape: int) -> "Numbers":
        """Return standard normal numbers (Box and Muller, 1958)."""
        import numpy as np

        radius = np.sqrt(-2.0 * np.log(1.0 - self.uniform(*shape)))
        return np.asarray(radius * np.cos(2.0 * np.pi * self.uniform(*shape)))

    def one_of(self, shares: Any) -> "Whole":  # noqa: ANN401 - rows of shares
        """Return for each row of shares, which sum to one, the place that was drawn."""
        import numpy as np

        edges = np.cumsum(np.asarray(shares, np.float64), axis=1)[:, :-1]
        return np.asarray((self.uniform(len(edges))[:, None] >= edges).sum(axis=1), np.int64)

    def counts(self, rates: "Numbers", *, most: int = 30) -> "Whole":
        """Return Poisson counts of the given rates, at most ``most``."""
        import numpy as np

        uniform = self.uniform(*rates.shape)
        chance, below = np.exp(-rates), np.zeros(rates.shape)
        found = np.zeros(rates.shape, np.int64)
        for count in range(most):
            below += chance
            found += uniform >= below
            chance = chance * rates / (count + 1)
        return found
