"""Models of a run: where they go, what is refused before the training, and that they are those of the units."""

import argparse

import pytest
import torch

from dgl_dysign.data import TemporalGraph
from dgl_dysign.errors import ConfigError
from dgl_dysign.experiments import RunFolder, SavedModels
from dgl_dysign.experiments.entry import Outcome
from dgl_dysign.experiments.link_entries import default_entries
from dgl_dysign.experiments.link_task import LinkSettings, LinkTask
from dgl_dysign.models import LinkScorer, UnderGS
from dgl_dysign.models.predict import predict_links
from dgl_dysign.pairs import CachedFeatures, LinkFeatures
from tests.generated import generated_links

ENTRY = default_entries()["undergs"]


def options(home, **given):
    return argparse.Namespace(**{"save_model": home, "resume": False, "overwrite": False, **given})


def test_without_the_option_nothing_is_saved(tmp_path):
    saved = SavedModels(options(None), ["a"])
    saved.check_finished(RunFolder(tmp_path / "run", {}))
    saved.save("a", ENTRY, None, None)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}], ids=str)
def test_a_model_that_is_there_is_replaced_only_on_request(how, tmp_path):
    (tmp_path / "b").mkdir()
    SavedModels(options(tmp_path, **how), ["a"])
    if how:
        SavedModels(options(tmp_path, **how), ["a", "b"])
    else:
        with pytest.raises(ConfigError, match=r"b exists: name another --save-model, or pass --resume or --overwrite"):
            SavedModels(options(tmp_path), ["a", "b"])


def test_a_unit_that_was_finished_without_its_model_is_named(tmp_path):
    run = RunFolder(tmp_path / "run", {})
    run.save_unit("a", {})
    saved = SavedModels(options(tmp_path / "models", resume=True), ["a", "b"])
    with pytest.raises(ConfigError, match=r"a is finished, but its model was not saved .*--overwrite, or leave"):
        saved.check_finished(run)
    (tmp_path / "models" / "a").mkdir(parents=True)
    saved.check_finished(run)


def test_a_scorer_is_saved_without_the_cache_of_its_training(tmp_path):
    data = TemporalGraph.load(generated_links(tmp_path, events=400, snapshots=10))
    features = CachedFeatures(LinkFeatures.of(data))
    model = UnderGS(data.num_nodes, 8, pair_feats=len(features.names))
    scorer = LinkScorer(model, model.store(), features)
    src, dst = torch.arange(6), torch.arange(6).expand(6, -1).contiguous()
    expected = predict_links(scorer, data, 9, src, dst)
    task = LinkTask(data, LinkSettings())
    SavedModels(options(tmp_path / "models"), ["a"]).save("a", ENTRY, task, Outcome(model=scorer))
    again = LinkScorer.from_pretrained(tmp_path / "models" / "a", data)
    assert again.store.snapshot == 8
    assert torch.equal(predict_links(again, data, 9, src, dst), expected)
