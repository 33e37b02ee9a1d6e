"""Small run folders of every kind, written by hand, for tests of the report."""

import json
from pathlib import Path

from dgl_dysign.experiments.run_folder import RunFolder

HONEST = "honest: snapshot t is scored from the snapshots before it, then observed"
LEAK = "undergs-released: LEAKS: snapshot t is observed before it is scored; never a result"
FEATURES = "feature-only: training labels enter through the loss alone"
STORE = {
    "slots": 2,
    "snapshot": [0, 2],
    "nodes": [
        {
            "node": node,
            "events": events,
            "held": [
                {"neighbor": [], "influence": [], "hop": [], "age": []},
                {"neighbor": [9, 4], "influence": [0.5 / events, 0.0], "hop": [1, 2], "age": [1, 3]},
            ],
        }
        for node, events in ((7, 12), (3, 1))
    ],
}
FIRING = {"snapshot": [0, 1], "active": [0, 4], "mean": [0, 0.5], "shares": [[0, 0, 0], [0.25, 0.5, 0.25]]}
SOLVER = {
    "tol": 1e-4, "max_iter": 50, "snapshot": [0, 1], "steps": [2, 3], "gap": [None, 5e-5], "converged": [False, True],
    "trace": [[0.1, None], [0.1, 0.01, 5e-5]], "spiking": [0.0, 0.04],
}  # fmt: skip
SPIKES = {
    "snapshot": 1, "latency": 3, "neurons": 2,
    "nodes": [{"node": 5, "fired": [[0], [], [0, 1]]}, {"node": 6, "fired": [[], [], []]}],
}  # fmt: skip


def diagnose(path: Path, key: str, **parts) -> None:
    (path / "diagnostics").mkdir(exist_ok=True)
    (path / "diagnostics" / f"{key}.json").write_text(json.dumps({"schema": 1, "unit": key, **parts}))


def _begin(path: Path, dataset: str, **config) -> RunFolder:
    return RunFolder(path, {"prepared": {"dataset": dataset, "files": {"edges.parquet": "ab" * 32}}, **config})


def node_run(
    path: Path, dataset: str = "dblp", seeds: int = 2, hidden: int = 8, rows=("relu-network", "dysign")
) -> Path:
    """Write a run of two rows, with diagnostics of the first seed."""
    folder = _begin(path, dataset, settings={"hidden": hidden})
    for seed in range(seeds):
        for place, row in enumerate(rows):
            key = f"0.4-split0-seed{seed}-{row}"
            history = [
                {
                    "epoch": k,
                    "loss": 2.0 / (k + 1),
                    "val_accuracy": 0.5 + 0.1 * (k + seed),
                    "gap": 0.1 * place / (k + 1),
                }
                for k in range(3 + seed)
            ]
            record = {
                "row": row, "protocol": FEATURES, "train_ratio": 0.4, "split": 42, "seed": seed, "key": key,
                "macro_f1": 70.0 + place + 2 * seed, "micro_f1": 75.0, "val_macro_f1": 60.0 + place,
                "cpu_seconds": 12.0, "peak_rss_bytes": 2**30, "confusion": [[8, 2], [1, 9]], "history": history,
            }  # fmt: skip
            if row == "dysign" and seed == 0:
                counts = [{"about": "test nodes", "classes": ["theory", "<b>systems</b>"], "counts": [[8, 2], [1, 9]]}]
                diagnose(path, key, row=row, confusion=counts, firing=FIRING, solver=SOLVER, spikes=SPIKES)
            folder.save_unit(key, record)
    folder.write_json("summary.json", [])
    return path


def compared_run(path: Path) -> Path:
    """Write a run of nodes whose summary has a difference."""
    found = {"to": "relu-network", "figure": "macro_f1", "mean": 1.0, "low": 0.25, "high": 1.5}
    lines = [
        {"row": "relu-network", "train_ratio": 0.4},
        {"row": "dysign", "train_ratio": 0.4, "difference": found},
        {"row": "dysign", "train_ratio": 0.8, "difference": None},
    ]
    (node_run(path) / "summary.json").write_text(json.dumps(lines))
    return path


def link_run(path: Path, dataset: str = "bitcoin-otc-generated", protocol: str = LEAK, seeds: int = 1) -> Path:
    """Write a run of links under two kinds of negatives."""
    folder = _begin(path, dataset, settings={"hidden_feats": 8}, protocol=protocol.split(":")[0])
    for seed in range(seeds):
        for place, row in enumerate(("recent-degree", "undergs")):
            key = f"seed{seed}-{row}"
            figures = [
                {
                    "historical": share, "protocol": protocol, "mrr": 50.0 + 10 * place + seed, "auc": 90.0,
                    "val_mrr": 40.0 + place, "val_auc": 80.0, "edges": 30, "cold_mrr": None, "cold_edges": 0,
                    "val_by_snapshot": {"snapshot": [4, 5], "mrr": [41.0, 39.0]},
                    "by_snapshot": {"snapshot": [6, 7, 9], "mrr": [50.0, 55.0, 45.0]},
                }
                for share in (0.0, 0.5)
            ]  # fmt: skip
            history = [{"epoch": k, "loss": 0.5 - 0.1 * k, "val_mrr": 0.4, "cpu_seconds": 1.0} for k in range(2)]
            record = {"row": row, "key": key, "seed": seed, "figures": figures, "cpu_seconds": 3.0}
            folder.save_unit(key, {**record, "peak_rss_bytes": 2**29, "history": history if place else []})
            if place:
                diagnose(path, key, row=row, store=STORE)
    folder.write_json("summary.json", [])
    return path


def event_run(path: Path) -> Path:
    """Write an unfinished run on labels of events."""
    folder = _begin(path, "wikipedia", split={"train": 0.7})
    key = "seed0-undergs"
    counts = [
        {"about": "test events, the 1 % with the highest scores", "classes": ["0", "1"], "counts": [[90, 5], [3, 2]]}
    ]
    diagnose(path, key, row="undergs", confusion=counts, store=STORE)
    history = [{"epoch": 0, "loss": 0.01, "val_auc": 0.9, "val_ap": float("nan"), "cpu_seconds": 1.0}]
    record = {"row": "undergs", "seed": 0, "key": key, "auc": 88.0, "ap": 4.0, "accuracy": 99.0, "recall_at_1pct": 20.0}
    folder.save_unit(key, {**record, "val_auc": 90.0, "cpu_seconds": 30.0, "history": history})
    (path / "checkpoints" / "seed1-undergs.pt").write_bytes(b"")
    (path / "checkpoints" / "seed0-undergs.model.pt").write_bytes(b"")
    return path


def study_run(path: Path) -> Path:
    """Write the run of an ablation, whose units name several variants."""
    folder = RunFolder(path, {"settings": {"hidden": 8}})
    for seed in range(2):
        scores = {"latency|2": {"macro_f1": 60.0 + seed}, "latency|8": {"macro_f1": 70.0}}
        folder.save_unit(f"spiking-{seed}", {"scores": scores, "seed": seed})
    folder.write_json("summary.json", [])
    return path
