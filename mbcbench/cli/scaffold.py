"""A new encoder's project: `mbcbench new encoder NAME` writes one that passes its own tests."""

import importlib.util
import keyword
import re
from pathlib import Path
from string import Template

from mbcbench import registry
from mbcbench.errors import UsageError

_FILES = {
    "pyproject.toml": """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "mbcbench-$name"
version = "0.1.0"
description = "The set encoder $name, for mbcbench"
requires-python = ">=3.11"
dependencies = ["mbcbench", "torch"]

[project.entry-points."mbcbench.encoders"]
$name = "$module:SPEC"

[tool.setuptools]
py-modules = ["$module"]

[tool.pytest.ini_options]
pythonpath = ["."]
testpaths = ["tests"]
""",
    "$module.py": '''\
"""$title: a network per element, and the mean of what it gives."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

import mbcbench


class State(NamedTuple):
    """The sum of the features so far (`B x d_hat`), and the number of elements (`B x 1`)."""

    total: Tensor
    count: Tensor


class $title(mbcbench.SetEncoder[State]):
    """`B x n x d` to `B x d_hat`."""

    def __init__(self, dim_in: int, *, dim: int = 16) -> None:
        super().__init__()
        self.dim = dim
        self.phi = nn.Sequential(nn.Linear(dim_in, dim), nn.Tanh(), nn.Linear(dim, dim))

    def init_state(self, batch_size: int) -> State:
        like = next(self.parameters())
        return State(like.new_zeros(batch_size, self.dim), like.new_zeros(batch_size, 1))

    def update(self, state: State, x: Tensor, mask: Tensor | None = None) -> State:
        if mask is None:
            mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        present = mask[:, :, None]
        features = self.phi(torch.where(present, x, 0)) * present  # what is masked may hold NaN
        return State(state.total + features.sum(1), state.count + mask.sum(1, keepdim=True))

    def merge(self, a: State, b: State) -> State:
        return State(a.total + b.total, a.count + b.count)

    def readout(self, state: State) -> Tensor:
        return state.total / state.count.clamp(min=1)


SPEC = mbcbench.EncoderSpec(
    name="$name",
    factory=$title,
    summary="a network per element, then the mean",
    claims={"mbc.partition": "sums and counts do not see how the set was cut"},
)
''',
    "tests/test_$module.py": """\
import mbcbench
from $module import SPEC


@mbcbench.parametrize_with_laws([SPEC])
def test_laws(encoder, check):
    check(encoder)
""",
    "README.md": """\
# $name

A set encoder for mbcbench.

    pip install -e .             # registers it as $name
    pytest                       # the laws, one test each
    mbcbench check $name         # the same, with a table
    mbcbench run --encoder $name # beside the other encoders

`$module.py` holds the encoder. A law that it breaks on purpose belongs in its spec, with the reason:
`breaks={"law.id": "why"}`.
""",
}


def new_encoder(name: str, folder: Path = Path()) -> Path:
    """Write a plug-in project `folder/NAME` with an encoder that works and its tests; gives the project's folder.

    Raises UsageError when the name is unfit or taken, or the project's folder exists already.
    """
    module = _module(name)
    project = folder / name
    if project.exists():
        raise UsageError(f"{project} exists already; choose another name or remove it")
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}; create it first")
    words = {"name": name, "module": module, "title": "".join(part.capitalize() for part in name.split("-"))}
    for path, text in _FILES.items():
        file = project / Template(path).substitute(words)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(Template(text).substitute(words), encoding="utf-8")
    return project


def _module(name: str) -> str:
    """The name of the Python module of an encoder."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise UsageError(f"{name!r} is no name for an encoder; use lower-case words, as in my-encoder")
    module = name.replace("-", "_")
    if name in registry.plugins(registry.ENCODERS):
        raise UsageError(f"an encoder called {name!r} is registered already; choose another name")
    if keyword.iskeyword(module) or importlib.util.find_spec(module) is not None:
        raise UsageError(f"{name!r} will not do: Python has a module or keyword {module} already; choose another name")
    return module
