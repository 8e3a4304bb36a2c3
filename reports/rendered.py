"""Artefacts with their numbers, pictures and captions, and their order on pages."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from mbcbench.errors import one_line
from mbcbench.reporting import Artefact

from .captions import Caption, claim_texts, data_note, parameter_note
from .style import WIDTH, image

GROUPS = ("The paper's claims", "Tables of the paper", "Figures of the paper", "Beyond the paper")
PICTURES = ("svg", "png")


@dataclass(frozen=True)
class RenderedArtefact:
    """An artefact with its data, its caption, and its figure as bytes by format.

    is_wide: True if it is too wide for a phone and has to scroll. error: the exception that it raised, in words.
    """

    artefact: Artefact
    data: pd.DataFrame
    caption: Caption
    images: Mapping[str, bytes] = field(default_factory=dict)
    is_wide: bool = False
    error: str = ""

    @property
    def id(self) -> str:
        """Name of the artefact, of its files and of its HTML id."""
        return self.artefact.id

    @property
    def title(self) -> str:
        """Heading."""
        return self.artefact.title

    @property
    def is_table(self) -> bool:
        """True for a table, which has no figure."""
        return self.artefact.draw is None

    @property
    def missing(self) -> str:
        """Return the reason why there is nothing to show."""
        return self.error or f"no records; make them with: {self.artefact.make}"

    @property
    def group(self) -> str:
        """Return the heading under which it is listed, one of `GROUPS`."""
        if self.id == "claims":
            return GROUPS[0]
        if re.match(r"table\d", self.id):
            return GROUPS[1]
        return GROUPS[2] if re.match(r"fig\d", self.id) else GROUPS[3]

    def picture_files(self, formats: Collection[str]) -> list[str]:
        """Return the names of the files that hold its picture."""
        return [f"{self.id}.{kind}" for kind in PICTURES if kind in self.images and kind in formats]


def render(
    artefact: Artefact, frame: pd.DataFrame, claims: pd.DataFrame, pictures: Collection[str]
) -> RenderedArtefact:
    """Return an artefact, drawn in the formats of `pictures`. An error is stored, and others are still drawn."""
    try:
        return _render(artefact, frame, claims, pictures)
    except Exception as error:
        caption = Caption("", artefact.caption, (), "")
        return RenderedArtefact(artefact, pd.DataFrame(), caption, error=f"broke: {one_line(error)}")


def _render(
    artefact: Artefact, frame: pd.DataFrame, claims: pd.DataFrame, pictures: Collection[str]
) -> RenderedArtefact:
    data = artefact.data(frame)
    caption = _caption(artefact, data, claims)
    if artefact.draw is None or data.empty or not pictures:
        return RenderedArtefact(artefact, data, caption)
    figure = artefact.draw(data)
    images = {kind: image(figure, kind) for kind in sorted(pictures)}
    return RenderedArtefact(artefact, data, caption, images, is_wide=figure.get_figwidth() > WIDTH)


def _caption(artefact: Artefact, data: pd.DataFrame, claims: pd.DataFrame) -> Caption:
    tested = claims.assign(place=range(len(claims)))
    rows = tested[tested["id"].isin(artefact.claims)].to_dict("records")
    result = artefact.result(data) if artefact.result is not None and not data.empty else ""
    parameters = parameter_note(data) if artefact.draw is not None else ""  # a table has a column
    return Caption(result, artefact.caption, claim_texts(rows), data_note(rows), parameters)


def in_order(artefacts: Iterable[RenderedArtefact]) -> list[RenderedArtefact]:
    """Return artefacts by group and number: figure 2 comes before figure 10."""
    return sorted(artefacts, key=lambda rendered: (GROUPS.index(rendered.group), _natural(rendered.id)))


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key in which the numbers of a name count as numbers."""
    parts = re.findall(r"\d+|\D+", name)
    return [(int(part), "") if part.isdigit() else (0, part) for part in parts]
