"""What docs/dysign.md says of accuracy and operations: tables, answers and a picture, of runs and of what it says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from _comparison_page import Board, measured
from _comparison_pictures import write_names
from _front_points import RELU, Point, Shown, front, number, points, shared
from _studies import fill, made
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
#: Tables whose lines have runs: their columns. Lines are told apart by what stands before the runs and is no figure.
HEADS = {
    "front": "row | inputs | runs | Macro-F1 | beside the ReLU network | latency | neurons fire | k MAC | k SynOps | nJ"
    " | of the ReLU network's",
    "front-latency": "inputs | latency | runs | Macro-F1 | beside latency 1 | beside latency 8 | nJ",
    "front-parts": "inputs | runs | owed to inputs: Macro-F1 | nJ | owed to spikes: Macro-F1 | nJ",
    "front-rows": "row | Macro-F1 | runs | k MAC | k SynOps | nJ | message kbit | kB of weights",
    "front-links": "latency | MRR | runs | beside latency 8 | CPU s",
}
PANELS = ("k (MAC + SynOps) a node, several runs", "nJ a node (model, not measurement)", "latency")
FLOOR = 70  # of the picture


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *lines])


def _lines(text: str) -> list[list[str]]:
    """Return the cells of a table's lines, without its head."""
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]


def _name(line: Sequence[str]) -> str:
    """Return the name of the point of a line of the table `front`."""
    return f"{line[0].strip('`')} {line[1].strip('*')}"


def merged(text: str, name: str, lines: Iterable[list[str]]) -> list[list[str]]:
    """Return the lines of a table: new ones, and those of the page unless there is a new one of as many runs."""
    head = HEADS[name].split(" | ")
    runs, keys = head.index("runs"), 2 if name in ("front", "front-latency") else 1
    known: dict[tuple[str, ...], list[str]] = {}
    for line in [*(line for line in _lines(made(text, name)) if len(line) == len(head)), *lines]:
        key = tuple(cell.strip("*") for cell in line[:keys])
        if key not in known or int(line[runs]) >= int(known[key][runs]):
            known[key] = line
    return list(known.values())


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _score(point: Point, figure: str) -> str:
    score = point.row.figure(figure)
    return f"{score['mean']:.1f}" + (f" ± {score['std']:.1f}" if len(point.runs) > 1 else "")


def every_point(text: str, those: Mapping[str, Point], inputs: Sequence[str]) -> tuple[str, dict[str, Shown]]:
    """Return a table of all points on the first split and seed, a line for each way in which features enter, and these.

    What the page says of a point that had more runs than are at hand stays.
    """
    runs = {_name(line): int(line[2]) for line in _lines(made(text, "front"))}
    cells = {
        f"{row} {line[0]}{end}": cell
        for line in _lines(made(text, "front-points"))
        for (row, end), cell in zip(COLUMNS.values(), line[1:], strict=True)
        if cell != "-"
    }
    for name, point in those.items():
        if len(point.runs) >= runs.get(name, 1):
            score = point.first.scorings[0].scores["macro_f1"]
            cells[name] = f"{score:.1f} / {point.validation:.1f} · {_short(point.energy)}"
    lines = [[each, *(cells.get(f"{row} {each}{end}", "-") for row, end in COLUMNS.values())] for each in inputs]
    table = _table(["inputs", *COLUMNS], (line for line in lines if set(line[1:]) != {"-"}))
    missing = ", ".join(f"`{line[0]}`" for line in lines if set(line[1:]) == {"-"})
    remark = f"-: not measured; nor was anything of {missing}." if missing else "-: not measured."
    return f"{table}\n\n{remark}", {name: Shown.of(cell) for name, cell in cells.items()}


def repeated(those: Mapping[str, Point]) -> list[list[str]]:
    """Return a line for each point that was run several times."""
    return [
        [
            f"`{point.entry}`", point.study, str(len(point.runs)), _score(point, "macro_f1"), point.beside(RELU),
            f"{point.latency:.0f}" if point.spiking else "-",
            f"{100 * point.cost('firing_rate'):.0f} %" if point.spiking else "-",
            *(_short(point.cost(name) / 1000) for name in ("macs", "synops")), _short(point.energy),
            f"{_short(100 * point.energy / those[RELU].energy)} %",
        ]
        for point in those.values()
        if len(point.runs) > 1
    ]  # fmt: skip


def latencies(out: Path, inputs: Iterable[str]) -> list[list[str]]:
    """Return a line for each latency at which spikes were trained, beside others on the same inputs."""
    lines = []
    for each in inputs:
        beside = f"dysign-step {each}", f"dysign {each}"
        board = Board((each, f"{each}-latency-2", f"{each}-latency-4"), "dblp", ("macro_f1",), beside, "dblp-40")
        rows = [Point(row) for row in measured(board, out, lambda study, entry: f"{entry} {study}")]
        spiking = sorted((point for point in rows if point.spiking), key=lambda point: point.latency)
        lines += [
            [
                each, f"{point.latency:.0f}", str(len(point.runs)), _score(point, "macro_f1"),
                *map(point.beside, beside), _short(point.energy),
            ]
            for point in spiking
            if len(spiking) > 1
        ]  # fmt: skip
    return lines


def parts(those: Mapping[str, Point], inputs: Iterable[str]) -> list[list[str]]:
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
    return lines


def answers(lines: Iterable[Sequence[str]], cells: Mapping[str, Shown]) -> str:
    """Return what the bar of a tenth of the energy comes to, of lines of `repeated`."""
    sentences = []
    for called, spiking in (("spiking", True), ("not spiking", False)):
        cheap = {_name(line): line for line in lines if number(line[-1]) <= 10 and (line[5] != "-") is spiking}
        if chosen := max(cheap.keys() & cells, key=lambda name: cells[name].validation, default=None):
            line = cheap[chosen]
            sentences.append(
                f"- A tenth of the ReLU network's model energy at most, {called}: on validation the best is "
                f"`{chosen}`, at {line[-1]}; {line[4]} ({line[2]} runs) beside the ReLU network."
            )
    return "\n".join(sentences) or "Not measured."


def costs(out: Path) -> list[list[str]]:
    """Return what each row of the table of DBLP costs, where it could be counted."""
    systems = (name for name in SYSTEMS if name.startswith("dblp-40-"))
    rows = measured(Board(("floats", "others", *systems), "dblp", ("macro_f1",), (), "dblp-40"), out)
    names = ("macs", "synops", "model_energy_pj", "message_bits", "parameter_bytes")
    return [
        [f"`{point.row.name}`", _score(point, "macro_f1"), str(len(point.runs))]
        + [_short(point.cost(name) / 1000) for name in names]
        for point in map(Point, rows)
        if point.energy
    ]


def links(out: Path) -> list[list[str]]:
    """Return what `SpikingUnderGS` comes to at two latencies."""
    control = "spiking-undergs 8"
    board = Board(("links-latency-8", "links-latency-1"), "otc", ("mrr",), (control,), "otc")
    rows = [Point(row) for row in measured(board, out, lambda study, entry: f"{entry} {study[-1]}")]
    return [
        [
            point.study, _score(point, "mrr"), str(len(point.runs)), point.beside(control),
            f"{point.cost('cpu_seconds'):.0f}",
        ]
        for point in rows
        if point.entry == "spiking-undergs"
    ]  # fmt: skip


def draw(cells: Mapping[str, Shown], lines: Iterable[Sequence[str]], docs: Path) -> str:
    """Draw Macro-F1 on test against three costs, beside a page; return what shows it there."""
    several, named, drawn = {_name(line): line for line in lines}, front(cells), []
    figure, axes = plots.pyplot().subplots(1, 3, figsize=(13, 4.2), sharey=True)
    for name, cell in cells.items():
        entry, study = name.split()
        line = several.get(name)
        score = number(line[3]) if line else cell.score
        steps = {"dysign-step": 1, "dysign": int(study[-1]) if "-latency-" in study else 8}.get(entry)
        operations = number(line[7]) + number(line[8]) if line else None
        look = {"markersize": 7} if line else {"markersize": 4, "fillstyle": "none"}
        for axis, x in zip(axes, (operations, cell.energy, steps), strict=True):
            if x:
                axis.plot(x, score, "o", color=COLOURS[entry], **look)
        drawn.append((cell.energy, score, study if name in named else ""))
    for axis, label in zip(axes, PANELS, strict=True):
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
    write_names(axes[1], [each for each in drawn if each[1] > FLOOR])
    plots.save(figure, docs / "images/front.png")
    return "![Macro-F1 against operations, model energy and latency; filled points: several runs](images/front.png)"


def write(pages: Sequence[Path], out: Path, studies: Mapping[str, str]) -> None:
    """Write tables, answers and a picture into pages, between markers; what `out` lacks stays as they have it."""
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    nodes = [name for name, line in studies.items() if line.startswith("nodes") and name != "others"]
    inputs = [name for name in nodes if not name.endswith(("-2", "-4", "-penalty"))]
    those, on_links = points(out, nodes), links(out)
    if RELU not in those and (those or not on_links):
        raise SystemExit(f"{out} has no run of {RELU}, which all is compared with: --only floats --rows relu-network")
    found = {
        "front": repeated(those), "front-latency": latencies(out, inputs), "front-parts": parts(those, inputs),
        "front-rows": costs(out), "front-links": on_links,
    }  # fmt: skip
    tables = {name: merged(text, name, lines) for name, lines in found.items()}
    tables["front"].sort(key=lambda line: -number(line[9]))
    tables["front-rows"].sort(key=lambda line: number(line[5]))
    tables["front-links"].sort(key=lambda line: number(line[0]))
    tables["front-parts"].sort(key=lambda line: inputs.index(line[0]))
    tables["front-latency"].sort(key=lambda line: (inputs.index(line[0]), number(line[1])))
    every, cells = every_point(text, those, inputs)
    named = front(cells)
    for line in tables["front"]:
        study = line[1].strip("*")
        line[1] = f"**{study}**" if _name(line) in named else study
    texts = {name: _table(HEADS[name].split(" | "), lines) for name, lines in tables.items()}
    texts |= {"front-points": every, "front-answers": answers(tables["front"], cells)}
    for page in pages:
        fill(page, texts | {"front-picture": draw(cells, tables["front"], page.parent)})
