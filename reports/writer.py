"""Artefacts as files: CSV with unrounded numbers, Markdown, LaTeX, pictures, and one page with all of them."""

import base64
from collections.abc import Collection, Sequence
from dataclasses import replace

import pandas as pd

from mbcbench.reporting import Artefact
from mbcbench.types import JsonObject

from .captions import data_note, sentence
from .columns import Row
from .leaderboard.html import context
from .paper.claim_verdicts import Claim
from .paper.claims import CLAIMS
from .paper.claims_table import CLAIMS_TABLE, claims_table, describe_effect
from .provenance import record_lines
from .rendered import GROUPS, PICTURES, RenderedArtefact, in_order, render
from .rendering import template
from .selection import label_models
from .text_tables import format_cells, format_known, latex_table, markdown_table

Files = dict[str, str | bytes]


def write(
    artefacts: Sequence[Artefact], frame: pd.DataFrame, info: JsonObject, formats: Sequence[str]
) -> tuple[Files, dict[str, str]]:
    """Return files by name, and advice for each artefact without records."""
    rows = label_models(frame)
    claims = claims_table(rows, _named_claims(artefacts, formats))
    shown, missing = [], {}
    for artefact in artefacts:
        # The claims have been judged already.
        known = replace(artefact, data=lambda _: claims) if artefact is CLAIMS_TABLE else artefact
        rendered = render(known, rows, claims, _pictures(formats))
        if rendered.data.empty:
            missing[rendered.id] = rendered.missing
        else:
            shown.append(rendered)
    shown = in_order(shown)
    lines = record_lines(info)
    absent = [f"{name}: {reason}" for name, reason in missing.items()]
    files: Files = {}
    for rendered in shown:
        files |= _files(rendered, formats, lines)
    if "html" in formats:
        files["index.html"] = page(shown, [*absent, *_versions(frame, info)], context(frame, info, claims), formats)
    if "md" in formats:
        files["README.md"] = index(shown, absent, formats, lines)
    if "latex" in formats:
        tables = [name for name in files if name.endswith(".tex")]
        files["report.tex"] = template("document.tex").render(tables=tables)
    return files, missing


def _named_claims(artefacts: Sequence[Artefact], formats: Collection[str]) -> Sequence[Claim]:
    """Return the claims that files name: all of them on a page and in their table, and in texts those of captions."""
    if "html" in formats or CLAIMS_TABLE in artefacts:
        return CLAIMS
    named = {name for artefact in artefacts for name in artefact.claims} if {"md", "latex"} & set(formats) else ()
    return [claim for claim in CLAIMS if claim.id in named]


def _pictures(formats: Collection[str]) -> list[str]:
    """Return the formats to draw in. A page shows a picture file next to it, or contains a PNG."""
    pictures = [kind for kind in PICTURES if kind in formats]
    return ["png"] if "html" in formats and not pictures else pictures


def _files(rendered: RenderedArtefact, formats: Collection[str], lines: Sequence[str]) -> Files:
    """Return the files of an artefact. lines: the origin of its records."""
    files: Files = {}
    for kind, picture in rendered.images.items():
        if kind in formats:
            files[f"{rendered.id}.{kind}"] = picture
    if "csv" in formats:
        files[f"{rendered.id}.csv"] = rendered.data.to_csv(index=False)
    if "md" in formats:
        files[f"{rendered.id}.md"] = _markdown(rendered, formats, lines)
    if "latex" in formats and rendered.is_table:
        caption = " ".join([str(rendered.caption), *map(sentence, lines)])
        files[f"{rendered.id}.tex"] = latex_table(rendered.title, caption, _shown_data(rendered))
    return files


def _markdown(rendered: RenderedArtefact, formats: Collection[str], lines: Sequence[str]) -> str:
    body = ""
    if rendered.id == "claims":
        body = template("claims.md").render(
            claims=_by_claim(rendered.data), effect=describe_effect, number=format_known
        )
    elif rendered.is_table:
        body = markdown_table(_shown_data(rendered))
    elif rendered.picture_files(formats):
        body = f"![{rendered.title}]({rendered.picture_files(formats)[0]})\n"
    origin = "\n\n".join(map(sentence, lines))
    return f"# {rendered.title}\n\n{rendered.caption.markdown()}\n{body.rstrip()}\n\n{origin}\n"


def _shown_data(rendered: RenderedArtefact) -> pd.DataFrame:
    """Return the cells to print: the layout, or the data without the names of data sets if the caption has them."""
    if rendered.artefact.layout is not None:
        return rendered.artefact.layout(rendered.data)
    return rendered.data.drop(columns="data", errors="ignore") if rendered.caption.data else rendered.data


def _shown_cells(rendered: RenderedArtefact) -> pd.DataFrame:
    return format_cells(_shown_data(rendered))


def _by_claim(claims: pd.DataFrame) -> list[tuple[str, Sequence[Row], str]]:
    """Return for each claim a heading such as `C3 (Sec. 2.3)`, its readings with their places, and the data sets."""
    placed = claims.assign(place=range(len(claims)), heading=claims["id"] + " (" + claims["where"] + ")")
    groups: list[tuple[str, Sequence[Row], str]] = []
    for heading, rows in placed.groupby("heading", sort=False):
        readings = rows.to_dict("records")
        groups.append((str(heading), readings, data_note(readings)))
    return groups


def index(
    shown: Sequence[RenderedArtefact], missing: Sequence[str], formats: Collection[str], lines: Sequence[str]
) -> str:
    """Return the lists of artefacts that were drawn, with links, and that were not, as Markdown."""
    origin = list(map(sentence, lines))
    return template("index.md").render(shown=shown, groups=GROUPS, formats=formats, missing=missing, origin=origin)


def page(
    shown: Sequence[RenderedArtefact], missing: Sequence[str], leaderboard: JsonObject, formats: Collection[str]
) -> str:
    """Return the page of the leaderboard with the artefacts in it. leaderboard: see `leaderboard.html.context`."""
    sources = {rendered.id: _source(rendered, formats) for rendered in shown if rendered.images}
    figure = None if "quality-cost" in sources else leaderboard["figure"]
    return template("report.html").render(
        {**leaderboard, "figure": figure},
        shown=shown,
        groups=GROUPS,
        missing=missing,
        sources=sources,
        cells=_shown_cells,
        by_claim=_by_claim,
        effect=describe_effect,
        number=format_known,
    )


def _source(rendered: RenderedArtefact, formats: Collection[str]) -> str:
    """Return the address of a picture: a file next to the page, or the picture itself."""
    for name in rendered.picture_files(formats):
        return name
    return f"data:image/png;base64,{base64.b64encode(rendered.images['png']).decode()}"


def _versions(frame: pd.DataFrame, info: JsonObject) -> list[str]:
    """Return notes on records that were reused from other runs, and on runs that were made by different code."""
    lines = []
    reused = frame.get("detail.reused_from", pd.Series(dtype=object)).dropna()
    if len(reused):
        lines.append(f"records of other runs are among these: {', '.join(sorted(set(reused)))}")
    codes = {str(run["run"]): _code(run) for run in info.get("runs") or []}
    if len(set(codes.values())) > 1:
        lines += [f"made by different code: run {run} by {code}" for run, code in codes.items()]
    return lines


def _code(run: JsonObject) -> str:
    parts = [f"{name} {version}" for name, version in (run["versions"] or {}).items()]
    if run["commit"]:
        parts.append(f"commit {run['commit'][:12]}")
    return ", ".join(parts) or "an unknown version"
