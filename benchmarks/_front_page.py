"""What docs/dysign.md says of accuracy and operations: tables, answers and a picture, of whatever points were run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from _comparison_page import Board, measured
from _comparison_pictures import write_names
from _front_points import LATENCY_8, RELU, Point, best, front, points, shared
from _studies import fill
from comparison import STUDIES as SYSTEMS

from dgl_dysign.experiments import plots

#: Columns of the table of all points: entry, and how its study's name ends.
COLUMNS = {
    "logistic regression": ("logistic-regression", ""),
    "ReLU network": ("relu-network", ""),
    "GCN": ("gcn", ""),
    "latency 1": ("dysign-step", ""),
    "2": ("dysign", "-latency-2"),
    "4": ("dysign", "-latency-4"),
    "8": ("dysign", ""),
}
COLOURS = {
    "logistic-regression": "#999999", "relu-network": "#0072b2", "gcn": "#009e73", "dysign-step": "#d55e00",
    "dysign": "#e69f00",
}  # fmt: skip
#: Panels of the picture: what of a point, and its label.
PANELS = {
    "operations": "k (MAC + SynOps) a node",
    "energy": "nJ a node (model, not measurement)",
    "latency": "latency",
}
FLOOR = 70  # of the picture


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *lines])


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _share(point: Point, those: Mapping[str, Point]) -> str:
    return f"{_short(100 * point.energy / those[RELU].energy)} %"


def _score(point: Point, figure: str) -> str:
    score = point.row.figure(figure)
    return f"{score['mean']:.1f}" + (f" ± {score['std']:.1f}" if len(point.runs) > 1 else "")


def every_point(those: Mapping[str, Point], inputs: Iterable[str]) -> str:
    """Return a table of all points on the first split and seed: a line for each way in which features enter."""

    def cell(point: Point | None) -> str:
        if point is None:
            return "-"
        return f"{point.first.scorings[0].scores['macro_f1']:.1f} / {point.validation:.1f} · {_short(point.energy)}"

    lines = [[each, *(cell(those.get(f"{row} {each}{end}")) for row, end in COLUMNS.values())] for each in inputs]
    text = _table(["inputs", *COLUMNS], (line for line in lines if set(line[1:]) != {"-"}))
    missing = ", ".join(f"`{line[0]}`" for line in lines if set(line[1:]) == {"-"})
    return text + (f"\n\n-: not measured; nor was anything of {missing}." if missing else "\n\n-: not measured.")


def repeated(those: Mapping[str, Point]) -> str:
    """Return a table of the points that were run several times, dearest first; those of the front are bold."""
    bold = {point.row.name: f"**{point.study}**" for point in front(those.values())}
    head = ["row", "inputs", "runs", "Macro-F1", "beside the ReLU network", "latency", "neurons fire", "k MAC"]
    lines = [
        [
            f"`{point.entry}`", bold.get(point.row.name, point.study), str(len(point.runs)),
            _score(point, "macro_f1"), point.beside(RELU),
            f"{point.latency:.0f}" if point.spiking else "-",
            f"{100 * point.cost('firing_rate'):.0f} %" if point.spiking else "-",
            *(_short(point.cost(name) / 1000) for name in ("macs", "synops")), _short(point.energy),
            _share(point, those),
        ]
        for point in sorted(those.values(), key=lambda point: -point.energy)
        if len(point.runs) > 1
    ]  # fmt: skip
    return _table([*head, "k SynOps", "nJ", "of the ReLU network's"], lines)


def parts(those: Mapping[str, Point], inputs: Iterable[str]) -> str:
    """Return what sparse inputs and what spikes change, apart, on the runs that all three points have."""
    lines = []
    for each in inputs:
        three = [those[name] for name in (RELU, f"relu-network {each}", f"dysign-step {each}") if name in those]
        if len(three) == 3:
            runs = shared(three)
            whole, sparse, spikes = (point.on(runs) for point in three)
            nj = [_short(point.energy) for point in three]
            cells = f"{sparse - whole:+.1f}", f"{nj[0]} → {nj[1]}", f"{spikes - sparse:+.1f}", f"{nj[1]} → {nj[2]}"
            lines.append([each, str(len(runs)), *cells])
    return _table(["inputs", "runs", "owed to inputs: Macro-F1", "nJ", "owed to spikes: Macro-F1", "nJ"], lines)


def answers(those: Mapping[str, Point]) -> str:
    """Return what the bars come to."""
    few = {1: "dysign-step floats", 2: "dysign floats-latency-2", 4: "dysign floats-latency-4"}
    lines = [
        f"- Latency {latency} beside 8, floats as inputs: {_beside(those[name], LATENCY_8)}."
        for latency, name in few.items()
        if name in those and LATENCY_8 in those
    ]
    for called, spiking in (("spiking", True), ("not spiking", False)):
        cheap = [p for p in those.values() if p.spiking is spiking and p.energy <= those[RELU].energy / 10]
        if cheap:
            chosen = best(cheap)
            lines.append(
                f"- A tenth of the ReLU network's model energy at most, {called}: on validation the best is "
                f"`{chosen.row.name}`, at {_share(chosen, those)}; {_beside(chosen, RELU)} beside the ReLU network."
            )
    return "\n".join(lines) or "Not measured."


def _beside(point: Point, control: str) -> str:
    return f"{point.beside(control)} ({len(point.runs)} run{'s' * (len(point.runs) > 1)})"


def costs(out: Path) -> str:
    """Return a table of what each row of the table of DBLP costs, where it could be counted, cheapest first."""
    systems = (name for name in SYSTEMS if name.startswith("dblp-40-"))
    rows = measured(Board(("floats", "others", *systems), "dblp", ("macro_f1",), (), "dblp-40"), out)
    counted = sorted((point for point in map(Point, rows) if point.energy), key=lambda point: point.energy)
    names = ("macs", "synops", "model_energy_pj", "message_bits", "parameter_bytes")
    lines = [
        [f"`{point.row.name}`", _score(point, "macro_f1"), str(len(point.runs))]
        + [_short(point.cost(name) / 1000) for name in names]
        for point in counted
    ]
    return _table(["row", "Macro-F1", "runs", "k MAC", "k SynOps", "nJ", "message kbit", "kB of weights"], lines)


def links(out: Path) -> str:
    """Return the table of `SpikingUnderGS` at two latencies."""
    control = "spiking-undergs 8"
    board = Board(("links-latency-8", "links-latency-1"), "otc", ("mrr",), (control,), "otc")
    rows = [Point(row) for row in measured(board, out, lambda study, entry: f"{entry} {study[-1]}")]
    lines = [
        [
            point.study, _score(point, "mrr"), str(len(point.runs)), point.beside(control),
            f"{point.cost('cpu_seconds'):.0f}",
        ]
        for point in rows
        if point.entry == "spiking-undergs"
    ]  # fmt: skip
    return _table(["latency", "MRR", "runs", "beside latency 8", "CPU s"], lines)


def draw(those: Mapping[str, Point], docs: Path) -> str:
    """Draw Macro-F1 on test against three costs, beside a page; return what shows it there."""
    figure, axes = plots.pyplot().subplots(1, 3, figsize=(13, 4.2), sharey=True)
    for axis, (price, label) in zip(axes, PANELS.items(), strict=True):
        for point in those.values():
            look = {"markersize": 7} if len(point.runs) > 1 else {"markersize": 4, "fillstyle": "none"}
            if x := getattr(point, price):
                axis.plot(x, point.row.figure("macro_f1")["mean"], "o", color=COLOURS[point.entry], **look)
        axis.set(xlabel=label, ylim=(FLOOR, None), xscale="log")
        axis.grid(alpha=0.2)
        axis.margins(0.1)
    axes[0].set(ylabel="Macro-F1 on test in %")
    axes[2].set(xticks=(1, 2, 4, 8), xticklabels=(1, 2, 4, 8))
    axes[2].minorticks_off()
    for entry, colour in COLOURS.items():
        axes[2].plot([], [], "o", color=colour, label=entry)
    axes[2].legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    named = {point.row.name for point in front(those.values())}
    drawn = [
        (point.energy, point.row.figure("macro_f1")["mean"], point.study if name in named else "")
        for name, point in those.items()
    ]
    write_names(axes[1], [each for each in drawn if each[1] > FLOOR])
    plots.save(figure, docs / "images/front.png")
    return "![Macro-F1 against operations, model energy and latency; filled points: several runs](images/front.png)"


def write(pages: Sequence[Path], out: Path, studies: Mapping[str, str]) -> None:
    """Write tables, answers and a picture into pages, between their markers."""
    nodes = [name for name, line in studies.items() if line.startswith("nodes") and name != "others"]
    inputs = [name for name in nodes if not name.endswith(("-2", "-4", "-penalty"))]
    those, texts = points(out, nodes), {}
    if RELU in those:
        texts = {
            "front-points": every_point(those, inputs), "front": repeated(those), "front-parts": parts(those, inputs),
            "front-answers": answers(those), "front-rows": costs(out),
        }  # fmt: skip
    if (out / "links-latency-1").exists():
        texts["front-links"] = links(out)
    if not texts:
        raise SystemExit(f"{out} has no run of {RELU}, which all is compared with: --only floats --rows relu-network")
    for page in pages:
        fill(page, texts | ({"front-picture": draw(those, page.parent)} if RELU in those else {}))
