"""What a terminal leaves of text that returns to the beginning of its line, as progress bars do."""

from __future__ import annotations


def overwritten(text: str) -> str:
    r"""`text` with what a carriage return overwrites taken out; what stays on screen is the same.

    >>> overwritten("10%\r20%\r30%\nlong\rab\n")
    '30%\nabng\n'

    A return at either end stays, because it concerns what comes before or after:

    >>> overwritten("\r40%\r50%\r")
    '\r50%\r'
    """
    lines = text.split("\n")
    return "\n".join([*(_line(line.rstrip("\r")) for line in lines[:-1]), _line(lines[-1])])


def _line(line: str) -> str:
    if "\r" not in line:
        return line
    end = "\r" if line.endswith("\r") else ""
    begin = "\r" if line.startswith("\r") and line.strip("\r") else ""
    shown = ""
    for piece in line.split("\r"):
        shown = piece + shown[len(piece) :]
    return begin + shown + end


def printable(text: str) -> str:
    r"""`text` as it can be written in UTF-8: half characters, which neither a record nor a front end takes, escaped.

    >>> printable("a\udcff")
    'a\\udcff'
    """
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
