"""What a model costs: its operations, counted while it runs, by module, a node and in all.

The rules, where nothing else is said those of NeuroBench (Yik et al., Nature Communications 2025) and of SpikingJelly's
``op_counter``:

- A product of matrices or a convolution is one MAC for each pair of numbers that is multiplied and added up, zeros
  included (NeuroBench's "dense" operations). Zeros of the right matrix, where weights stand, are left out: they were
  pruned. A product of bytes is one as well, and the energy of all is that of 32 bits.
- Where one factor is spikes (entries 0 and ±c, for one c), it is one SynOp, an addition, for each spike and each weight
  that the spike meets and that is not zero (NeuroBench's "effective" ones; SpikingJelly's SynOps where no weight is
  zero): what does not fire, or was pruned, costs nothing.
- A message over an edge is added to its receiver: one SynOp for each spike in it; else one MAC for each feature if the
  edge has a weight, and one addition if not. Factors of one magnitude, such as weights of 1, need no product.
- A step of neurons updates each membrane once.
- A message moves its bits as they are stored: one a spike where spikes are packed, 32 a number in float32. Rows that
  are summed by index (``index_add``, ``scatter_add``, ``scatter_reduce``) are messages too.
- Nothing is counted for elementwise functions, biases, means, softmaxes, comparisons and normalisations; for what is
  done once for a graph or for the weights alone (normalised edge weights, the bound on a norm); and for inputs that
  were made before, such as feature means and the spikes of `dgl_dysign.nn.ThresholdEncoder`.

Counted is what runs: a layer that sums spikes over neighbours before it multiplies them with a weight has no spikes
left to multiply. Energy is a model, not a measurement: 4.6 pJ a MAC and 0.9 pJ an addition, in 45 nm and 32 bits
(Horowitz, ISSCC 2014), without memory and wires, which cost more.
"""

from dgl_dysign.cost.counter import OperationCounter, count_operations, register
from dgl_dysign.cost.operations import ENERGY_IS, OperationCount, Operations

__all__ = ["ENERGY_IS", "OperationCount", "OperationCounter", "Operations", "count_operations", "register"]
