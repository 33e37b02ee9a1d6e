"""Mean and deviation in parts equal those of the whole."""

import pytest
import torch

from dgl_dysign.errors import DataError
from dgl_dysign.training import Moments


def test_equals_the_whole():
    values = torch.randn(50, 4, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 50, 0]) + 1e4
    moments = Moments()
    for part in (values[:7], values[7:7], values[7:8], values[8:]):
        moments.add(part)
    rows = values.reshape(-1, 3).double()
    torch.testing.assert_close(moments.mean, rows.mean(0))
    torch.testing.assert_close(moments.deviation, rows.std(0, correction=0))
    assert moments.rows == 200


def test_names_the_column_that_is_not_finite():
    values = torch.zeros(4, 3)
    values[2, 1] = float("nan")
    with pytest.raises(DataError, match="nan as the mean of column 1"):
        Moments().add(values)
