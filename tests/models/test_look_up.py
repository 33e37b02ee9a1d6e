"""Features by id: what they are, and what is refused."""

import pytest
import torch

from dgl_dysign.errors import ConfigError
from dgl_dysign.models.inputs import look_up

FEAT = torch.arange(6.0).view(3, 2)
CPU = torch.device("cpu")


def test_rows_of_a_tensor_or_a_function():
    ids = torch.tensor([2, 0])
    assert torch.equal(look_up("edge_feat", FEAT, ids, 2, CPU), FEAT[ids])
    assert torch.equal(look_up("edge_feat", FEAT.__getitem__, ids, 2, CPU), FEAT[ids])
    assert look_up("edge_feat", None, ids, 0, CPU) is None


@pytest.mark.parametrize(
    ("source", "ids", "width", "message"),
    [
        (FEAT, [0, -1], 2, "features of id -1 were asked for"),
        (FEAT, [3], 2, "has 3 rows, but id 3 was asked for"),
        (FEAT, [0], 5, r"must give shape \(1, 5\)"),
        (None, [0], 2, "but got none"),
        (FEAT, [0], 0, "but got some"),
    ],
)
def test_refusals(source, ids, width, message):
    with pytest.raises(ConfigError, match=message):
        look_up("edge_feat", source, torch.tensor(ids), width, CPU)
