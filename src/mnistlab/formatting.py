"""How a number, a text and a table of texts are written, for people and machines: the only place that decides it.

Light on purpose (no pandas, numpy or scipy), so that every command can use it. It prints nothing.
"""

import csv
import dataclasses
import html
import io
import math
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size

from mnistlab.analysis.estimate import Estimate

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
Cells = tuple[list[str], list[list[str]]]
NOTHING = "–"
# What a spreadsheet takes for the start of a formula, or cuts off before it looks for one (OWASP, CSV Injection).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_MARKDOWN = re.compile(r"[\\|<>&*_`\[\]$~#]|(?<=www)\.|:(?=//)")  # an address is text, too, and no link
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}", '"': r"{\ttfamily\char34}",
    "[": "{[}", "]": "{]}",  # behind the end of a row they would be its distance to the next
    "–": r"\textendash{}", "—": r"\textemdash{}", "…": r"\ldots{}", "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}", "‘": r"\textquoteleft{}", "’": r"\textquoteright{}",
    "×": r"$\times$", "±": r"$\pm$", "·": r"$\cdot$", "→": r"$\rightarrow$", "←": r"$\leftarrow$", "≈": r"$\approx$",
    "≤": r"$\leq$", "≥": r"$\geq$", "µ": r"$\mu$", "μ": r"$\mu$", "−": r"$-$", "²": r"$^{2}$", "³": r"$^{3}$",
    "\N{REPLACEMENT CHARACTER}": "?",
}  # fmt: skip
_NUMBER = r"[0-9][0-9,]*(?:\.[0-9]+)?"
_MEASURED = re.compile(rf"(?<![\w.,])([+-]?{_NUMBER}) ± ({_NUMBER})(?![\w.,])")
_LABEL_WIDTH = 12
REPR_WIDTH = 100  # columns of what Python shows of a table
# Notebooks would typeset what stands between dollar signs; one word without a space must not widen their page.
_AS_TYPED = 'class="tex2jax_ignore mathjax_ignore" style="overflow-wrap: anywhere"'
_SCROLLS = 'class="tex2jax_ignore mathjax_ignore" style="overflow-x: auto"'
_NAME = 'style="text-align: left; overflow-wrap: anywhere; min-width: 14em; max-width: 22em"'
_SHORT = 'style="white-space: nowrap"'  # a notebook's own style breaks every cell's lines
_LONG_TEXT = 40


def percent(estimate: Estimate) -> str:
    """An accuracy for people, in per cent: `97.42 ± 0.21 (5)` of five networks, `97.5 (97.2 to 97.8)` of one."""
    return with_spread(estimate, 100)


def with_spread(estimate: Estimate, scale: float = 1.0) -> str:
    """A value times `scale` with its interval, to the digits the interval warrants, and the number of networks."""
    counted = estimate.value is not None and estimate.kind not in ("wilson", "exact")
    return spread(estimate, scale) + f" ({estimate.n})" * counted


def spread(estimate: Estimate, scale: float) -> str:
    """As `with_spread`, without the number of networks."""
    if estimate.value is None:
        return NOTHING
    value = estimate.value * scale
    if estimate.low is None or estimate.high is None or math.isclose(estimate.low, estimate.high):
        return significant(value)
    low, high = estimate.low * scale, estimate.high * scale
    decimals = _decimals((high - low) / 2)
    if estimate.kind == "wilson" or round(high - value, decimals) != round(value - low, decimals):
        return f"{_fixed(value, decimals)} ({_fixed(low, decimals)} to {_fixed(high, decimals)})"
    return f"{_fixed(value, decimals)} ± {_fixed(high - value, decimals)}"


def _fixed(value: float, decimals: int) -> str:
    return f"{round(value, decimals) + 0.0:.{decimals}f}"  # adding zero takes the sign off what rounds to it


def significant(value: float) -> str:
    """Four significant digits without an exponent, thousands set apart: `1,634,530`, `97.42`, `0.0032`."""
    if value == 0 or not math.isfinite(value):
        return f"{abs(value):g}" if value == 0 else f"{value:g}"
    decimals = min(max(0, 3 - math.floor(math.log10(abs(value)))), 8)
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def points(difference: float) -> str:
    """A difference of two accuracies, in percentage points: `0.31 points`."""
    return f"{difference * 100:.2f} points"


def seconds(value: float | None) -> str:
    """`12 ms`, `3.42 s`, `2 min 05 s`, `3 h 20 min`."""
    if value is None:
        return NOTHING
    if value < 1:
        return f"{value * 1000:.3g} ms"
    if value < 100:
        return f"{value:.3g} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(value / 60)
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def size(n_bytes: float | None) -> str:
    """`507 kB`, `1.2 GB`; a kilobyte is 1,000 bytes."""
    if n_bytes is None:
        return NOTHING
    for unit in ("bytes", "kB", "MB", "GB"):
        if n_bytes < 999.5:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:,.3g} TB"


def to_json(value: Any) -> Any:
    """The plain value `json.dumps` takes: an Estimate in the public shape, NaN as null, arrays as lists.

    A value from numpy or pandas becomes Python's own; a dataclass the mapping of its fields.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # numpy's scalars and arrays, pandas' columns
        return to_json(value.tolist())
    if isinstance(value, Iterable):
        return [to_json(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def document(**content: Any) -> dict[str, Any]:
    """A whole answer of a command with `--json`: the content in plain values, its schema version on top."""
    return {"schema_version": SCHEMA_VERSION, **to_json(content)}


def table_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows as CSV. A text that a spreadsheet would run as a formula gets a quote mark before it; a number never."""
    return "".join(_csv_line(map(_csv_value, row)) for row in (columns, *rows))


def _csv_line(values: Iterable[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(values)  # it quotes what breaks its own lines, and both must be
    return f"{line.getvalue()[:-2]}\n"


def table_markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows as a table of GitHub's Markdown, numbers to the right, every text shown as it is typed."""
    ruler = ["---:" if right else "---" for right in _of_numbers(columns, rows)]
    lines = [map(markdown_text, columns), ruler, *(map(markdown_text, row) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def table_latex(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows as a plain LaTeX `tabular`, which needs no package: every text shown as it is typed.

    pdflatex prints Latin letters; other scripts need lualatex and a font that has them.
    """
    head, *body = (" & ".join(map(_latex, line)) + r" \\" for line in (columns, *rows))
    places = "".join("r" if right else "l" for right in _of_numbers(columns, rows))
    return "\n".join([rf"\begin{{tabular}}{{{places}}}", r"\hline", head, r"\hline", *body, r"\hline",
                      r"\end{tabular}", ""])  # fmt: skip


def markdown_text(text: str) -> str:
    """The text so that Markdown shows it as it is typed."""
    return _MARKDOWN.sub(lambda found: rf"\{found[0]}", printable(text))


def _of_numbers(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[bool]:
    """Which columns hold numbers; the first one names its row."""
    return [place > 0 and all(re.match(rf"[+-]?[0-9]|{NOTHING}|$", row[place]) for row in rows)
            for place in range(len(columns))]  # fmt: skip


def _latex(text: str) -> str:
    r"""`97.42 ± 0.21 (5)` becomes `$97.42 \pm 0.21$ (5)`; everything else is escaped sign by sign."""
    parts = _MEASURED.split(printable(text))
    plain = ["".join(_LATEX.get(sign, sign) for sign in part) for part in parts[::3]]
    plain = [re.sub(r"([-,])(?=\1)", r"\1{}", part) for part in plain]  # two of them would become another sign
    pairs = zip(parts[1::3], parts[2::3], strict=True)
    numbers = [rf"${value} \pm {band}$".replace(",", "{,}") for value, band in pairs]
    return "".join(part for pair in zip(plain, [*numbers, ""], strict=True) for part in pair)


def point_estimate(row: Mapping[Any, Any]) -> Estimate:
    """The accuracy of a row of a figure's table, whose three numbers stand in columns of their own."""
    kind = "crossed" if row["n"] > 1 else "wilson"
    low, high = (None if math.isnan(row[end]) else row[end] for end in ("low", "high"))
    return Estimate(row["accuracy"], low, high, n=int(row["n"]), kind=kind)


def text_table(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """A plain table: first column to the left, the others to the right, never wider than `width`.

    What does not fit goes: the first column is shortened with … down to twelve characters, then columns are dropped
    from the right, least important last, and counted below; at the end the first column alone is shortened further.
    """
    lines = [[printable(text) for text in line] for line in (columns, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    while len(widths) > 1 and min(widths[0], _LABEL_WIDTH) + sum(w + 2 for w in widths[1:]) > width:
        widths.pop()
    widths[0] = max(1, min(widths[0], width - sum(w + 2 for w in widths[1:])))
    dropped = len(lines[0]) - len(widths)
    told = f"({dropped} more column{'s' * (dropped > 1)} in a wider terminal)" if dropped else ""
    return "\n".join([*(
        "  ".join([_fit(first, widths[0]), *(_right(text, w) for text, w in zip(rest, widths[1:], strict=False))])
        .rstrip()
        for first, *rest in lines
    ), *textwrap.wrap(told, max(1, width))])  # fmt: skip


def html_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A plain table for a notebook: escaped, nothing taken for a formula, the first column naming its row."""
    names = [html.escape(printable(text)) for text in columns]
    head = f'<th scope="col" {_NAME}>' + '</th><th scope="col">'.join(names) + "</th>"
    body = "".join(
        f'<tr><th scope="row" {_NAME}>{html.escape(printable(first))}</th>{"".join(map(_html_cell, rest))}</tr>'
        for first, *rest in rows
    )
    return f"<div {_SCROLLS}><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def html_paragraph(text: str, tag: str = "p") -> str:
    """A text for a notebook as an element of its own, a paragraph or a heading: escaped, not taken for a formula."""
    return f"<{tag} {_AS_TYPED}>{html.escape(printable(text))}</{tag}>"


def printable(text: str) -> str:
    """The text with every control character replaced, so that no name can move a cursor or break a line."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def shortened(text: str, most: int) -> str:
    """The text in at most so many columns of letters, printable, the end replaced by an ellipsis."""
    text = printable(text)
    return text if cell_len(text) <= most else f"{set_cell_size(text, most - 1).rstrip()}…"


def counted(n: float, one: str, many: str = "") -> str:
    """`1 cell`, `2,000 cells`, `2 processes`."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def _decimals(half_width: float) -> int:
    """Decimals that show the half-width to two digits."""
    return min(max(0, 1 - math.floor(math.log10(half_width))), 6)


def _csv_value(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value


def table_cells(rows: "pd.DataFrame", columns: Mapping[str, Callable[[Mapping[Any, Any]], str]]) -> Cells:
    """Header and rows for people: of each column, by its header, what writes a row's value."""
    written = [[printable(write(row)) for write in columns.values()] for row in rows.to_dict("records")]
    return list(columns), written


def _html_cell(text: str) -> str:
    return f"<td {_SHORT if len(text) <= _LONG_TEXT else _NAME}>{html.escape(printable(text))}</td>"


def _fit(text: str, width: int) -> str:
    if cell_len(text) > width:
        text = set_cell_size(text, width - 1) + "…"
    return set_cell_size(text, width)


def _right(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text
