"""Constant currents: values, memory, gradient."""

import pytest
import torch

from dgl_dysign.errors import ConfigError
from dgl_dysign.nn import ConstantEncoder


def test_repeats_without_copying():
    feat = torch.randn(4, 2, requires_grad=True)
    currents = ConstantEncoder(3)(feat)
    assert currents.shape == (3, 4, 2)
    assert currents.data_ptr() == feat.data_ptr()
    currents.sum().backward()
    assert torch.equal(feat.grad, torch.full((4, 2), 3.0))


def test_errors_and_repr():
    with pytest.raises(ConfigError, match="latency"):
        ConstantEncoder(0)
    assert repr(ConstantEncoder()) == "ConstantEncoder(latency=8)"
