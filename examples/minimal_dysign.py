"""Dy-SIGN on one screen: classify the nodes of a dynamic graph, with the whole training loop in view.

    dysign-prep dblp RAW PREPARED
    python examples/minimal_dysign.py PREPARED

`dysign_node_classification.py` trains the same model in mini-batches, beside everything it is compared with.
"""

import argparse

import torch
from torch.nn import functional

from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.evaluation import f1_scores
from dgl_dysign.models import DySIGN, load_snapshots

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("prepared", help="folder written by dysign-prep, with node features and labels")
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--hidden", type=int, default=64, help="spiking neurons a node")
parser.add_argument("--snapshots", type=int, default=2, help="snapshots that the model reads, the last ones")
args = parser.parse_args()
torch.manual_seed(0)

# The data. A snapshot's graph holds all events up to it, each worth a tenth of one a snapshot later; its features are
# the nodes' own and their neighbours' mean side by side. Nothing in snapshot t comes from events after it.
data = TemporalGraph.load(args.prepared)
last = data.num_snapshots
snapshots = load_snapshots(data, range(last - args.snapshots, last), decay=0.1, hops=(0, 1))
train, val, test = stratified_split(data.labels, train_ratio=0.4, seed=42)

# The model. One group of leaky integrate-and-fire neurons is solved for its equilibrium of firing rates at each
# snapshot; a linear read-out adds up over the snapshots. The gradient is that of the equilibrium (implicit
# differentiation): the tape holds one fixed-point step, however many the solver took.
model = DySIGN(
    snapshots[0].feat.shape[1], args.hidden, data.num_classes, args.snapshots, gradient="implicit", latency=8
)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.5)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=args.epochs)

for epoch in range(args.epochs):
    model.train()
    logits = model(snapshots)  # (N, classes), rates at equilibrium
    loss = functional.cross_entropy(logits[train], data.labels[train])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    if epoch % 5 == 4:
        scores = f1_scores(data.labels, logits.argmax(1), val)
        print(f"epoch {epoch + 1:3}  loss {loss.item():.3f}  validation Macro-F1 {scores['macro_f1']:.1f} %")

# The score: of the spiking network itself, simulated for `latency` steps, on nodes that no choice has seen.
model.eval()
with torch.no_grad():
    spiking = f1_scores(data.labels, model(snapshots, simulate=True).argmax(1), test)
    solved = f1_scores(data.labels, model(snapshots, simulate=False).argmax(1), test)
majority = f1_scores(data.labels, torch.full_like(data.labels, int(data.labels[train].mode().values)), test)
for name, scores in (("majority class", majority), ("Dy-SIGN, equilibrium", solved), ("Dy-SIGN, spiking", spiking)):
    print(f"{name:21} Macro-F1 {scores['macro_f1']:4.1f}  Micro-F1 {scores['micro_f1']:4.1f} %  (test nodes)")
