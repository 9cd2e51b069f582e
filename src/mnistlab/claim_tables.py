"""Claims in a document: numbers about a network in Markdown or plain tables and in `label: value` lines.

Text in, `Claim` out; nothing is judged and nothing raised. What is not surely a claim is none: a table needs a column
that names networks, a line a label that does, and a number must be the whole of its cell.
"""

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from mnistlab.claim_subjects import SETTING_WORDS, Subject, read_subject

Quantity = Literal["parameters", "accuracy", "seconds", "bytes", "other"]


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written.

    Attributes
    ----------
    value : float | int
        Accuracies as fractions, seconds, bytes; whole where it is whole and counts something.
    half_digit : float
        Half a unit of its last printed digit: what rounding may have taken.
    low, high : float | None
        The interval it was written with, if any.
    """

    value: float
    half_digit: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A number that a line of a file says about a network.

    Attributes
    ----------
    file : str
    line : int
        From 1.
    subject : Subject
    quantity : str
        `parameters`, `accuracy`, `seconds`, `bytes`, `other`.
    column : str | None
        The column of `analysis.results.results_table` that measures it; None: none does.
    number : Number
    """

    file: str
    line: int
    subject: Subject
    quantity: Quantity
    column: str | None
    number: Number


@dataclass(frozen=True, slots=True)
class _Column:
    quantity: Quantity
    column: str | None
    unit: str = ""


# Words a quantity is known by, words that may stand beside them, and the column of the results that measures it.
_QUANTITIES: dict[Quantity, tuple[str, str, str]] = {
    "parameters": ("parameters", "parameters parameter params param", "total trainable count number num of"),
    "accuracy": ("accuracy", "accuracy acc", "test mean average final overall classification std sd of in"),
    "seconds": ("seconds_steps", "time duration runtime seconds", "training train total fit of in"),
    "bytes": ("peak_bytes", "memory ram", "peak usage use used footprint of in"),
}
_UNITS: dict[Quantity, dict[str, Decimal]] = {
    "parameters": {"k": Decimal(1000), "m": Decimal(10**6), "thousand": Decimal(1000), "million": Decimal(10**6)},
    "accuracy": {"%": Decimal("0.01"), "percent": Decimal("0.01")},
    "seconds": {
        name: Decimal(scale)
        for names, scale in (("us µs μs", "1e-6"), ("ms", "0.001"), ("s sec secs second seconds", "1"),
                             ("m min mins minute minutes", "60"), ("h hr hour hours", "3600"))
        for name in names.split()
    },
    "bytes": {f"{prefix}{unit}": Decimal(base**power)
              for base, prefixes, unit in ((1000, ("k", "m", "g"), "b"), (1024, ("ki", "mi", "gi"), "b"))
              for power, prefix in enumerate(prefixes, 1)} | dict.fromkeys(("b", "byte", "bytes"), Decimal(1)),
    "other": {"%": Decimal("0.01")},
}  # fmt: skip
# Headers of our own tables that are not made of those words.
_OWN_HEADERS = {
    "training s": _Column("seconds", "seconds_steps", "s"),
    "end to end s": _Column("seconds", "seconds_end_to_end", "s"),
    "alone, ms a step": _Column("seconds", "seconds_per_step", "ms"),
    "on these digits %": _Column("accuracy", "accuracy_these_digits", "%"),
    "those trained %": _Column("accuracy", "accuracy_trained", "%"),
    "state memory": _Column("bytes", "parameter_bytes"),
}

# Header of a column that says which network a row is about → how its cells read in a label.
_SUBJECT_HEADERS = (
    dict.fromkeys(("architecture", "model", "network", "cell", "configuration", "config", "topology", "classifier",
                   "hidden layer sizes", "activation", "activations", "activation function", "features"), "{}")
    | dict.fromkeys(("nodes", "hidden nodes", "units", "hidden units", "neurons", "hidden neurons", "width",
                     "nodes per layer", "units per layer", "neurons per layer", "number of nodes"), "{} nodes")
    | dict.fromkeys(("layers", "hidden layers", "depth", "number of layers", "number of hidden layers"), "{} layers")
    | {name.replace("_", " "): words for name, words in SETTING_WORDS.items()}
)  # fmt: skip
_SHAPE_WORDS = ("{}", "{} nodes", "{} layers")
_YES = ("yes", "true", "on", "✓", "x")

_DIGITS = r"[0-9]{1,3}(?:[,' _][0-9]{3})+(?:\.[0-9]+)?|[0-9]+(?:[.,][0-9]+)?(?:e[+-]?[0-9]{1,2})?"
_GROUPED = re.compile(r"[0-9]{1,3}(?:[,' _][0-9]{3})+(?:\.[0-9]+)?")
_UNIT = r"[a-zµμ%]*"
_NUMBER = re.compile(
    rf"(?P<about>[~≈] ?)?(?P<value>{_DIGITS}) ?(?P<unit>{_UNIT})"
    rf"(?: ?(?:±|\+/?-) ?(?P<band>{_DIGITS}) ?(?P<band_unit>{_UNIT}))?"
    rf"(?: ?[(\[](?P<low>{_DIGITS}) ?%?(?: to | ?[-–,] ?)(?P<high>{_DIGITS}) ?%?[)\]])?"
    r"(?: ?\([0-9]+(?: [a-z]+)?\))?"
)
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)? ?[a-z]+ ?){2,4}")
_LONGEST = 120  # characters of a number or label; what is longer is prose

_PHRASES = re.compile("|".join(
    rf"(?:\b(?:{'|'.join(beside.split())})\s+)*\b(?:{'|'.join(keys.split())})\b(?:\s+(?:usage|use|count)\b)?"
    for _, keys, beside in _QUANTITIES.values()
), re.IGNORECASE)  # fmt: skip


def read_claims(text: str, file: str = "") -> list[Claim]:
    """All claims of a document, line by line.

    Parameters
    ----------
    text : str
        Markdown or plain text. A table has a line of dashes under its header, or columns two or more spaces apart;
        words glued before the first bar of a header are left aside. A line is `label: value`.
    file : str, default=""
        What the claims call it.

    Returns
    -------
    list of Claim
    """
    lines = text.split("\n")
    claims: list[Claim] = []
    about, at = None, 0
    while at < len(lines):
        header, split = _header_at(lines, at)
        at += 1
        if columns := [(place, column) for place, cell in enumerate(header) if (column := _read_header(cell))]:
            rows = list(_rows(lines, at, split))
            claims += _table_claims(file, header, columns, rows)
            at = rows[-1][0] if rows else at
            continue
        line = lines[at - 1]
        about = _subject_line(line) or (about if line.strip() else None)
        claims += _line_claims(file, at, line, about)
    return claims


def _header_at(lines: Sequence[str], at: int) -> tuple[list[str], Callable[[str], list[str]]]:
    """The cells of a line, if it can be a table's header, and how the lines below it are cut into as many."""
    ruler = lines[at + 1] if at + 1 < len(lines) else ""
    if "|" in lines[at]:
        width = len(re.findall(r"-+", ruler)) if _is_ruler(ruler) else 0
        return _bars(lines[at])[-width:] if width else [], lambda line: _bars(line)[:width] if "|" in line else []
    header = _spaced(lines[at])
    return header, lambda line: cells if len(cells := _spaced(line)) == len(header) else []


def _rows(lines: Sequence[str], at: int, split: Callable[[str], list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and cells, up to the first line that is neither a row nor made of dashes."""
    for line in range(at, len(lines)):
        if not _is_ruler(lines[line]):
            if not (cells := split(lines[line])):
                return
            yield line + 1, cells


def _is_ruler(line: str) -> bool:
    return "-" in line and set(line) <= set("|+-=: \t\r")


def _bars(line: str) -> list[str]:
    """Cells between bars, without what stands outside the first and last."""
    cells = [cell.replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())]
    return cells[not cells[0] : len(cells) - (not cells[-1])]


def _spaced(line: str) -> list[str]:
    return re.split(r"\s{2,}|\t", line.strip()) if "  " in line or "\t" in line else []


@functools.lru_cache(maxsize=4096)
def _read_header(text: str) -> _Column | None:
    """What a column claims; a quantity nothing measures is `other`, and words about none are None."""
    plain = _plain(text)
    if plain in _OWN_HEADERS:
        return _OWN_HEADERS[plain]
    words = re.findall(r"[a-zµμ]+|%", plain)
    for quantity, (column, keys, beside) in _QUANTITIES.items():
        if not set(words) & set(keys.split()):
            continue
        units = [word for word in words if word in _UNITS[quantity]]
        if set(words) - set(units) - set(keys.split()) - set(beside.split()):
            return _Column("other", None)
        return _Column(quantity, "trainable_parameters" if "trainable" in words else column, (*units, "")[0])
    return None


def _table_claims(
    file: str, header: Sequence[str], columns: Sequence[tuple[int, _Column]], rows: Sequence[tuple[int, Sequence[str]]]
) -> Iterator[Claim]:
    plain = [_plain(text) for text in header]
    speaking = {at: words for at, text in enumerate(plain) if (words := _SUBJECT_HEADERS.get(text))}
    if "cell" in plain:  # a label of ours says all there is to say
        speaking = {plain.index("cell"): "{}"}
    named = any(words in _SHAPE_WORDS for words in speaking.values())
    if not named:  # a first column without a known name may name networks all the same
        speaking = {0: "{}"} | speaking
    for line, cells in rows:
        phrases = (_phrase(words, cells[at]) for at, words in speaking.items() if at < len(cells))
        subject = read_subject(", ".join(filter(None, phrases))[:_LONGEST])
        if named or (subject.depth and not subject.problem):
            for at, column in columns:
                if at < len(cells) and at not in speaking and (number := read_number(cells[at], column)):
                    yield Claim(file, line, subject, column.quantity, column.column, number)


def _phrase(words: str, cell: str) -> str:
    plain = " ".join(cell.replace("*", "").replace("`", "").split())
    if "{" not in words:
        return words if plain.lower() in _YES else ""
    if words == "{}" or not plain:
        return plain
    number = plain.replace(",", "") if _GROUPED.fullmatch(plain) else plain
    return re.sub(r"\{.*?\}", number, words) if re.fullmatch(r"[0-9.e-]+", number) else plain


def _subject_line(line: str) -> Subject | None:
    """`Model: 4x64 relu` says what the lines below it, up to an empty one, are about."""
    label, _, value = _plain(line)[:_LONGEST].partition(": ")
    if _SUBJECT_HEADERS.get(label.strip(" -•>#")) != "{}":
        return None
    subject = read_subject(value)
    return subject if subject.depth and not subject.problem else None


def _line_claims(file: str, line: int, text: str, about: Subject | None) -> Iterator[Claim]:
    if ":" not in text or "|" in text or len(text) > 2 * _LONGEST:
        return
    label, _, value = _plain(text).partition(": ")
    label = label.strip(" -•>#")
    subject, quantity = read_subject(label), ""
    if not subject.depth or subject.problem:
        found = _PHRASES.search(label)
        quantity = found[0] if found else ""
        label = _PHRASES.sub(" ", label, count=1).strip(" ()")
        subject = read_subject(re.sub(r"^(?:of|for|in)\b|\b(?:of|for|in)$", "", label).strip(" ()"))
        if not label and about:
            subject = about
    if not subject.depth or subject.problem:
        return
    for piece in re.split(r"[,;] ", value.rstrip(" .")):
        found = _PHRASES.search(piece)
        column = _read_header(found[0] if found else quantity) or _column_by_unit(piece)
        if column and (number := read_number(_PHRASES.sub("", piece), column)):
            yield Claim(file, line, subject, column.quantity, column.column, number)


def _column_by_unit(text: str) -> _Column | None:
    unit = (re.findall(r"[a-zµμ]+|%", text) or [""])[-1]
    for quantity, (column, _, _) in _QUANTITIES.items():
        if quantity != "parameters" and unit in _UNITS[quantity]:
            return _Column(quantity, column)
    return None


def read_number(text: str, column: _Column) -> Number | None:
    """The number a cell consists of, in the unit it or its header names; None when it is no number or of another kind.

    An accuracy without a unit of its own is a fraction up to 1 and a percentage above.
    """
    plain, units = _plain(text), _UNITS[column.quantity]
    if len(plain) > _LONGEST:
        return None
    if column.quantity == "seconds" and _DURATION.fullmatch(plain):
        return _duration(plain)
    if not (found := _NUMBER.fullmatch(plain)):
        return None
    value, half = _decimal(found["value"], rounded=bool(found["about"]))
    unit = found["unit"] or found["band_unit"] or column.unit
    if unit and unit not in units:
        return None
    scale = units.get(unit, Decimal(1))
    if column.quantity == "accuracy" and not (found["unit"] or found["band_unit"]):
        scale = Decimal("0.01") if value > 1 else Decimal(1)
    low = high = None
    if found["band"]:
        band = _decimal(found["band"])[0]
        low, high = float((value - band) * scale), float((value + band) * scale)
    if found["low"]:
        low, high = (float(_decimal(found[end])[0] * scale) for end in ("low", "high"))
    return Number(_plain_number(value * scale), float(half * scale), low, high)


def _duration(text: str) -> Number | None:
    """`2 min 10 s`, `1 h 20 min`."""
    pairs = re.findall(r"([0-9.]+) ?([a-z]+)", text)
    if any(unit not in _UNITS["seconds"] for _, unit in pairs):
        return None
    parts = [(_decimal(digits), _UNITS["seconds"][unit]) for digits, unit in pairs]
    return Number(_plain_number(sum((value * scale for (value, _), scale in parts), Decimal(0))),
                  float(parts[-1][0][1] * parts[-1][1]))  # fmt: skip


def _decimal(digits: str, *, rounded: bool = False) -> tuple[Decimal, Decimal]:
    """The value, and half a unit of its last digit; of a `rounded` one zeros at the end are no digits."""
    plain = re.sub(r"[,' _]", "", digits) if _GROUPED.fullmatch(digits) else digits.replace(",", ".")
    value = Decimal(plain)
    last = int(value.as_tuple().exponent)
    if rounded and last == 0:
        last = len(plain) - len(plain.rstrip("0"))
    return value, Decimal(5).scaleb(last - 1)


def _plain_number(value: Decimal) -> float:
    return int(value) if value == value.to_integral_value() else float(value)


def _plain(text: str) -> str:
    """Lower case, single spaces, no marks of emphasis or code."""
    return " ".join(text.replace("*", "").replace("`", "").lower().split())
