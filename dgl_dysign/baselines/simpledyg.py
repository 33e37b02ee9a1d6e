"""SimpleDyG: links as a language, in which each node's past partners are a sentence that a transformer goes on with."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgl_dysign.errors import check_heads, check_least


class SimpleDyG(nn.Module):
    r"""The causal transformer of SimpleDyG, Wu et al. (WWW 2024), at a small size.

    The sentence of a node s at snapshot t is s itself, then for each earlier snapshot with an edge of s, whichever way,
    a token of time and the partners in the order of their edges, and last a token of time for t. The logit of a
    destination d is that of d as the next token:

    .. math::
        x_i = E_{w_i} + P_i + g \log(1 + \Delta_i), \quad
        y_{sd}(t) = E_d \cdot \mathrm{Transformer}(x_1, \ldots, x_n)_n

    with :math:`\Delta_i` the snapshots since the node's last edge at a token of time, and 0 elsewhere; E is shared by
    input and output, as in GPT-2. It is trained to name each partner from what stands before it, by the cross-entropy
    over all nodes (`dgl_dysign.training.fit_sequences`).

    What differs from the paper: two layers of width 128 instead of 6 of 768 (its script for UCI); one token of time
    with the time that has passed, instead of a token for each snapshot, as those of later snapshots would never be
    trained; candidates are scored by the next token instead of sentences being generated; tokens of time are not
    predicted; sentences are cut to `length` tokens. The public code appears to keep the checkpoint that is best on
    test; here validation alone chooses. Arguments out of range raise ``ConfigError``.

    Parameters
    ----------
    num_nodes : int
        Number of nodes N, which all have a vector of their own.
    width, layers, heads, dropout : int, default 128, 2 and 4; float, default 0.1
        Of the transformer; the width is a multiple of the heads, the dropout GPT-2's.
    length : int, default 64
        Most tokens of a sentence, 3 or more.

    Shapes
    ------
    tokens and ages ``(n, L)`` -> what the next tokens are told by, ``(n, L, width)``.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.baselines import SimpleDyG
    >>> tokens, ages = torch.tensor([[0, 5, 3, 5]]), torch.tensor([[0, 0, 0, 7]])
    >>> SimpleDyG(num_nodes=5, width=8)(tokens, ages).shape
    torch.Size([1, 4, 8])
    """

    loss = "softmax"  # of the training on each snapshot under the protocol live-update

    def __init__(
        self, num_nodes: int, width: int = 128, layers: int = 2, heads: int = 4, length: int = 64, dropout: float = 0.1
    ) -> None:
        super().__init__()
        check_least(1, layers=layers)
        check_least(3, length=length)
        check_heads(width, heads)
        self.num_nodes, self.length = num_nodes, length
        self.tokens, self.places = nn.Embedding(num_nodes + 1, width), nn.Embedding(length, width)
        self.age = nn.Parameter(torch.empty(width))
        for weight in (self.tokens.weight, self.places.weight, self.age):
            nn.init.normal_(weight, std=0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout, "gelu", batch_first=True, norm_first=True
        )  # fmt: skip
        self.transformer = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, tokens: Tensor, ages: Tensor) -> Tensor:
        """Return the vectors that tell the next tokens; no vector depends on what comes after its token."""
        places = self.places.weight[: tokens.shape[1]]
        inputs = self.tokens(tokens) + places + ages.to(self.age)[..., None].log1p() * self.age
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1], device=tokens.device)
        return self.transformer(inputs, mask, is_causal=True)

    def partner_loss(self, tokens: Tensor, ages: Tensor, lengths: Tensor) -> Tensor:
        """Return the mean cross-entropy of each partner but the first word in sentences ``(n, L + 1)`` of lengths."""
        target, place = tokens[:, 1:], torch.arange(tokens.shape[1] - 1, device=tokens.device)
        told = (place > 0) & (place < lengths[:, None] - 1) & (target < self.num_nodes)
        logits = self(tokens[:, :-1], ages[:, :-1])[told] @ self.tokens.weight[: self.num_nodes].T
        return functional.cross_entropy(logits, target[told])
