"""Artefacts as files: CSV with unrounded numbers, aligned Markdown, LaTeX, SVG, PNG, and one page with all of them."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mbcbench.errors import one_line
from mbcbench.reporting import Artefact

from .leaderboard.html import context
from .paper.claims import ledger
from .rendering import template
from .statistics import labelled
from .style import WIDTH, image

WIDEST = 30  # characters that a column of Markdown is aligned to
# Characters that LaTeX takes for something else.
LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "×": r"$\times$", "–": "--", "…": r"\dots{}", "−": "$-$", "|": r"\textbar{}", '"': "''",
    "[": "{[}",  # behind a row's end it would begin an argument
}  # fmt: skip
PREAMBLE = (
    "\\documentclass{article}\n\\usepackage[T1]{fontenc}\n\\usepackage{booktabs,longtable}\n"
    "\\usepackage[landscape,margin=1cm]{geometry}\n\\begin{document}\n\\scriptsize\n"
)


@dataclass(frozen=True)
class Drawn:
    """An artefact with its numbers, its figure's bytes by format, and the rows of the ledger that speak of it."""

    artefact: Artefact
    data: pd.DataFrame
    images: Mapping[str, bytes]
    verdicts: tuple[Mapping[Any, Any], ...]
    wide: bool = False  # too wide for a phone: it is scrolled
    broke: str = ""  # what it raised

    @property
    def missing(self) -> str:
        """Why there is nothing to show."""
        return self.broke or f"no records; {self.artefact.make}"

    @property
    def caption(self) -> str:
        return " ".join([self.artefact.caption, *map(_sentence, self.verdicts)])


def write(
    artefacts: Sequence[Artefact], frame: pd.DataFrame, info: Mapping[str, Any], formats: Sequence[str]
) -> tuple[dict[str, str | bytes], list[str]]:
    """Files by name, and a line for each artefact that no record serves."""
    rows = labelled(frame)
    book = ledger(rows)
    made = [attempted(artefact, rows, book, formats) for artefact in artefacts]
    missing = [f"{one.artefact.id}: {one.missing}" for one in made if one.data.empty]
    shown = [one for one in made if not one.data.empty]
    files: dict[str, str | bytes] = {}
    for one in shown:
        files |= _files(one, formats)
    if "html" in formats:
        files["index.html"] = page(shown, missing, frame, info, book)
    if "md" in formats:
        files["README.md"] = index(shown, missing, formats)
    if "latex" in formats:
        tables = [name for name in files if name.endswith(".tex")]
        files["report.tex"] = PREAMBLE + "".join(f"\\input{{{name}}}\n" for name in tables) + "\\end{document}\n"
    return files, missing


def attempted(artefact: Artefact, frame: pd.DataFrame, book: pd.DataFrame, formats: Sequence[str]) -> Drawn:
    """One artefact, or what it raised: those of others are drawn all the same."""
    try:
        return drawn(artefact, frame, book, formats)
    except Exception as error:
        return Drawn(artefact, pd.DataFrame(), {}, (), broke=f"broke: {one_line(error)}")


def drawn(artefact: Artefact, frame: pd.DataFrame, book: pd.DataFrame, formats: Sequence[str]) -> Drawn:
    """One artefact, drawn in those formats that need a figure."""
    data = artefact.data(frame)
    kinds = {"svg" if name == "html" else name for name in formats} & {"svg", "png"}
    images, wide = {}, False
    if artefact.draw is not None and not data.empty and kinds:
        figure = artefact.draw(data)
        images = {kind: image(figure, kind) for kind in sorted(kinds)}
        wide = figure.get_figwidth() > WIDTH
    verdicts = book.assign(place=range(len(book)))[book["id"].isin(artefact.claims)].to_dict("records")
    return Drawn(artefact, data, images, tuple(verdicts), wide)


def _sentence(row: Mapping[Any, Any]) -> str:
    reading = f" ({row['reading']})" if row["reading"] else ""
    data = f", on {row['data']}" if row["data"] else ""
    return f"{row['id']}{reading}: {row['verdict']}; {row['why']}{data}."


def _files(one: Drawn, formats: Sequence[str]) -> dict[str, str | bytes]:
    name, table = one.artefact.id, one.artefact.draw is None
    files: dict[str, str | bytes] = {f"{name}.{kind}": held for kind, held in one.images.items() if kind in formats}
    if "csv" in formats:
        files[f"{name}.csv"] = one.data.to_csv(index=False)
    if "md" in formats:
        files[f"{name}.md"] = f"# {one.artefact.title}\n\n{one.caption}\n\n" + (
            markdown(one.data) if table else _pictured(one, formats)
        )
    if "latex" in formats and table:
        files[f"{name}.tex"] = latex(one)
    return files


def _pictured(one: Drawn, formats: Sequence[str]) -> str:
    """The figure, where it is a file beside the Markdown."""
    kinds = [kind for kind in ("svg", "png") if kind in one.images and kind in formats]
    return "".join(f"![{one.artefact.title}]({one.artefact.id}.{kind})\n" for kind in kinds[:1])


def index(shown: Sequence[Drawn], missing: Sequence[str], formats: Sequence[str]) -> str:
    """The list of what was drawn, with links, and of what was not, as Markdown."""
    beside = [kind for kind in ("csv", "svg", "png") if kind in formats]
    lines = ["# What the records say", ""]
    for one in shown:
        kinds = [kind for kind in beside if kind == "csv" or kind in one.images]
        links = "".join(f", [{kind}]({one.artefact.id}.{kind})" for kind in kinds)
        lines.append(f"- [{one.artefact.title}]({one.artefact.id}.md){links}")
    if "html" in formats:
        lines += ["", "All of it and the leaderboard on one page: [index.html](index.html)."]
    if missing:
        lines += ["", "Not drawn:", "", *(f"- {line}" for line in missing)]
    return "\n".join(lines) + "\n"


def short(value: Any) -> str:
    """A cell as people read it: four significant places, nothing for what is not there."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e-3 or abs(value) >= 1e4 else f"{value:.4f}"
    return str(value)


def cells(data: pd.DataFrame) -> list[list[str]]:
    """The head and the rows, as they are read."""
    return [[str(name) for name in data.columns], *([short(v) for v in row] for row in data.itertuples(index=False))]


def markdown(data: pd.DataFrame) -> str:
    """An aligned table; sentences stand out of their column."""
    rows = [[" ".join(cell.replace("|", r"\|").split()) for cell in row] for row in cells(data)]
    wide = [min(WIDEST, max(3, *(len(row[at]) for row in rows))) for at in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in wide])
    return "".join(
        "| " + " | ".join(c.ljust(width) for c, width in zip(row, wide, strict=True)) + " |\n" for row in rows
    )


def latex(one: Drawn) -> str:
    """A table that compiles with booktabs, long words broken in columns of one width."""
    head, *rows = [[escaped(cell) for cell in row] for row in cells(one.data)]
    column = f"p{{{0.8 / len(head):.3f}\\textwidth}}"
    lines = [f"{' & '.join(row)} \\\\\n" for row in rows]
    return (
        f"\\section*{{{escaped(one.artefact.title)}}}\n{escaped(one.caption)}\n\n"
        f"\\begin{{longtable}}{{{column * len(head)}}}\n\\toprule\n{' & '.join(head)} \\\\\n\\midrule\n\\endhead\n"
        f"{''.join(lines)}\\bottomrule\n\\end{{longtable}}\n"
    )


def escaped(text: str) -> str:
    """Text in which nothing is a command of LaTeX, and all is ASCII."""
    out = "".join(LATEX.get(sign, sign) for sign in " ".join(text.split()))
    return out.encode("ascii", "replace").decode()


def page(
    shown: Sequence[Drawn], missing: Sequence[str], frame: pd.DataFrame, info: Mapping[str, Any], book: pd.DataFrame
) -> str:
    """The leaderboard's page with the artefacts in it; figures are images, so that their ids cannot meet."""
    return template("report.html").render(
        context(frame, info, book),
        shown=shown,
        missing=[*missing, *_versions(frame, info)],
        cells=cells,
        embedded=lambda held: base64.b64encode(held).decode(),
    )


def _versions(frame: pd.DataFrame, info: Mapping[str, Any]) -> list[str]:
    """A line where records were taken over from other runs, and one a run where these were made by different code."""
    reused = sorted(set(frame["detail.reused_from"].dropna())) if "detail.reused_from" in frame else []
    found = [f"records of other runs are among these: {', '.join(reused)}"] if reused else []
    runs = info.get("runs") or []
    if len({(str(run["versions"]), run["commit"]) for run in runs}) > 1:
        found += [f"made by different code: run {run['run']} by {_code(run)}" for run in runs]
    return found


def _code(run: Mapping[str, Any]) -> str:
    parts = [f"{name} {version}" for name, version in (run["versions"] or {}).items()]
    return ", ".join([*parts, f"commit {run['commit'][:12]}"] if run["commit"] else parts) or "an unknown version"
