"""Small raw data sets in every format, and ways to damage them."""

import io
import random
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ODD = (
    *(b"nan", b"inf", b"-1", b"-0", b"+5", b"1e999", b"1e308", b"-1e308", b"5e-324", b"7e-06", b"1_000", b"0x1F"),
    *(b"2147483648", b"4294967296", b"9007199254740993", b"9223372036854775807", b"9223372036854775808", b"1" * 400),
    *(b"999999999", b"20001", b"00000000", b"20000230", b"99991231", b"1970-13-01", b"9999-12-31 23:59:59", b""),
    *("\uff11\uff12".encode(), "\u0663".encode(), b'""', b'"', b"[]", b"null", b"__import__('os').getpid()", b"=1+1"),
    *(b"1.5", b" "),
)
"""What stands in place of a number."""
SIGNS = (
    *(b"\0", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n", b"\r\n", b"\v", b"\f", b"\x1a", b"\x1b[2J", b"\xc2\x85"),
    *(bytes([sign]) for sign in b"\"',\t ;[]{#\\"),
    *(b"\xe2\x80\xa8", b"PK\x03\x04", b"\x1f\x8b\x08"),
)
"""What is put anywhere."""


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Damage a file once to three times."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        data = rng.choice(MUTATIONS)(data, rng)
    return data


def _flip(data: bytes, rng: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(rng.randint(1, 5) if found else 0):
        found[rng.randrange(len(found))] = rng.choice([rng.randrange(256), rng.randrange(32, 127)])
    return bytes(found)


def _lines(change: Callable[[list[bytes], random.Random], None]) -> Callable[[bytes, random.Random], bytes]:
    def mutation(data: bytes, rng: random.Random) -> bytes:
        lines = data.split(b"\n")
        change(lines, rng)
        return b"\n".join(lines)

    return mutation


def _cut_line(lines: list[bytes], rng: random.Random) -> None:
    at = rng.randrange(len(lines))
    begin, end = sorted(rng.randrange(len(lines[at]) + 1) for _ in range(2))
    lines[at] = lines[at][:begin] + lines[at][end:]


def _repeat_lines(lines: list[bytes], rng: random.Random) -> None:
    begin = rng.randrange(len(lines))
    lines[begin:begin] = lines[begin : begin + rng.randint(1, 9)] * rng.choice([1, 1, 2, 50])


def _drop_lines(lines: list[bytes], rng: random.Random) -> None:
    begin = rng.randrange(len(lines))
    del lines[begin : begin + rng.choice([1, 1, 5, 100])]


def _shuffle_lines(lines: list[bytes], rng: random.Random) -> None:
    rng.shuffle(lines)


def _blank_lines(lines: list[bytes], rng: random.Random) -> None:
    for _ in range(rng.randint(1, 4)):
        lines.insert(rng.randrange(len(lines) + 1), rng.choice([b"", b" ", b"\t\r", b"#", b"# a b", b",", b"[]"]))


def _join_lines(lines: list[bytes], rng: random.Random) -> None:
    at = rng.randrange(len(lines))
    lines[at : at + 2] = [b"".join(lines[at : at + 2])]


def _fields(change: Callable[[list[bytes], random.Random], None]) -> Callable[[bytes, random.Random], bytes]:
    def mutation(lines: list[bytes], rng: random.Random) -> None:
        for at in rng.choices(range(len(lines)), k=rng.choice([1, 1, 3])):
            sign = next((sign for sign in (b"\t", b",", b";", b" ") if sign in lines[at]), b" ")
            fields = lines[at].split(sign)
            change(fields, rng)
            lines[at] = sign.join(fields)

    return _lines(mutation)


def _add_field(fields: list[bytes], rng: random.Random) -> None:
    fields.insert(rng.randrange(len(fields) + 1), rng.choice([b"1", b"x", b"", *ODD]))


def _drop_field(fields: list[bytes], rng: random.Random) -> None:
    del fields[rng.randrange(len(fields))]


def _odd_field(fields: list[bytes], rng: random.Random) -> None:
    fields[rng.randrange(len(fields))] = rng.choice(ODD)


def _swap_fields(fields: list[bytes], rng: random.Random) -> None:
    rng.shuffle(fields)


def _insert(data: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data) + 1)
        data = data[:at] + rng.choice(SIGNS) * rng.choice([1, 1, 1, 3, 5000]) + data[at:]
    return data


def _odd_number(data: bytes, rng: random.Random) -> bytes:
    numbers = list(re.finditer(rb"[0-9.]+", data))
    if not numbers:
        return data
    found = rng.choice(numbers)
    return data[: found.start()] + rng.choice(ODD) + data[found.end() :]


def _column(data: bytes, rng: random.Random) -> bytes:
    """Give one number the same odd value wherever it stands, as when a whole column is of another kind."""
    numbers = re.findall(rb"[0-9.]+", data)
    return data.replace(rng.choice(numbers), rng.choice(ODD)) if numbers else data


def _delimiters(data: bytes, rng: random.Random) -> bytes:
    signs = [b" ", b"\t", b",", b";", b"|", b"  ", b", "]
    return data.replace(rng.choice(signs), rng.choice(signs))


def _ends(data: bytes, rng: random.Random) -> bytes:
    return data.replace(b"\n", rng.choice([b"\r\n", b"\r", b"\n\n", b"\n\r", b" \n", b"\0"]))


def _truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _behead(data: bytes, rng: random.Random) -> bytes:
    return data[rng.randrange(len(data) + 1) :]


def _replace(data: bytes, rng: random.Random) -> bytes:
    noise = bytes(rng.randrange(256) for _ in range(200))
    few = [b"", b"\n", b"\xef\xbb\xbf", b"\0", b"\n\n \n", data.split(b"\n")[0], noise, b"[" * 2000]
    few.append(b"<html>404</html>")
    return rng.choice([*few, data.decode("latin-1").encode("utf-16")])


def _long_line(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice([b"1", b"a", b" ", b"1,", b"[", b'"', b"\0"]) * 200_000 + data[at:]


def _tail(data: bytes, rng: random.Random) -> bytes:
    return data + rng.choice([b"", b"\n", data[: len(data) // 2], b"\x1a", b"1", b"0 1", bytes(500)])


MUTATIONS: list[Callable[[bytes, random.Random], bytes]] = [
    *(_flip, _flip, _insert, _insert, _odd_number, _odd_number, _column, _delimiters, _ends, _truncate, _behead),
    *map(_lines, (_cut_line, _repeat_lines, _drop_lines, _shuffle_lines, _blank_lines, _join_lines)),
    *map(_fields, (_add_field, _drop_field, _odd_field, _odd_field, _swap_fields)),
    *(_replace, _long_line, _tail),
]


@dataclass(frozen=True)
class Form:
    """A raw data set: the command that reads it, and its files."""

    command: tuple[str, ...]
    files: dict[str, bytes]
    raw: str = ""


def _text(rows: int, line: Callable[[int], str], *header: str) -> bytes:
    return "".join(f"{text}\n" for text in (*header, *map(line, range(rows)))).encode()


def _events(rows: int, sign: str = " ", time: Callable[[int], object] = float) -> bytes:
    return _text(rows, lambda row: sign.join(map(str, (row % 7, row * 3 % 11, time(row // 4)))))


def _numpy(values: np.ndarray) -> bytes:
    sink = io.BytesIO()
    np.save(sink, values)
    return sink.getvalue()


_LABELS = b"3 656\n0 737\n5 656\n1 662\n"
_UNIX = 1_082_040_961
_MONTHS = [f"{year}{month:02}15" for year in (1975, 1976, 1980) for month in (1, 2, 6, 11)]
_APAT = _text(
    14,
    lambda row: f'{3070800 + row},{1963 + row // 5},{1096 + 400 * row},,"BE","",,1,,269,{1 + row % 6},69' + "," * 11,
    '"PATENT","GYEAR","GDATE"',
)
_JODIE = _text(
    30,
    lambda row: f"{row % 5},{row * 3 % 4},{row * 700.5},{int(row % 9 == 8)},0.5,-1.25,{row}",
    "user_id,item_id,timestamp,state_label,comma_separated_list_of_features",
)
_DYGLIB = _text(
    20, lambda row: f"{row},{1 + row % 3},{4 + row % 4},{row * 900.0},{float(row == 7)},{row + 1}", ",u,i,ts,label,idx"
)
_OTC = _text(30, lambda row: f"{6 + row % 9},{2 + row * 5 % 8},{row % 21 - 10},{1289241911.72836 + 40000 * row:.5f}")
_ALPHA = _text(30, lambda row: f"{7 + row % 9},{row * 5 % 8},{row % 21 - 10},{1407470400 - 86400 * (row * 7 % 30)}")
_LINKS = _text(
    12,
    lambda row: (
        f"sub{row % 4}\tother{row % 3}\tp{row}s\t2013-12-{31 - row} 16:39:18\t{1 - 2 * (row % 2)}\t"
        + ",".join(f"{row / 8 + at}" for at in range(6))
    ),
    "SOURCE_SUBREDDIT\tTARGET_SUBREDDIT\tPOST_ID\tTIMESTAMP\tLINK_SENTIMENT\tPROPERTIES",
)
_NAMED = _text(
    20,
    lambda row: f"é{row % 4};2020-02-{1 + row % 28:02}T10:00:00Z;b{row % 3};{row * 0.5};{row % 3};{row}.25;-1",
    "from;when;to;amount;kind;f1;f2",
)
_CONTACTS = _text(
    20,
    lambda row: f"{31220 + row}\t{row % 5}\t{5 + row % 3}\t{row % 5}A\t{'Teachers' * (row % 3)}",
    "Time\tid1\tid2\tc1\tc2",
)
FORMS = {
    "dblp": Form(("dblp",), {"dblp.txt": _events(40, time=lambda step: f"{step / 26:.6f}"), "node2label.txt": _LABELS}),
    "dblp in parts": Form(("dblp",), {"dblp-0.txt": _events(20), "dblp-1.txt": _events(9), "node2label.txt": _LABELS}),
    "tmall": Form(("tmall", "--merge", "2"), {"tmall.txt": _events(40, "\t"), "node2label.txt": _LABELS}),
    "patent spikenet": Form(
        ("patent",),
        {
            "patent_edges.json": _text(24, lambda row: f"[{row % 5}, {row * 2 % 7}, {_MONTHS[row // 2]}, 1, {row}]"),
            "patent_nodes.json": _text(7, lambda row: f"[{row},{3070800 + row},{_MONTHS[row]},{1 + row % 6}]"),
        },
    ),
    "patent nber": Form(
        ("patent",),
        {
            "cite75_99.txt": _text(20, lambda row: f"{3070800 + row % 14},{956200 + row % 9}", '"CITING","CITED"'),
            "apat63_99.txt": _APAT,
        },
    ),
    "patent snap": Form(
        ("patent", "--merge", "2"),
        {
            "cit-Patents.txt": _text(
                20, lambda row: f"{3070800 + row % 14}\t{3070801 + row % 9}", "# Directed", "# a\tb"
            ),
            "apat63_99.txt": _APAT,
        },
    ),
    "jodie wikipedia": Form(("wikipedia",), {"wikipedia.csv": _JODIE}),
    "jodie reddit": Form(("reddit",), {"reddit.csv": _JODIE}),
    "dyglib": Form(
        ("wikipedia",), {"ml_wikipedia.csv": _DYGLIB, "ml_wikipedia.npy": _numpy(np.arange(63.0).reshape(21, 3) / 4)}
    ),
    "tgl": Form(
        ("reddit",),
        {"edges.csv": _text(20, lambda row: f"{row},{row % 3},{3 + row % 4},{row * 900.0},0,0", ",src,dst,time,i,e")},
    ),
    "otc": Form(("edges",), {"soc-sign-bitcoinotc.csv": _OTC}, "soc-sign-bitcoinotc.csv"),
    "alpha": Form(("edges",), {"soc-sign-bitcoinalpha.csv": _ALPHA}),
    "messages": Form(("edges", "--every", "day"), {"CollegeMsg.txt": _events(30, time=lambda at: _UNIX + 9000 * at)}),
    "hyperlinks": Form(("edges",), {"soc-redditHyperlinks-body.tsv": _LINKS}, "soc-redditHyperlinks-body.tsv"),
    "steps": Form(
        ("edges", "--time-unit", "none", "--undirected", "--labels", "{raw}/../labels.txt"),
        {"mine.txt": _events(30), "../labels.txt": _LABELS},
    ),
    "milliseconds": Form(
        ("edges", "--time-unit", "ms", "--every", "1h"),
        {"a-1.csv": _events(9, ",", lambda at: 1000 * at), "a-2.csv": _events(9, ",", lambda at: 9000 * at)},
    ),
    "names": Form(
        (
            *("edges", "--src", "from", "--dst", "to", "--time", "when", "--weight", "amount", "--label", "kind"),
            *("--edge-features", "f1", "--every", "week"),
        ),
        {"named.csv": _NAMED},
    ),
    "classes in columns": Form(
        ("edges", "--src-label", "c1", "--dst-label", "c2"),
        {"a-1.tsv": _CONTACTS, "a-2.tsv": _CONTACTS.replace(b"31", b"39")},
    ),
    "classes and targets that change": Form(
        ("edges", "--labels", "{raw}/labels.txt", "--targets", "{raw}/../labels.txt", "--labels-at", "2020-02-12"),
        {
            "named.csv": _text(20, lambda row: f"é{row % 4};b{row % 3};2020-02-{1 + row % 28:02}", "from;to;time"),
            "labels.txt": _text(
                9, lambda row: f"b{row % 3},{['ok', 'bad'][row % 2]},2020-02-0{1 + row}", "id,class,time"
            ),
            "../labels.txt": _text(8, lambda row: f"é{row % 4} -{row}.5 2020-02-1{row}"),
        },
        "named.csv",
    ),
    "dates": Form(
        ("edges", "--time-format", "%d/%m/%Y", "--every", "month"),
        {"dated.csv": _text(20, lambda row: f"{row % 5},{row % 3},{1 + row}/0{1 + row % 9}/2021")},
    ),
}
