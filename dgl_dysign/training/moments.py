"""Mean and deviation of columns that come in parts."""

from __future__ import annotations

import torch
from torch import Tensor

from dgl_dysign.errors import DataError
from dgl_dysign.training import distributed


class Moments:
    """Mean and deviation over all rows seen, in double precision and without holding them (Chan et al., 1983).

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.training import Moments
    >>> moments = Moments()
    >>> for part in torch.tensor([[1.0], [2.0], [6.0]]).split(1):
    ...     moments.add(part)
    >>> moments.mean, moments.deviation
    (tensor([3.], dtype=torch.float64), tensor([2.1602], dtype=torch.float64))
    """

    def __init__(self) -> None:
        self.rows = 0
        self.mean, self._squares = torch.zeros(()), torch.zeros(())

    def add(self, values: Tensor) -> None:
        """Take in values ``(*, F)``.

        Raises
        ------
        DataError
            If one is not finite; names the column.
        """
        part = values.detach().reshape(-1, values.shape[-1]).double().cpu()
        if not len(part):
            return
        mean = part.mean(0)
        if not bool(torch.isfinite(mean).all()):
            column = int((~torch.isfinite(mean)).nonzero()[0, 0])
            raise DataError(f"found {float(mean[column])} as the mean of column {column}, expected finite features")
        delta, total = mean - self.mean, self.rows + len(part)
        self._squares = self._squares + (part - mean).square().sum(0) + delta.square() * self.rows * len(part) / total
        self.mean, self.rows = self.mean + delta * len(part) / total, total

    @property
    def deviation(self) -> Tensor:
        """Standard deviation ``(F,)``, of the rows themselves (divided by their number)."""
        return (self._squares / max(1, self.rows)).sqrt()

    def over_processes(self, width: int) -> tuple[Tensor, Tensor]:
        """Return mean and deviation ``(width,)`` over the rows of all processes, of which some may have none."""
        if distributed.world() == 1:
            return self.mean, self.deviation
        rows = distributed.sum_over_processes(torch.tensor(self.rows, dtype=torch.float64))
        mean = distributed.sum_over_processes(self.mean.double().expand(width) * self.rows) / rows
        squares = (self.deviation.square() + (self.mean - mean).square()).double() * self.rows
        return mean, (distributed.sum_over_processes(squares) / rows).sqrt()
