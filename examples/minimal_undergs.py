"""UnderGS on one screen: rank the links of a dynamic graph, with the whole training loop in view.

    dysign-prep edges soc-sign-bitcoinotc.csv PREPARED --every week
    python examples/minimal_undergs.py PREPARED

`undergs_link_prediction.py` trains the same model with all features of pairs, beside everything it is compared with.
"""

import argparse

import torch

from dgl_dysign.baselines import RecentDegree
from dgl_dysign.data import TemporalGraph
from dgl_dysign.data.snapshot_edges import snapshot_edges
from dgl_dysign.evaluation import LinkScores, NegativeSampler, evaluate_links, split_snapshots
from dgl_dysign.models import UnderGS, link_loss
from dgl_dysign.pairs import LinkFeatures

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("prepared", help="folder written by dysign-prep")
parser.add_argument("--epochs", type=int, default=5)
args = parser.parse_args()
torch.manual_seed(0)

# The questions: each edge of snapshot t among negatives, and what counting saw of these pairs before t. They do not
# depend on the model, so they are made once.
data = TemporalGraph.load(args.prepared)
edges = [snapshot_edges(data, t) for t in range(data.num_snapshots)]
train, val, test = split_snapshots(data.num_snapshots)
few, many = (NegativeSampler(data.num_nodes, negatives) for negatives in (10, 100))
counts = LinkFeatures(data.num_nodes, families=["activity", "pair"])
questions, features = [], []
for t, now in enumerate(edges):
    queries = (few if t in train else many).draw(now)
    questions.append(queries)
    features.append(counts.features(t, queries.src, queries.dst))
    for past in (few, many, counts):
        past.observe(now)

# The model: the store holds each node's 16 most influential past neighbours; the model embeds nodes from it.
model = UnderGS(data.num_nodes, hidden_feats=64, pair_feats=len(counts.names))
seen = torch.cat([features[t].flatten(0, 1) for t in train])
model.link_head.standardise(seen.mean(0), seen.std(0))
store = model.store(num_neighbors=16, num_hops=2)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)


def logits(t: int, rows: slice | torch.Tensor) -> torch.Tensor:
    """Score candidates of snapshot t from the store as it was before t."""
    src, dst = questions[t].src[rows], questions[t].dst[rows]
    z = model.embed(store, torch.cat([src[:, None], dst], dim=1), now=t)
    return model.link(z[:, 0], z[:, 1:], features[t][rows])


def replay(scored: range, learning: bool) -> LinkScores:
    """Go through the snapshots in order of time, from an empty store; return the scores of some of them."""
    scores = LinkScores("UnderGS")
    store.reset()
    for t, now in enumerate(edges[: scored.stop]):
        if t in train and learning:  # gradients add up over a snapshot, then one step: its edges happen at one time
            model.train()
            for rows in questions[t].warm.nonzero()[:, 0].split(512):
                (link_loss(logits(t, rows), model.loss) * len(rows)).backward()
            optimizer.step()
            optimizer.zero_grad()
        elif t in scored:
            model.eval()
            with torch.no_grad():
                scores.add(questions[t], logits(t, slice(None)))
        store.insert(now)  # only now does the snapshot become the past
    return scores


for epoch in range(args.epochs):
    print(f"epoch {epoch + 1}  validation MRR {100 * replay(val, learning=True).mrr:.1f} %", flush=True)
degree = evaluate_links(edges, {"recent degree": RecentDegree(data.num_nodes)}, test, many)["recent degree"]
for scores in (degree, replay(test, learning=False)):
    print(f"{scores.name:14} {100 * scores.mrr:.1f} % MRR  (test, warm edges among 100 negatives)")
