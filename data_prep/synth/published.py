"""Published sizes of the data sets that can be generated, and what a user may ask of a generator."""

from dataclasses import dataclass, field

from dgl_dysign.errors import ConfigError

MARKER = "synth.json"
"""Written beside generated raw files, so that they are never taken for the real ones."""

_LEAST_EVENTS = 400
"""Below this some step would have no event, or some class no node."""


@dataclass(frozen=True)
class Format:
    """A raw format: published size and shape of the network in it.

    `writer` is a module of this package and the function that writes the files, ``module:function``; `nodes` are users
    and items together, `events` rows of the edge file; communities drift over `steps`, those of the file where it has
    steps. `default_scale` is the share of the published size that takes a few seconds. `forms` are ways in which the
    same data set is shared, the first is the default; empty if there is one way. `options` are constants that the
    writer wants.
    """

    title: str
    writer: str
    nodes: int
    events: int
    steps: int
    default_scale: float = 1.0
    forms: tuple[str, ...] = ()
    options: dict[str, int | float | str] = field(default_factory=dict)


_JODIE = ("jodie", "dyglib", "tgl")

FORMATS: dict[str, Format] = {
    "tmall": Format(
        "Tmall: tmall.txt with 186 steps, and node2label.txt with 5 classes for 14 % of the nodes.",
        "dblp:write_tmall", 577_314, 4_807_545, 186, 0.05, options={"labelled": 81_380},
    ),
    "patent": Format(
        "Patent: citations of 1975 to 1999 as JSON lines (spikenet), or the originals of NBER or SNAP.",
        "patent:write", 2_738_012, 13_960_811, 25, 0.02, ("spikenet", "nber", "snap"),
        options={"rows_with_unknown": 16_522_438, "listed": 2_923_922},
    ),
    "wikipedia": Format(
        "Wikipedia edits: user, item, time, label of the event, 172 features.",
        "jodie:write", 9_227, 157_474, 744, 0.1, _JODIE,
        options={"items": 1_000, "positive": 217, "dim": 172, "last_time": 2_678_373},
    ),
    "reddit": Format(
        "Reddit posts: user, item, time, label of the event, 172 features.",
        "jodie:write", 10_984, 672_447, 744, 0.03, _JODIE,
        options={"items": 984, "positive": 366, "dim": 172, "last_time": 2_678_390},
    ),
    "bitcoin-otc": Format(
        "Bitcoin-OTC: source,target,rating,time, sorted by time (decimal seconds).",
        "edges:write_bitcoin", 5_881, 35_592, 64,
        options={
            "file": "soc-sign-bitcoinotc.csv", "highest": 6_005, "daily": 0,
            "begin": 1_289_241_911, "end": 1_453_684_323,
        },
    ),
    "bitcoin-alpha": Format(
        "Bitcoin-Alpha: source,target,rating,time, not sorted, one time a day.",
        "edges:write_bitcoin", 3_783, 24_186, 64,
        options={
            "file": "soc-sign-bitcoinalpha.csv", "highest": 7_604, "daily": 1,
            "begin": 1_289_192_400, "end": 1_453_438_800,
        },
    ),
    "college-msg": Format(
        "CollegeMsg (UCI): src dst unixtime.",
        "edges:write_messages", 1_899, 59_835, 64,
        options={"file": "CollegeMsg.txt", "highest": 1_899, "begin": 1_082_040_961, "end": 1_098_777_142},
    ),
    "wiki-talk": Format(
        "Wiki-Talk: src dst unixtime.",
        "edges:write_messages", 1_140_149, 7_833_140, 96, 0.03,
        options={
            "file": "wiki-talk-temporal.txt", "highest": 1_140_149, "begin": 999_999_999, "end": 1_200_447_999,
        },
    ),
    "stack-overflow": Format(
        "Stack-Overflow: src dst unixtime, 63 million rows at full size.",
        "edges:write_messages", 2_601_977, 63_497_050, 96, 0.005,
        options={
            "file": "sx-stackoverflow.txt", "highest": 6_024_271, "begin": 1_217_567_877, "end": 1_457_273_428,
        },
    ),
    "reddit-hyperlinks": Format(
        "Reddit hyperlinks (body): two subreddits by name, post, written date, sentiment, 86 properties.",
        "edges:write_hyperlinks", 35_776, 286_561, 64, 0.1,
        options={
            "file": "soc-redditHyperlinks-body.tsv", "dim": 86, "begin": 1_388_507_958, "end": 1_493_571_501,
        },
    ),
    "reddit-title": Format(
        "Reddit hyperlinks (title): two subreddits by name, post, written date, sentiment, 86 properties.",
        "edges:write_hyperlinks", 54_075, 571_927, 64, 0.05,
        options={
            "file": "soc-redditHyperlinks-title.tsv", "dim": 86, "begin": 1_388_507_958, "end": 1_493_571_501,
        },
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """A data set to be generated.

    Parameters
    ----------
    name : str
        A key of ``FORMATS``.
    scale, events : float and int, optional
        Share of the published size, more than 0 and at most 1, by default the format's own; or rows of the edge file
        instead, from which the number of nodes follows.
    seed : int, default 0
        Equal seeds give equal bytes.
    form : str, optional
        One of the format's forms; default its first.
    parts, compress
        As in :class:`data_prep.synth.output.Output`.

    Raises
    ------
    ConfigError
        If one of these lies outside its range, or two exclude each other.

    Examples
    --------
    >>> request = Request("tmall", scale=0.01)
    >>> request.rows, request.num_nodes
    (48075, 5773)
    """

    name: str
    scale: float | None = None
    events: int | None = None
    seed: int = 0
    form: str | None = None
    parts: int = 1
    compress: str | None = None

    def __post_init__(self) -> None:
        check_choice("name", self.name, tuple(FORMATS))
        if self.scale is not None and self.events is not None:
            raise ConfigError("found both a scale and a number of events, expected one of them; leave one out")
        if self.scale is not None and not 0 < self.scale <= 1:
            raise ConfigError(f"scale: found {self.scale}, expected more than 0 and at most 1, the published size")
        if self.form is not None:
            check_choice("form", self.form, self.format.forms)
        if self.seed < 0:
            raise ConfigError(f"seed: found {self.seed}, expected 0 or more")
        if not _LEAST_EVENTS <= self.rows <= self._published_rows:
            raise ConfigError(
                f"{self.name}: found {self.rows} events to make, expected {_LEAST_EVENTS} to {self._published_rows}, "
                "the published size; give another scale or number of events"
            )

    @property
    def format(self) -> Format:
        """The format of that name."""
        return FORMATS[self.name]

    @property
    def chosen_form(self) -> str | None:
        """The form, by default the format's first."""
        return self.form or next(iter(self.format.forms), None)

    @property
    def _published_rows(self) -> int:
        if self.chosen_form in ("nber", "snap"):
            return int(self.format.options["rows_with_unknown"])
        return self.format.events

    @property
    def share(self) -> float:
        """Share of the published size."""
        if self.events is not None:
            return self.events / self._published_rows
        return self.format.default_scale if self.scale is None else self.scale

    @property
    def rows(self) -> int:
        """Rows of the edge file, over all parts."""
        return self.events if self.events is not None else round(self.share * self._published_rows)

    @property
    def num_nodes(self) -> int:
        """Nodes with at least one event."""
        return self.part_of(self.format.nodes)

    def part_of(self, published: int | float | str, least: int = 1) -> int:
        """Scale a published number."""
        return max(least, round(self.share * int(published)))


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise :class:`ConfigError` if `value` is not one of `allowed`."""
    if value not in allowed:
        expected = ", ".join(allowed) or "none, as there is one form only"
        raise ConfigError(f"{name}: found {value!r}, expected {expected}")
