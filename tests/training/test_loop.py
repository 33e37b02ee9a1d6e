"""A checkpoint is taken up whole, or refused in one line that names it."""

import re

import pytest
import torch

from dgl_dysign.errors import DataError
from dgl_dysign.training.loop import Loop, LoopConfig


def loop(path, epochs=3):
    model = torch.nn.Linear(1, 1)
    return Loop(model, LoopConfig(epochs, 0.1, 0.0), 1, torch.device("cpu"), {"seed": 0}, path)


@pytest.mark.parametrize(
    "change",
    [
        {"history": 5}, {"history": [{}]}, {"history": [{"epoch": 1, "cpu_seconds": 1.0}]}, {"model": {}}, {"asked": 1},
        {"history": [{"epoch": 0, "cpu_seconds": float("nan")}]}, {"random": torch.zeros(3)}, {"optimizer": [1]},
    ],
    ids=lambda change: str(change)[:40],
)  # fmt: skip
def test_a_checkpoint_with_odd_values_is_refused(tmp_path, change):
    path = tmp_path / "unit.pt"
    loop(path).run(lambda: {"loss": 1.0})
    torch.save({**torch.load(path, weights_only=True), **change}, path)
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))}: the checkpoint cannot be used \(.*\); delete it"):
        loop(path).run(lambda: {"loss": 1.0})


@pytest.mark.parametrize("best", [0, 1, 2])
def test_the_best_epochs_weights_stay_also_after_a_kill_at_the_end(tmp_path, best):
    run = loop(tmp_path / "unit.pt")
    weights = []

    def epoch():
        run.step(run.model(torch.ones(1, 1)).square().sum())
        weights.append(run.model.weight.item())
        return {"figure": float(len(weights) == best + 1)}

    run.run(epoch, select="figure")
    again = loop(tmp_path / "unit.pt")
    again.run(epoch, select="figure")
    assert run.model.weight.item() == again.model.weight.item() == weights[best]
    assert len(set(weights)) == 3
    assert not run.optimizer.state  # freed before anything is scored
