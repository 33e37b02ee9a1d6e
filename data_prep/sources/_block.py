"""A run of whole lines in a buffer, and what is done to its bytes: found, cut, tidied."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

BLANKS = b" \t\v\f\r"
MARK = b"\xef\xbb\xbf"
_BLANK_LINE = re.compile(rb"^[ \t\v\f\r]*(?:\n|\Z)", re.MULTILINE)
_LINE_END, _RETURN, _BLANK, _OPEN, _CLOSE = b"\n\r []"
_CACHED = 1 << 17
"""Bytes of which several copies fit a core's cache."""
_IS_BLANK = np.isin(np.arange(256), list(BLANKS))


class Block(NamedTuple):
    """The bytes from `begin` to `end` of a buffer: whole lines, of which the last may lack its line end.

    Blocks are not copied when they are cut. Single bytes are sought by ``find``, which is ten times faster than NumPy;
    all that needs a look at every byte is left to NumPy, which lets other threads run.
    """

    data: bytes | bytearray
    begin: int
    end: int

    @classmethod
    def of(cls, data: bytes) -> "Block":
        """Return a block of all of `data`."""
        return cls(data, 0, len(data))

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.end - self.begin

    def tobytes(self) -> bytes:
        """Return a copy."""
        return bytes(memoryview(self.data)[self.begin : self.end])

    def array(self) -> np.ndarray:
        """Return the bytes as uint8, without a copy."""
        return np.frombuffer(self.data, np.uint8, self.size, self.begin)

    def has(self, part: bytes) -> bool:
        """Whether `part` occurs; fast for a single byte."""
        return self.data.find(part, self.begin, self.end) >= 0

    def begins_line(self, part: bytes) -> bool:
        """Whether some line begins with `part`."""
        return self.has(part[:1]) and (self.data.startswith(part, self.begin, self.end) or self.has(b"\n" + part))

    def has_lone_return(self) -> bool:
        """Whether a carriage return stands elsewhere than at the end of a line."""
        if not self.has(b"\r"):
            return False
        found = np.flatnonzero(self.array() == ord("\r")) + 1
        if found[-1] == self.size:
            found = found[:-1]
        return bool((self.array()[found] != _LINE_END).any())

    def has_hexadecimal(self) -> bool:
        """Whether ``0x`` or ``0X`` occurs."""
        if not (self.has(b"x") or self.has(b"X")):
            return False
        text = self.array()
        return bool(((text[:-1] == ord("0")) & (text[1:] | 0x20 == ord("x"))).any())

    def count_lines(self) -> int:
        """Return the number of lines, blank ones too."""
        ended = self.data.endswith(b"\n", self.begin, self.end)
        text = self.array()
        ends = sum(np.count_nonzero(text[at : at + _CACHED] == _LINE_END) for at in range(0, len(text), _CACHED))
        return int(ends) + (not ended)

    def filled_lines(self) -> int:
        """Return the number of lines that are not blank."""
        return sum(1 for line in self.tobytes().split(b"\n") if line.strip(BLANKS))

    def last_line(self) -> bytes:
        """Return the last line that is not blank, without its line end."""
        end = self.end
        while end > self.begin and self.data[end - 1] in BLANKS + b"\n":
            end -= 1
        begin = max(self.data.rfind(b"\n", self.begin, end) + 1, self.begin)
        return bytes(self.data[begin : self._next(end)]).rstrip(b"\r\n")

    def after_line(self) -> "Block":
        """Return the block without its first line."""
        return Block(self.data, self._next(self.begin), self.end)

    def lines(self) -> "Iterator[Block]":
        """Yield each line, with its line end, as a block."""
        begin = self.begin
        while begin < self.end:
            end = self._next(begin)
            yield Block(self.data, begin, end)
            begin = end

    def cut(self, pieces: int) -> "list[Block]":
        """Cut into about so many blocks of like size; only a single line stays whole."""
        bounds = {self._next(self.begin + at * self.size // pieces - 1) for at in range(1, pieces)} | {self.end}
        if len(bounds) == 1:  # the last line is nearly all of the block
            bounds.add(self.data.rfind(b"\n", self.begin, self.end - 1) + 1 or self.end)
        ordered = sorted(bounds)
        return [Block(self.data, *bound) for bound in zip([self.begin, *ordered], ordered, strict=False)]

    def _next(self, at: int) -> int:
        """Return where the line after the one at `at` begins."""
        return self.data.find(b"\n", max(at, self.begin), self.end) + 1 or self.end


def without_blank_lines(text: bytes) -> bytes:
    """Return `text` without lines of blanks."""
    return _BLANK_LINE.sub(b"", text)


def single_blanks(block: Block) -> bytes:
    """Return the lines with one space for each run of blanks, none at the ends of lines, and without blank lines."""
    text = block.array()
    blank = _IS_BLANK[text]
    # The last blank of a run stays, unless a line ends there; one at the beginning of a line goes in a second step.
    ends = np.append(text[1:] == _LINE_END, True)
    keep = ~(blank & (np.append(blank[1:], False) | ends))
    text, blank = text[keep], blank[keep]
    text[blank] = _BLANK
    breaks = text == _LINE_END
    begins = np.append(True, breaks[:-1])[: len(text)]
    text = text[~(begins & (text == _BLANK))]
    breaks = text == _LINE_END
    return text[~(breaks & np.append(True, breaks[:-1])[: len(text)])].tobytes()


def has_surplus_blanks(block: Block) -> bool:
    """Whether blanks stand side by side or at an end of a line."""
    text = block.array()
    apart = _IS_BLANK[text] | (text == _LINE_END)
    return bool(apart[0] or (apart[1:] & apart[:-1]).any() or _IS_BLANK[text[-1]])


def without_brackets(block: Block) -> np.ndarray | None:
    """Return the bytes with blanks for the brackets around each line; None if some line has none, or others."""
    text = block.array()
    if block.has(b"\r"):
        text = text[text != _RETURN]  # all before line ends: lone ones were refused
    if not len(text) or text[0] != _OPEN or text[-1] not in (_CLOSE, _LINE_END):
        return None
    result = np.empty_like(text)
    for at in range(0, len(text), _CACHED):
        # A bracket opens exactly after each line end, and closes exactly before each.
        part = text[at : at + _CACHED + 1]
        begins, ends, breaks = part == _OPEN, part == _CLOSE, part == _LINE_END
        if not ((begins[1:] == breaks[:-1]).all() and (ends[:-1] == breaks[1:]).all()):
            return None
        # The bits in which brackets differ from blanks; none where there is no bracket.
        change = begins.view(np.uint8) * np.uint8(_OPEN ^ _BLANK)
        change |= ends.view(np.uint8) * np.uint8(_CLOSE ^ _BLANK)
        np.bitwise_xor(part[:_CACHED], change[:_CACHED], out=result[at : at + _CACHED])
    return result
