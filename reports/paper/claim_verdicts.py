"""Claims of the paper and their verdicts: laws that hold or break, and contrasts between models."""

from dataclasses import dataclass

from .contrast_verdicts import chosen_setting, judge_contrast
from .contrasts import Contrast
from .law_verdicts import Holds, judge_law
from .records import Records
from .verdicts import Part, Verdict, combine

PAPER_DATA = ("CelebA", "ModelNet40", "ImageNet")
Test = Holds | Contrast


@dataclass(frozen=True)
class Claim:
    """One reading of a claim of the paper, and its tests.

    id: C1 to C24. reading: name of the reading, or empty if there is only one. where: place in the paper. says: the
    claim in words.
    """

    id: str
    reading: str
    where: str
    says: str
    tests: tuple[Test, ...]

    @property
    def encoders(self) -> list[str]:
        """Encoders that the claim is tested on."""
        return list(dict.fromkeys(name for test in self.tests for name in test.encoders))

    @property
    def contrasts(self) -> list[Contrast]:
        """Tests that compare measurements."""
        return [test for test in self.tests if isinstance(test, Contrast)]

    @property
    def cases(self) -> frozenset[str]:
        """Tasks whose measurements are compared, in any setting."""
        return frozenset(str(where["case"]) for test in self.contrasts for where in test.all_settings)


def judge(claim: Claim, records: Records) -> Verdict:
    """Return the verdict on a claim."""
    place = chosen_setting(claim.contrasts, records)
    parts: list[Part] = []
    for test in claim.tests:
        if isinstance(test, Contrast):
            parts.append(judge_contrast(test, records, len(claim.tests), place))
        else:
            parts += [judge_law(test, model, records.of_model(model)) for model in test.models]
    return combine(parts)


def data_sets(claim: Claim, verdict: Verdict) -> str:
    """Return the data sets on which a claim was tested, marked if they are stand-ins for the paper's."""
    if not all(isinstance(test, Contrast) for test in claim.tests):
        return "random sets"
    names = frozenset[str]().union(*(part.data for part in verdict.parts))
    return "; ".join(name + stand_in(name) for name in sorted(names))


def stand_in(data: str) -> str:
    """Return ` (stand-in)` for a data set that is not the paper's. A part of MNIST counts as MNIST."""
    is_real = any(name in data for name in PAPER_DATA) and "name" not in data
    if is_real or "MNIST" in data:
        return ""
    return " (stand-in)"
