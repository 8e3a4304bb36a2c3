"""Artefacts as files: CSV with unrounded numbers, Markdown, LaTeX, pictures, and one page with all of them."""

import base64
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from mbcbench.reporting import Artefact

from .leaderboard.html import context
from .paper.claims import claims_table
from .rendered import GROUPS, PICTURES, RenderedArtefact, in_order, render
from .rendering import template
from .selection import label_models
from .text_tables import format_cells, latex_table, markdown_table

Files = dict[str, str | bytes]


def write(
    artefacts: Sequence[Artefact], frame: pd.DataFrame, info: Mapping[str, Any], formats: Sequence[str]
) -> tuple[Files, list[str]]:
    """Return files by name, and a line for each artefact that has no records."""
    rows = label_models(frame)
    claims = claims_table(rows)
    rendered = [render(artefact, rows, claims, _pictures(formats)) for artefact in artefacts]
    missing = [f"{each.id}: {each.missing}" for each in rendered if each.data.empty]
    shown = in_order(each for each in rendered if not each.data.empty)
    files: Files = {}
    for each in shown:
        files |= _files(each, formats)
    if "html" in formats:
        files["index.html"] = page(shown, missing, frame, info, claims, formats)
    if "md" in formats:
        files["README.md"] = index(shown, missing, formats)
    if "latex" in formats:
        tables = [name for name in files if name.endswith(".tex")]
        files["report.tex"] = template("document.tex").render(tables=tables)
    return files, missing


def _pictures(formats: Collection[str]) -> list[str]:
    """Return the formats to draw in. A page shows the picture next to it, or has a PNG inside."""
    pictures = [kind for kind in PICTURES if kind in formats]
    return pictures or (["png"] if "html" in formats else [])


def _files(rendered: RenderedArtefact, formats: Collection[str]) -> Files:
    name, is_table = rendered.id, rendered.artefact.draw is None
    files: Files = {f"{name}.{kind}": picture for kind, picture in rendered.images.items() if kind in formats}
    if "csv" in formats:
        files[f"{name}.csv"] = rendered.data.to_csv(index=False)
    if "md" in formats:
        files[f"{name}.md"] = _markdown(rendered, formats)
    if "latex" in formats and is_table:
        files[f"{name}.tex"] = latex_table(rendered.title, str(rendered.caption), _shown_data(rendered))
    return files


def _markdown(rendered: RenderedArtefact, formats: Collection[str]) -> str:
    if rendered.id == "claims":
        body = template("claims.md").render(groups=_by_claim(rendered.data))
    elif rendered.artefact.draw is None:
        body = markdown_table(_shown_data(rendered))
    else:
        body = "".join(f"![{rendered.title}]({name})\n" for name in _picture_files(rendered, formats)[:1])
    return f"# {rendered.title}\n\n{rendered.caption}\n\n{body}"


def _shown_data(rendered: RenderedArtefact) -> pd.DataFrame:
    """Return the data without the names of data sets if the caption has them."""
    return rendered.data.drop(columns="data", errors="ignore") if rendered.caption.data else rendered.data


def _shown_cells(rendered: RenderedArtefact) -> pd.DataFrame:
    return format_cells(_shown_data(rendered))


def _by_claim(claims: pd.DataFrame) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the readings of each claim under a heading such as `C3 (Sec. 2.3)`, with their places in the table."""
    headings = claims["id"] + " (" + claims["where"] + ")"
    placed = claims.assign(place=range(len(claims)))
    return [(str(heading), _records(rows)) for heading, rows in placed.groupby(headings, sort=False)]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _picture_files(rendered: RenderedArtefact, formats: Collection[str]) -> list[str]:
    """Return the names of the picture's files."""
    return [f"{rendered.id}.{kind}" for kind in PICTURES if kind in rendered.images and kind in formats]


def index(shown: Sequence[RenderedArtefact], missing: Sequence[str], formats: Collection[str]) -> str:
    """Return the list of what was drawn, with links, and of what was not, as Markdown."""
    links = {}
    for each in shown:
        files = [f"{each.id}.csv"] if "csv" in formats else []
        files += _picture_files(each, formats)
        links[each.id] = [(name.rpartition(".")[2], name) for name in files]
    groups = [(group, [each for each in shown if each.group == group]) for group in GROUPS]
    return template("index.md").render(groups=groups, links=links, missing=missing, has_page="html" in formats)


def page(
    shown: Sequence[RenderedArtefact],
    missing: Sequence[str],
    frame: pd.DataFrame,
    info: Mapping[str, Any],
    claims: pd.DataFrame,
    formats: Collection[str],
) -> str:
    """Return the page of the leaderboard with the artefacts in it."""
    ids = {each.id for each in shown}
    return template("report.html").render(
        context(frame, info, claims, with_figure="quality-cost" not in ids),
        groups=[(group, [each for each in shown if each.group == group]) for group in GROUPS],
        missing=[*missing, *_versions(frame, info)],
        sources={each.id: _source(each, formats) for each in shown if each.images},
        cells=_shown_cells,
        by_claim=_by_claim,
    )


def _source(rendered: RenderedArtefact, formats: Collection[str]) -> str:
    """Return the address of a picture: a file next to the page, or the picture itself."""
    files = _picture_files(rendered, formats)
    if files:
        return files[0]
    return f"data:image/png;base64,{base64.b64encode(rendered.images['png']).decode()}"


def _versions(frame: pd.DataFrame, info: Mapping[str, Any]) -> list[str]:
    """Return notes on records that were reused from other runs, and on runs that were made by different code."""
    reused = sorted(set(frame["detail.reused_from"].dropna())) if "detail.reused_from" in frame else []
    lines = [f"records of other runs are among these: {', '.join(reused)}"] if reused else []
    runs = info.get("runs") or []
    if len({(str(run["versions"]), run["commit"]) for run in runs}) > 1:
        lines += [f"made by different code: run {run['run']} by {_code(run)}" for run in runs]
    return lines


def _code(run: Mapping[str, Any]) -> str:
    parts = [f"{name} {version}" for name, version in (run["versions"] or {}).items()]
    if run["commit"]:
        parts.append(f"commit {run['commit'][:12]}")
    return ", ".join(parts) or "an unknown version"
