"""What notebooks show: tables, and text as it is printed. Everything is escaped: names can come from files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def html_table(caption: str, header: Sequence[str], rows: Iterable[Sequence[object]], footer: str = "") -> str:
    """A table of which the columns that hold only numbers are aligned to the right.

    Args:
        caption: what stands above it.
        header: a title for each column.
        rows: the cells.
        footer: a line below it.
    """
    lines = [list(row) for row in rows]
    numeric = [all(isinstance(row[i], int) for row in lines) for i in range(len(header))]
    styles = [f"text-align: {'right' if number else 'left'}; vertical-align: top" for number in numeric]

    def line(cells: Sequence[object], tag: str) -> str:
        texts = [f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells]
        parts = [
            f'<{tag} style="{style}">{escape(text).replace(chr(10), "<br>")}</{tag}>'
            for text, style in zip(texts, styles, strict=True)
        ]
        return f"<tr>{''.join(parts)}</tr>"

    body = "\n".join(line(row, "td") for row in lines)
    below = f"\n<div>{escape(footer)}</div>" if footer else ""
    head = f'<caption style="text-align: left; font-weight: bold">{escape(caption)}</caption>'
    return f"<table>{head}\n<thead>{line(header, 'th')}</thead>\n<tbody>{body}</tbody></table>{below}"


class PrintedHtml:
    """For what is printed as several lines: notebooks show the same lines."""

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"
