"""The sentences that SimpleDyG reads, which grow with each snapshot, and links scored by how they go on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from dgl_dysign.baselines.simpledyg import SimpleDyG
from dgl_dysign.data.snapshot_edges import SnapshotEdges, check_room
from dgl_dysign.models.link_scorer import LogitScorer

#: A node, or the token of time, and the snapshots that have passed where it is that.
Token = tuple[int, int]


class Sentences:
    """The sentences of all nodes, which grow with each snapshot; see `SimpleDyG`."""

    def __init__(self, num_nodes: int, length: int) -> None:
        self.num_nodes, self.length = num_nodes, length
        self.reset()

    def reset(self) -> None:
        """Forget all partners."""
        self._words: list[list[Token]] = [[] for _ in range(self.num_nodes)]
        self._last = np.full(self.num_nodes, -1)

    def observe(self, edges: SnapshotEdges) -> None:
        """Add the partners in a snapshot; those of one time in the order of edge ids."""
        check_room(edges, self.num_nodes, "make the scorer anew for the larger graph")
        order = np.lexsort((edges.edge_id.numpy(), edges.time.numpy()))
        for src, dst in zip(edges.src.numpy()[order].tolist(), edges.dst.numpy()[order].tolist(), strict=True):
            for node, partner in ((src, dst), (dst, src))[: 1 + (src != dst)]:
                if self._last[node] != edges.snapshot:
                    self._words[node].append(self._time(node, edges.snapshot))
                    self._last[node] = edges.snapshot
                self._words[node].append((partner, 0))

    def _time(self, node: int, snapshot: int) -> Token:
        return self.num_nodes, 0 if self._last[node] < 0 else int(snapshot - self._last[node])

    def at(self, nodes: Tensor, snapshot: int) -> list[list[Token]]:
        """Return the sentences of some nodes that end with the time of a snapshot, cut in front."""
        kept = self.length - 2
        return [[(n, 0), *self._words[n][-kept:], self._time(n, snapshot)] for n in nodes.tolist()]

    def all(self) -> list[list[Token]]:
        """Return all sentences in parts of their node and `length` words, the first of which ended the part before.

        So each word but the first, which is a time, is told once, and from every place that `at` asks.
        """
        return [
            [(node, 0), *words[first : first + self.length]]
            for node, words in enumerate(self._words)
            for first in range(0, len(words) - 1, self.length - 1)
        ]


def padded(sentences: Sequence[Sequence[Token]], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return tokens and ages ``(n, L)`` of sentences, zero behind their ends, and their lengths ``(n,)``."""
    table = pad_sequence([torch.tensor(sentence) for sentence in sentences], batch_first=True).to(device)
    return table[..., 0], table[..., 1], torch.tensor([len(sentence) for sentence in sentences], device=device)


class SentenceScorer(LogitScorer):
    """Scores links by `SimpleDyG`; fulfils `dgl_dysign.evaluation.LinkModel`.

    Parameters
    ----------
    model : SimpleDyG
        Trained by `dgl_dysign.training.fit_sequences`.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.baselines import SentenceScorer, SimpleDyG
    >>> from dgl_dysign.data import distinct_edges
    >>> scorer = SentenceScorer(SimpleDyG(5))
    >>> scorer.observe(distinct_edges(0, [0, 1], [1, 2], num_nodes=5))
    >>> scorer.past.at(torch.tensor([1]), snapshot=4)
    [[(1, 0), (5, 0), (0, 0), (2, 0), (5, 4)]]
    >>> scorer.score(4, torch.tensor([1]), torch.tensor([[0, 3, 4]])).shape
    torch.Size([1, 3])
    """

    sentences_at_once = 1 << 6  # that the model reads; `score` takes 1,024 edges at once

    def __init__(self, model: SimpleDyG) -> None:
        self.model, self.past = model, Sentences(model.num_nodes, model.length)

    def logits(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return logits ``(E, C)`` with gradients, in the mode that the model is in."""
        nodes, place = torch.unique(src, return_inverse=True)
        told = self._told(self.past.at(nodes, snapshot))[place.to(self.device)]
        return (self.model.tokens(dst.to(self.device)) @ told[..., None])[..., 0]

    def _told(self, sentences: list[list[Token]]) -> Tensor:
        """Return what the token after each sentence is told by, ``(n, width)``; those of a length are read together."""
        order = sorted(range(len(sentences)), key=lambda number: len(sentences[number]))
        parts = []
        for first in range(0, len(order), self.sentences_at_once):
            some = [sentences[number] for number in order[first : first + self.sentences_at_once]]
            tokens, ages, lengths = padded(some, self.device)
            parts.append(self.model(tokens, ages)[torch.arange(len(some), device=self.device), lengths - 1])
        return torch.cat(parts)[torch.tensor(order, device=self.device).argsort()]

    def _rows_at_once(self, candidates: int) -> int:
        return 1 << 10
