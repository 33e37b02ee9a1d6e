"""The ``dysign-prep`` command: raw files to prepared folders, and what can be done with those."""

import errno
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from enum import Enum
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any

import typer

# pyarrow, numpy and matplotlib are imported inside the commands, so that --help answers at once.
from data_prep.options import CHOICES, EDGE_LIST, PrepareOptions
from data_prep.synth.published import FORMATS, MARKER, Format, Request
from data_prep.terminal import progress, short_value, show_counts, show_rows
from dgl_dysign.cli import App, Config, Quiet, Version
from dgl_dysign.errors import DataError

app = App("dysign-prep", "Turn raw files of events into Parquet snapshots for dgl_dysign.")

Raw = Annotated[Path, typer.Argument(metavar="RAW", help="Folder with the raw files.", show_default=False)]
EdgeList = Annotated[
    Path,
    typer.Argument(
        metavar="RAW", help="A table of edges, a folder of its parts, or - for standard input.", show_default=False
    ),
]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; it must not exist.", show_default=False)]
Prepared = Annotated[Path, typer.Argument(metavar="OUT", help="A prepared folder.", show_default=False)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT if this tool made it.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be read and written; write nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]

# Values to choose from, as typer wants them.
_CHOICES: dict[str, Any] = {
    name: Enum(name, {value: value for value in values}, type=str) for name, values in CHOICES.items()
}


def _option(kind: Any, help_text: str, *names: str, panel: str | None = None, **settings: Any) -> Any:
    return Annotated[kind, typer.Option(*names, help=help_text, rich_help_panel=panel, **settings)]


_COLUMNS, _FORM, _NODES = "Columns", "How the file is written", "Nodes"
_OWN, _KNOWN, _FOLDERS = "Your own data", "Known data sets", "Prepared folders"
#: Options of :class:`PrepareOptions` that the command line has, in the order of their help.
_OPTIONS: dict[str, Any] = {
    "src": _option(str | None, "Column of sources: name or number from 1.", panel=_COLUMNS),
    "dst": _option(str | None, "Column of destinations.", panel=_COLUMNS),
    "time": _option(str | None, "Column of times.", panel=_COLUMNS),
    "weight": _option(str | None, "Column of weights (a rating, an amount).", panel=_COLUMNS),
    "label": _option(str | None, "Column of classes, of the events or in the file of --labels.", panel=_COLUMNS),
    "src_label": _option(str | None, "Column of classes of the sources; an empty one is none.", panel=_COLUMNS),
    "dst_label": _option(str | None, "Column of classes of the destinations.", panel=_COLUMNS),
    "edge_features": _option(str | None, "First column of features; they go on to the last.", panel=_COLUMNS),
    "delimiter": _option(str | None, "Character between columns; default: as most lines.", panel=_FORM),
    "quote": _option(
        bool | None, "Whether fields may stand in quotes; default: if some do.", "--quote/--no-quote", panel=_FORM
    ),
    "comment": _option(str | None, "What lines that are no rows begin with; default: as line 1.", panel=_FORM),
    "header": _option(
        bool | None, "Whether line 1 is a header; default: if it has names.", "--header/--no-header", panel=_FORM
    ),
    "decimal": _option(
        _CHOICES["decimal"] | None, "Sign before a number's fraction; default: as in the rows.", panel=_FORM
    ),
    "encoding": _option(str | None, "How the text is written (latin-1, utf-16, ...); default: UTF-8.", panel=_FORM),
    "ids": _option(_CHOICES["ids"] | None, "What ids are; default: as most rows.", panel=_FORM),
    "time_format": _option(str | None, "How times are written, as in strptime; else ISO.", panel=_FORM),
    "time_unit": _option(
        _CHOICES["time_unit"] | None, "What times count; none: steps; default: by their size.", panel=_FORM
    ),
    "bipartite": _option(
        bool | None,
        "Whether src and dst are two types of nodes; default: by names.",
        "--bipartite/--no-bipartite",
        panel=_NODES,
    ),
    "undirected": _option(bool, "Edges have no direction.", "--undirected", panel=_NODES),
    "labels": _option(Path | None, "File of nodes and classes, perhaps with times.", panel=_NODES),
    "labels_at": _option(
        str | None,
        "Which class counts where a file has times: last (the default), first, or that known at a time.",
        panel=_NODES,
    ),
    "targets": _option(
        Path | None, "File of nodes and numbers to be learnt of them, perhaps with times.", panel=_NODES
    ),
    "name": _option(str | None, "Name of the data set; default: that of the file."),
    "every": _option(
        str | None,
        "Snapshots of equal width from the first event (15s, 30m, 1h, 7d, 2w, or seconds), of the calendar (hour, "
        "day, week, month, year, roland-week: weeks cut at New Year), or one a distinct time (step).",
        panel="Snapshots",
    ),
    "snapshots": _option(int | None, "So many snapshots of equally many events.", panel="Snapshots", min=1),
    "merge": _option(int, "Make one snapshot of so many neighbouring ones.", panel="Snapshots", min=1),
    "features": _option(_CHOICES["features"], "Node features a snapshot.", panel="Node features"),
    "dim": _option(int | None, "Width: of walks 128, of spectral 256 for each decay.", panel="Node features", min=1),
    "seed": _option(int, "Seed of the features.", panel="Node features", min=0),
    "decay": _option(
        list[float] | None,
        "Weight of an event after one snapshot; repeat it for several (spectral).",
        panel="Node features",
        min=0.0,
        max=1.0,
    ),
    "on_error": _option(
        _CHOICES["on_error"], "At a bad row: stop and name it, or quarantine it in rejected.parquet.", panel="Reading"
    ),
    "max_bytes": _option(int | None, "Most bytes that a compressed file may grow to.", panel="Reading", min=1),
    "allow_unknown_labels": _option(
        bool, "Keep labels of nodes that no event names.", "--allow-unknown-labels", panel="Reading"
    ),
    "engine": _option(_CHOICES["engine"], "What reads the parts; dask needs its extra.", panel="Engine"),
    "workers": _option(int, "Processes that read parts; 1: this one.", panel="Engine", min=1),
    "scheduler": _option(str | None, "Address of a running Dask scheduler.", panel="Engine"),
    "overwrite": Overwrite,
}


def _add_dataset(dataset: str, about: str, example: str, raw_argument: Any = Raw, features: str = "none") -> None:
    """Add the command that prepares one format of raw files; its options are fields of :class:`PrepareOptions`."""

    def command(
        raw: Path, out: Path, dry_run: bool, quiet: bool, as_json: bool, config: Path | None, **chosen: Any
    ) -> None:
        _prepare(dataset, raw, out, _options(chosen), dry_run, quiet, as_json)

    options = {name: kind for name, kind in _OPTIONS.items() if dataset == "edges" or name not in EDGE_LIST}
    kinds = {"raw": raw_argument, "out": Out, **options, "dry_run": DryRun}
    _add_command(dataset, about, example, kinds, command, _OWN if dataset == "edges" else _KNOWN, features)


def _add_command(
    name: str,
    about: str,
    example: str,
    kinds: dict[str, Any],
    command: Callable[..., None],
    panel: str,
    features: str | None = None,
) -> None:
    """Add a command with some arguments and options, those of :class:`PrepareOptions` with their defaults."""
    kinds = {**kinds, "quiet": Quiet, "as_json": Json, "config": Config}
    defaults = {field.name: field.default for field in fields(PrepareOptions)} | {"features": features}
    defaults |= {"raw": Parameter.empty, "out": Parameter.empty, "config": None}
    defaults |= dict.fromkeys(("dry_run", "quiet", "as_json"), False)
    for option in _CHOICES.keys() & kinds.keys():
        defaults[option] = defaults[option] and _CHOICES[option](defaults[option])
    parameters = [
        Parameter(option, Parameter.KEYWORD_ONLY, default=defaults[option], annotation=kind)
        for option, kind in kinds.items()
    ]
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    app.command(name, help=about, epilog=f"Example: {example}", rich_help_panel=panel)(command)


def _options(chosen: dict[str, Any]) -> PrepareOptions:
    return PrepareOptions(**{name: value.value if isinstance(value, Enum) else value for name, value in chosen.items()})


def _prepare(
    dataset: str, raw: Path, out: Path, options: PrepareOptions, dry_run: bool, quiet: bool, as_json: bool
) -> None:
    from data_prep.pipeline import FileInput, opened, write_folder
    from data_prep.writer import check_prepared

    start = time.perf_counter()
    if dry_run:
        check_prepared(out, options.overwrite)
    with _what_to_do(), opened(dataset, raw, None if dry_run else out, options) as (events, options):
        assert isinstance(events, FileInput)
        if dry_run:
            from data_prep.inspection import reading_of

            _show_reading(reading_of(dataset, raw, out, events.source, options), events.unix, quiet, as_json)
            return
        takes = _say_takes(events.source, dataset == "edges", quiet or as_json)
        with progress(quiet or as_json) as add:
            manifest = write_folder(events, out, options, add)
    _report(out, manifest, time.perf_counter() - start, quiet, as_json, takes)


@contextmanager
def _what_to_do() -> Iterator[None]:
    """Say how to go on after an interrupt, and what helps where memory or disk do not suffice."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the same command goes on where this one stopped") from None
    except MemoryError as error:
        raise DataError(f"out of memory ({error}); give a smaller --dim, or --features none") from error
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        remedy = "free some space and run the same command again, which goes on where this one stopped"
        raise DataError(f"{error}; {remedy}") from error


def _inspect(raw: Path, quiet: bool, as_json: bool, config: Path | None, **chosen: Any) -> None:
    from data_prep.inspection import opened_any, reading_of

    with opened_any(raw, _options(chosen)) as (dataset, path, source):
        reading = reading_of(dataset, path, Path("prepared") / source.dataset, source, _options(chosen))
    _show_reading(reading, source.unix, quiet, as_json)


def _show_reading(reading: dict[str, Any], unix: bool, quiet: bool, as_json: bool) -> None:
    """Print what files would be read as, and the command that prepares them."""
    if as_json:
        print(json.dumps(reading))
    elif not quiet:
        _show_takes(reading["read_as"])
        rows = reading["rows"]
        cells = [[short_value(name, value, unix) for name, value in row.items()] for row in rows]
        show_rows("first rows", list(rows[0]), cells)
        for text in reading["bad_rows"]:
            print(f"bad row: {text}")
        if reading["bad_rows"] and "--on-error quarantine" not in reading["command"]:
            print("the command ends at the first bad row: correct them, or add --on-error quarantine")
        print(*(f"{name}: {reading[name]}" for name in ("snapshot", "out")), reading["command"], sep="\n")


def _say_takes(source: Any, is_edges: bool, quiet: bool) -> list[dict[str, str]]:
    """Say, and return, what was taken for what."""
    if not is_edges and not any(table and table.look for table in (source.nodes, source.targets)):
        return []  # of a known format, without the time that the import takes
    from data_prep.inspection import nodes_read_as, read_as

    takes = (read_as if is_edges else nodes_read_as)(source)
    if takes and not quiet:
        _show_takes(takes, stderr=True)
    return takes


def _show_takes(takes: Sequence[dict[str, str]], stderr: bool = False) -> None:
    rows = [(take["what"], take["taken"], f"{take['why']} ({take['option']})".removesuffix(" ()")) for take in takes]
    show_rows("read as", ("what", "taken as", "why (and what overrules it)"), rows, stderr)


def _report(
    out: Path,
    manifest: dict[str, Any],
    seconds: float,
    quiet: bool,
    as_json: bool,
    takes: Sequence[dict[str, str]] = (),
    before: dict[str, Any] | None = None,
) -> None:
    keys = (
        "dataset", "num_nodes", "num_edges", "num_snapshots", "num_classes", "duplicate_rows", "rejected_rows",
        "features",
    )  # fmt: skip
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    lines = sum(source["lines"] for source in manifest["sources"])
    counts = {**{key: manifest[key] for key in keys}, "lines": lines, "bytes": size, "seconds": round(seconds, 3)}
    summary = {**counts, "path": str(out)}
    if as_json:
        print(json.dumps(summary | ({"read_as": takes} if takes else {})))
    elif not quiet:
        from data_prep.inspection import words_of

        show_counts(manifest["dataset"], summary | words_of(manifest, before))


_add_dataset(
    "edges",
    "Prepare any table of timed edges: CSV and other text, Parquet, Feather, Arrow; a file, its parts, or a pipe (-)."
    "\n\nWhat stands in which column, and what times and ids are, is seen in the first rows, unless an option says it. "
    "A snapshot is a calendar week where times are dates, else a step. Bitcoin, CollegeMsg, Wiki-Talk, Stack-Overflow "
    "and Reddit's hyperlinks are known by their files' names.",
    "[bold]dysign-prep edges mine.csv prepared/mine[/bold]  or  "
    "[bold]dysign-prep edges mine.csv prepared/mine --src from --dst to --time when --weight 4[/bold]",
    EdgeList,
)


def _append(raw: Path, out: Path, quiet: bool, as_json: bool, config: Path | None, **chosen: Any) -> None:
    from data_prep.appending import opened

    start = time.perf_counter()
    with _what_to_do(), opened(out, raw, _options(chosen)) as ready:
        takes = _say_takes(ready.events.source, ready.events.source.look is not None, quiet or as_json)
        with progress(quiet or as_json) as add:
            manifest = ready.run(add)
    if manifest == ready.manifest and not quiet:
        print("nothing to do: the folder has these events from its last append", file=sys.stderr)
    _report(out, manifest, time.perf_counter() - start, quiet, as_json, takes, ready.manifest)


def _some(*names: str) -> dict[str, Any]:
    return {name: kind for name, kind in _OPTIONS.items() if name in names}


_READING = (*EDGE_LIST, "on_error", "max_bytes", "allow_unknown_labels", "engine", "workers", "scheduler")
_add_command(
    "append",
    "Add later events to a prepared folder.\n\nSnapshots go on by its own rule, new nodes get the next numbers, and "
    "all that is in it stays as it is. RAW has the format that the folder was prepared from; options of an edge list "
    "are given again. Events before the end of the last snapshot are refused.",
    "[bold]dysign-prep append prepared/otc tomorrow.csv[/bold]",
    {
        "out": Annotated[Path, typer.Argument(metavar="PREPARED", help="A prepared folder.")],
        "raw": EdgeList,
        **_some(*_READING),
    },
    _append,
    _OWN,
)
_add_command(
    "inspect",
    "Say what a file of edges would be read as.\n\nIts columns and times, its first rows, and the command that "
    "prepares it. Nothing is written.",
    "[bold]dysign-prep inspect mine.csv[/bold]",
    {"raw": EdgeList, **_some(*EDGE_LIST, "every", "snapshots", "merge", "max_bytes")},
    _inspect,
    _OWN,
)

_add_dataset(
    "dblp",
    "Prepare the DBLP co-author graph, or any folder of `src dst time` lines with node2label.txt.",
    "[bold]dysign-prep dblp raw/dblp prepared/dblp --features spectral[/bold]",
    features="spectral",
)
_add_dataset(
    "tmall",
    "Prepare Tmall: tmall.txt (`src dst time` lines) and node2label.txt.",
    "[bold]dysign-prep tmall raw/tmall prepared/tmall --merge 10 --features degree[/bold]",
)
_add_dataset(
    "patent",
    "Prepare US patents: SpikeNet's JSON lines, NBER's cite75_99 or SNAP's cit-Patents with apat63_99.",
    "[bold]dysign-prep patent raw/patent prepared/patent --merge 2[/bold]",
)
_add_dataset(
    "wikipedia",
    "Prepare Wikipedia edits: JODIE's csv, TGN's and DyGLib's ml_wikipedia, or TGL's edges.csv.",
    "[bold]dysign-prep wikipedia raw/wikipedia prepared/wikipedia --every 1h[/bold]",
)
_add_dataset(
    "reddit",
    "Prepare Reddit posts: JODIE's csv, TGN's and DyGLib's ml_reddit, or TGL's edges.csv.",
    "[bold]dysign-prep reddit raw/reddit prepared/reddit --every 1h[/bold]",
)


class Form(str, Enum):
    """What a prepared folder can be written as."""

    csv = "csv"
    tgl = "tgl"
    dyglib = "dyglib"


@app.command(rich_help_panel=_FOLDERS, epilog="Example: [bold]dysign-prep describe prepared/dblp --png dblp.png[/bold]")
def describe(
    out: Prepared,
    png: Annotated[Path | None, typer.Option(help="Picture to write; default OUT/describe.png.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Print counts beside the published ones, and draw events, nodes, labels and degrees."""
    from data_prep import describe as look

    with progress(quiet or as_json) as add:
        description = look.describe(out, add)
    png = png or out / "describe.png"
    look.draw(description, png)
    if as_json:
        print(json.dumps({**description.to_json(), "png": str(png)}))
    elif not quiet:
        look.show_description(description, png)


@app.command(rich_help_panel=_FOLDERS, epilog="Example: [bold]dysign-prep verify prepared/dblp[/bold]")
def verify(out: Prepared, quiet: Quiet = False, as_json: Json = False) -> None:
    """Check hashes, columns and everything else that a prepared folder promises; exit status 2 at the first fault."""
    from dgl_dysign.data.verify import verify as check_folder

    start = time.perf_counter()
    checks: dict[str, int] = {}
    with progress(quiet or as_json) as add:
        manifest = check_folder(out, on_check=checks.__setitem__, progress=add)
    seconds = round(time.perf_counter() - start, 3)
    if as_json:
        done = [{"check": check, "count": count} for check, count in checks.items()]
        print(json.dumps({"dataset": manifest["dataset"], "checks": done, "seconds": seconds, "path": str(out)}))
    elif not quiet:
        show_counts(f"{manifest['dataset']}: all good", {**checks, "seconds": seconds, "path": str(out)})


@app.command(
    rich_help_panel=_FOLDERS,
    epilog="Example: [bold]dysign-prep export prepared/wikipedia tgl/WIKI --to tgl --shift-time[/bold]",
)
def export(
    out: Prepared,
    dest: Annotated[
        Path, typer.Argument(metavar="DEST", help="Folder to write; it must not exist.", show_default=False)
    ],
    to: Annotated[
        Form,
        typer.Option(
            help="csv: edges, nodes, labels as tables. tgl: edges.csv by time, of which 70/15/15 % are for training, "
            "validation and testing, neighbours by time, features, labels. dyglib: ml_NAME.csv and its two .npy.",
            show_default=False,
        ),
    ],
    shift_time: Annotated[
        bool,
        typer.Option(
            "--shift-time",
            help="Write times from 0 at the first event. TGL's sampler keeps times in float32, in which Unix seconds "
            "are told apart only every 128 s, and whole seconds only up to 16,777,216 (194 days).",
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace DEST if this command made it.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a prepared folder in another format: CSV tables, the files of TGL, or those of DyGLib (and TGN)."""
    from data_prep.export import export as write

    start = time.perf_counter()
    with progress(quiet or as_json) as add:
        facts = write(out, dest, to.value, shift_time=shift_time, overwrite=overwrite, progress=add)
    seconds = round(time.perf_counter() - start, 3)
    if as_json:
        keys = ("format", "dataset", "time_shift", "rows", "rounded_times")
        print(json.dumps({**{key: facts[key] for key in keys if key in facts}, "seconds": seconds, "path": str(dest)}))
    elif not quiet:
        show_counts(
            f"{facts['dataset']} as {to.value}: rows written", {**facts["rows"], "seconds": seconds, "path": str(dest)}
        )
        if rounded := facts.get("rounded_times"):
            help_ = "they begin at 0 already" if shift_time else "--shift-time lets them begin at 0"
            print(f"{rounded:,} of {facts['rows']['edges.csv']:,} times are rounded by TGL's float32; {help_}.")


synth_app = App("synth", "Write generated raw files in the format of a real data set, up to its published size.")

JsonTable = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Seed = Annotated[int, typer.Option(help="Equal seeds give equal bytes.")]
Parts = Annotated[int, typer.Option(help="Split the edge file into so many files: NAME-000, NAME-001 ...")]
Compress = Annotated[
    str | None, typer.Option(metavar="[gz|bz2|xz|zst|zip]", help="Compress the edge file.", show_default=False)
]


@synth_app.command("dblp", epilog="Example: [bold]dysign-prep synth dblp raw/generated --nodes 2000[/bold]")
def synth_dblp(
    out: Out,
    nodes: Annotated[int, typer.Option(help="Number of nodes.")] = 2000,
    steps: Annotated[int, typer.Option(help="Number of time steps.")] = 12,
    classes: Annotated[int, typer.Option(help="Number of classes.")] = 6,
    events_per_step: Annotated[
        int | None, typer.Option(help="Mean number of events a step; default as in DBLP.", show_default=False)
    ] = None,
    seed: Seed = 0,
    parts: Parts = 1,
    compress: Compress = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: JsonTable = False,
) -> None:
    """DBLP: dblp.txt and node2label.txt for a growing network of drifting communities."""
    from data_prep.synth.dblp import DblpLike

    generator = DblpLike(nodes, steps, classes, seed, events_per_step)
    total = int(generator.events_per_step or 8.4 * nodes / steps) * steps

    def write(folder: Path, on_rows: Callable[..., None]) -> dict[str, Any]:
        return generator.write(folder, parts, compress, on_rows)

    _generate(out, write, total, overwrite, quiet, as_json)


def _add_format(name: str, form: Format) -> None:
    """Add the command of a format."""
    size = f"default {form.default_scale:g}: {round(form.default_scale * form.events):,} of {form.events:,} events"

    @synth_app.command(name, help=form.title, epilog=f"Example: [bold]{_example(name, form)}[/bold]")
    def command(
        out: Out,
        scale: Annotated[
            float | None, typer.Option(help=f"Share of the published size ({size}).", show_default=False)
        ] = None,
        events: Annotated[
            int | None, typer.Option(help="Rows of the edge file, instead of --scale.", show_default=False)
        ] = None,
        seed: Seed = 0,
        form_: Annotated[
            str | None,
            typer.Option(
                "--form",
                metavar=f"[{'|'.join(form.forms)}]",
                help="Which of the ways in which the data set is shared; default the first.",
                show_default=False,
                hidden=not form.forms,
            ),
        ] = None,
        parts: Parts = 1,
        compress: Compress = None,
        overwrite: Overwrite = False,
        quiet: Quiet = False,
        as_json: JsonTable = False,
    ) -> None:
        from data_prep.synth import write

        request = Request(name, scale, events, seed, form_, parts, compress)
        _generate(out, lambda folder, on_rows: write(request, folder, on_rows), request.rows, overwrite, quiet, as_json)


def _example(name: str, form: Format) -> str:
    options = f"--form {form.forms[-1]}" if form.forms else "--parts 2 --compress zst"
    return f"dysign-prep synth {name} raw/{name} --scale {form.default_scale:g} {options}"


def _generate(
    out: Path,
    write: Callable[[Path, Callable[..., None]], dict[str, Any]],
    rows: int,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Write a folder, with a bar while that goes on, and say what is in it."""
    from data_prep.writer import new_folder

    with progress(quiet) as add, new_folder(out, overwrite, marker=MARKER) as folder:
        counts = write(folder, add("generating", rows))
    counts = {**counts, "path": str(out)}
    if as_json:
        print(json.dumps(counts))
    elif not quiet:
        show_counts("generated", counts)


for _name, _format in FORMATS.items():
    _add_format(_name, _format)

app.add_typer(synth_app, name="synth", rich_help_panel=_KNOWN)


@app.callback()
def _about(version: Version = False) -> None:
    pass


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    return app.run(argv)


if __name__ == "__main__":
    sys.exit(main())
