"""Accuracy against what a prediction costs: spiking rows and their controls, with the same inputs, on DBLP.

    python benchmarks/front.py OUT --splits 1 --seeds 1        # every point once
    python benchmarks/front.py OUT --only floats near-pruned   # three splits, three seeds; run again, they go on
    python benchmarks/front.py OUT --page docs/dysign.md       # tables, picture and answers, with what OUT holds

Raw files lie in $DYSIGN_DATA (default ../shared/data). A study says how features enter: as floats, or as spikes of
learned thresholds that start ``near`` the mean (half a deviation), ``far`` from it (one), or at ``two`` or three
``levels``; of the input weights a tenth acts (``pruned``), or half (``halved``); of the neurons there is a tenth
(``narrow``), or seven eighths (``fewer``); ``scattered`` is a tenth of the weights, each pruned by itself, ``wide`` are
448 neurons with half of theirs; ``long`` are 60 epochs instead of 25; ``taught`` learn what the ReLU network on floats
predicts of all nodes. Spiking rows are trained by the spikes of 1 (``dysign-step``), 2 or 4 steps, or at the
equilibrium and scored at latency 8 (``dysign``). ``others`` are rows of DBLP's table whose costs are counted; OUT may
be that of ``benchmarks/comparison.py``, which has more of them. A split and seed of everything is an hour, so that
points are added on whatever machine, with ``floats --rows relu-network`` beside them: what OUT lacks, or has fewer runs
of, stays as the page has it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from _studies import run_or_write

CODES = {
    "floats": "",
    "near": " --input-thresholds 0.5",
    "far": " --input-thresholds 1.0",
    "two": " --input-thresholds 0.9 1.8",
    "levels": " --input-thresholds 0.5 1.0 1.5",
}
ROWS = "logistic-regression relu-network gcn dysign-step dysign"
TRAINING = "--train-ratio 0.4 --splits 3 --seeds 3 --no-choice"
TAUGHT = " --teacher relu-network"
OTHERS = "label-aware-logistic label-aware-relu dysign-label-aware undergs spiking-undergs evolvegcn-o"
OTC = "links otc --seeds 3"
#: How features enter, by study, as options.
INPUTS = {
    **CODES,
    **{f"{code}-pruned": f"{option} --keep-inputs 0.1" for code, option in CODES.items()},
    "levels-halved": f"{CODES['levels']} --keep-inputs 0.5",
    "near-fewer": f"{CODES['near']} --hidden 224",
    "near-wide": f"{CODES['near']} --hidden 448 --keep-inputs 0.5 --keep-block 1",
    "floats-scattered": " --keep-inputs 0.1 --keep-block 1",
}
#: What is trained: a table of ``dysign-train``, data, and options, rows last.
STUDIES = {
    **{name: f"nodes dblp {TRAINING}{option} --rows {ROWS}" for name, option in INPUTS.items()},
    **{
        f"{name}-latency-{latency}": f"nodes dblp {TRAINING}{option} --train-spikes --latency {latency} --rows dysign"
        for name, option in INPUTS.items()
        for latency in (2, 4)
    },
    **{
        f"{name}-penalty": f"nodes dblp {TRAINING}{INPUTS[name]} --rate-penalty 1 --rows dysign-step"
        for name in ("floats", "near-pruned")
    },
    **{
        f"{name}-long": f"nodes dblp {TRAINING}{INPUTS[name]} --epochs 60 --rows relu-network dysign-step"
        for name in ("floats", "near-fewer")
    },
    **{
        f"{name}-taught": f"nodes dblp {TRAINING}{INPUTS[name]}{TAUGHT} --rows relu-network dysign-step"
        for name in ("floats", "near-fewer", "near-wide")
    },
    "narrow": f"nodes dblp {TRAINING} --hidden 24 --rows relu-network dysign-step",
    "others": f"nodes dblp {TRAINING} --rows {OTHERS}",
    "links-latency-8": f"{OTC} --rows spiking-undergs",
    "links-latency-1": f"{OTC} --train-spikes --latency 1 --rows spiking-undergs",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run studies, or write the page; the exit status is 1 if some failed."""
    return run_or_write(__doc__, STUDIES, "build/front", "_front_page", argv)


if __name__ == "__main__":
    sys.exit(main())
