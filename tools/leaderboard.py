"""Write docs/leaderboard.md and what it shows from a run: `python tools/leaderboard.py RUN`.

With Chromium, the README's picture of the table is drawn too.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from browser import BROWSER, HEADLESS
from PIL import Image
from scipy.stats import spearmanr
from template import DOCS, markdown_table, origin_text, write

import mbcbench
from mbcbench.api.report import merge_runs
from mbcbench.records import reference, store
from mbcbench.records.record import frame
from mbcbench.reports.leaderboard.board import Entry, entries, format_score, remarks
from mbcbench.reports.leaderboard.columns import encoders_of
from mbcbench.reports.leaderboard.ranking import Ranking
from mbcbench.reports.leaderboard.standard import TaskScores
from mbcbench.reports.leaderboard.standing import name_leaders
from mbcbench.reports.leaderboard.table import ranked_table
from mbcbench.reports.selection import tidy

RESULTS = DOCS / "results"
LOST = 0.005  # a smaller loss by streaming is not shown
# Columns of the page's table that the picture leaves out (random chunks, the other size, memory, parameters); each
# encoder takes one line.
HIDDEN = (4, 5, 8, 9, 12, 13, 17, 18)
SELECTORS = ", ".join(f"tr:is(.columns, [data-place]) > :nth-child({place})" for place in HIDDEN)
PICTURE_STYLE = f"""<style>
header, main > *:not(#leaderboard), #leaderboard > *:not(.scroll), {SELECTORS} {{ display: none !important; }}
body {{ margin: 0; padding: 0.75rem; }}
.fit {{ margin: 0 !important; width: fit-content !important; max-height: none !important; }}
.ranked .name > span:not(.rank) > small, .ranked .below {{ display: none; }}
.ranked .name {{ width: 17.5rem; }}
.ranked .rank {{ width: 4.6em; text-align: left; }}
.ranked .rank small {{ display: inline; float: right; }}
.ranked .headings th {{ white-space: nowrap; }}
.ranked thead {{ position: static; }}
</style>"""
PICTURE_SIZE = "888,1296"  # of the table, in pixels


def main(run: str) -> None:
    """Write the page, its table in HTML, the figure of ranks, and the picture of the table."""
    folder = store.find(run)
    write("leaderboard", words(folder))
    with tempfile.TemporaryDirectory() as name:
        made = Path(name)
        mbcbench.report(folder, only=["ranking"], formats=["html", "png"], out=made)
        shutil.copyfile(made / "index.html", RESULTS / "leaderboard.html")
        shutil.copyfile(made / "ranking.png", RESULTS / "ranking.png")
        draw_picture(made / "index.html")


def words(folder: Path) -> dict[str, Any]:
    """Return the variables of the page's template."""
    info, own = merge_runs([folder])
    records = reference.add_reference(own, info)
    table, ranking = ranked_table(records, encoders_of(tidy(records), info))
    trained = frame(reference.load().records)
    headings = ["rank", "encoder", *(scores.task.key for scores in ranking.tasks)]
    return {
        "ENCODERS": len(table),
        "RESULT": name_leaders(table),
        "TABLE": markdown_table(headings, [row_of(entry, ranking) for entry in entries(table)]),
        "RECORDS": origin_text(info),
        "TASKS": [trust(scores, trained[trained["suite"].eq(scores.task.suite)]) for scores in ranking.tasks],
    }


def row_of(entry: Entry, ranking: Ranking) -> list[str]:
    """Return the cells of an encoder: rank with interval and group, name, and a score for each task."""
    rank = f"{entry.rank} ({entry.interval}) {entry.group}" if entry.rank else "–"
    scores = [score(task.table.loc[entry.name].to_dict()) for task in ranking.tasks]
    return [rank, "".join([entry.name, *entry.marks]), *scores]


def score(row: dict[str, Any]) -> str:
    """Return the worst score with its marks and interval, and the score in one piece if streaming loses any."""
    whole = f" ({format_score(row['one_piece'])})" if row["lost"] > LOST else ""
    return f"{format_score(row['score'])}{''.join(remarks(row))} ±{format_score(row['half'])}{whole}"


def trust(scores: TaskScores, records: pd.DataFrame) -> dict[str, Any]:
    """Return how many encoders have converged on a task, and how their order depends on steps and seeds."""
    gain = scores.table["gain"].dropna()
    first = gain.idxmax()
    doubled = records[records["params.role"].eq("doubled")].set_index("encoder")["value"]
    final = records[records["params.role"].eq("final")].drop_duplicates(["encoder", "seed"])
    by_seed = final.pivot(index="encoder", columns="seed", values="detail.validation_score").loc[doubled.index]
    pairs = [spearmanr(by_seed[a], by_seed[b]).statistic for a, b in combinations(by_seed.columns, 2)]
    return {
        "title": scores.task.title,
        "converged": int((~scores.table.loc[gain.index, "unconverged"]).sum()),
        "count": len(gain),
        "median": format_score(gain.median()),
        "most": f"{first} ({format_score(gain[first])})",
        "doubled": f"{spearmanr(by_seed[0], doubled).statistic:.2f}",
        "seeds": f"{np.median(pairs):.2f} in the median",
    }


def draw_picture(page: Path) -> None:
    """Draw the table of a page as docs/leaderboard.png, if Chromium is installed; the page is changed for that."""
    if BROWSER is None:
        print("Chromium is not installed: docs/leaderboard.png is not drawn")
        return
    text = re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", page.read_text(encoding="utf-8"))
    text = text.replace('colspan="4"', 'colspan="2"').replace('colspan="3"', 'colspan="1"')
    page.write_text(text.replace("</head>", f"{PICTURE_STYLE}</head>"), encoding="utf-8")
    options = [*HEADLESS, "--hide-scrollbars", "--force-device-scale-factor=1.5", f"--window-size={PICTURE_SIZE}"]
    picture = DOCS / "leaderboard.png"
    command = [BROWSER, *options, f"--screenshot={picture}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    reduce_colours(picture)


def reduce_colours(picture: Path) -> None:
    """Rewrite a picture of text and flat areas with a palette, in less than half of its bytes."""
    with Image.open(picture) as image:
        palette = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    palette.save(picture, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
