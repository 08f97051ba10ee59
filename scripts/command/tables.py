"""Tables of measurements as text."""

import statistics


def table(rows: list[list[str]]) -> str:
    """Columns in line under a rule below the first row."""
    lines = aligned(rows)
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(lines)


def aligned(rows: list[list[str]]) -> list[str]:
    """A line for each row, columns in line; the first to the left, the rest to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0])]
                  + [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)])
        for row in rows
    ]  # fmt: skip


def markdown(rows: list[list[str]]) -> str:
    """The rows as Markdown, the first of them the header."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" + " ---: |" * (len(rows[0]) - 1))
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    """Median (min - max) with three significant digits."""
    shown = [three_digits(f(values)) for f in (statistics.median, min, max)]
    return f"{shown[0]} ({shown[1]} - {shown[2]})"


def ratio(values: list[float], reference: list[float]) -> str:
    """Median of the turn-by-turn ratios, which a machine's slow minutes do not move."""
    return f"{statistics.median(a / b for a, b in zip(values, reference, strict=True)):.2f}x"


def three_digits(value: float) -> str:
    """Three significant digits, with a comma between thousands."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
