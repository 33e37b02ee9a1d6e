"""What is done to a file or a folder that others read."""

import json
import os
import random
import shutil
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from dgl_dysign.files import sealed
from tests.abuse.attempts import Work
from tests.abuse.samples import Target


def _socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # its name has room for 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


SPECIAL: dict[str, Callable[[Path], object]] = {
    "a named pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "/dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "a socket": _socket,
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "nothing": lambda path: None,
    "an empty file": Path.touch,
}
"""What stands in the place of a file."""


def put(path: Path, what: str) -> None:
    """Put something else in the place of a file."""
    path.unlink()
    SPECIAL[what](path)


def flip(data: bytes, rng: random.Random) -> bytes:
    """Change one byte."""
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ rng.randrange(1, 256)]) + data[at + 1 :]


ODD: tuple[Any, ...] = (10**15, 2**63, 10**400, -1, 1.5, float("inf"), True, None, [], {}, "", "../../x", "/etc/passwd")
"""What stands in the place of a value in JSON."""


def odd_values(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield a JSON file with one value after the other replaced by each of `ODD`, and once with another key."""
    try:
        value = json.loads(text)
    except ValueError:  # raw files of that name may hold an object a line
        return
    for place in list(_places(value)):
        for odd in ODD:
            yield f"{'.'.join(map(str, place))} = {str(odd)[:20]}", _written(_with(value, place, odd))
        if isinstance(place[-1], str):
            other = json.loads(text)
            parent = _at(other, place[:-1])
            parent["../../x"] = parent.pop(place[-1])
            yield f"{'.'.join(map(str, place))} called ../../x", _written(other)


def _written(value: Any) -> bytes:
    """Return the file, with checksums that fit, as somebody writes it who means harm."""
    if isinstance(value, dict) and "checksum" in value:
        value.pop("checksum")
        value = sealed(value)
    elif isinstance(value, list):
        value = [json.loads(_written(each)) for each in value]
    return json.dumps(value).encode()


def _places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, item in items:
        yield (*before, key)
        yield from _places(item, (*before, key))


def _at(value: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        value = value[key]
    return value


def _with(value: Any, place: tuple[Any, ...], odd: Any) -> Any:
    copy = json.loads(json.dumps(value))
    _at(copy, place[:-1])[place[-1]] = odd
    return copy


def tampered(target: Target, home: Path, kinds: tuple[str, ...], flips: int, seed: int) -> Iterator[tuple[str, Work]]:
    """Yield work on copies of a folder in which one thing is wrong, and what that is."""
    rng = random.Random(f"{seed} {target.name}")
    for name in target.files():
        damages: list[tuple[str, Callable[[Path], object]]] = []
        if "special" in kinds:
            special = [what for what in SPECIAL if (what, name) != ("a named pipe", target.awaited)]
            damages += [(f"is {what}", partial(put, what=what)) for what in special]
        data = (target.folder / name).read_bytes()
        if "flips" in kinds and data:
            texts = [flip(data, rng) for _ in range(flips)]
            damages += [("has a byte flipped", partial(Path.write_bytes, data=text)) for text in texts]
        if "values" in kinds and name.endswith(".json"):
            damages += [(label, partial(Path.write_bytes, data=text)) for label, text in odd_values(data)]
        for label, damage in damages:
            for reader in target.readers(home, home):
                yield f"{target.name}, {reader}: {name} {label}", partial(_on_copy, target, name, damage, home, reader)


def _on_copy(target: Target, name: str, damage: Callable[[Path], object], home: Path, reader: str) -> int | None:
    copy, out = home / "copy", home / "out"
    for folder in (copy, out):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(target.folder, copy)
    out.mkdir()
    damage(copy / name)
    status = target.readers(copy, out)[reader]()
    if status and (left := list(out.rglob("*"))):
        raise SystemError(f"left behind: {left}")
    return status
