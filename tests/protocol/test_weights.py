"""Trained weights: state_dicts, checkpoints of training loops, and files that hold none."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mbcbench.adapters import MaskAdapter, channels_first, set_by_set
from mbcbench.errors import UsageError
from mbcbench.protocol.customize import parse_build_options
from mbcbench.protocol.weights import load_weights


def network(width: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 4), nn.BatchNorm1d(4))


def trained() -> dict[str, Any]:
    return {name: torch.full_like(value, 7) for name, value in network().state_dict().items()}


def behind(prefix: str, weights: dict[str, Any] | None = None) -> dict[str, Any]:
    return {prefix + name: value for name, value in (weights or trained()).items()}


def save(folder: Path, content: object) -> Path:
    torch.save(content, folder / "w.pt")
    return folder / "w.pt"


CHECKPOINTS: list[tuple[Callable[[], object], str]] = [
    (trained, ""),
    (lambda: behind("module."), "'module'"),
    (lambda: {"model": trained(), "epoch": 3}, "'model'"),
    (lambda: {"state_dict": behind("model._orig_mod."), "epoch": 3}, "'state_dict.model._orig_mod'"),
    (lambda: {"net": {**behind("pool."), "head.weight": torch.ones(2)}}, "'net.pool', ignored 1 other tensor"),
    (lambda: {"model_state_dict": trained(), "optimizer_state_dict": {"state": {}}}, "'model_state_dict'"),
]


@pytest.mark.parametrize(("checkpoint", "place"), CHECKPOINTS)
@pytest.mark.parametrize("wrap", [lambda module: module, set_by_set, lambda module: set_by_set(channels_first(module))])
def test_the_weights_of_a_checkpoint_are_found_and_their_place_is_said(
    tmp_path: Path, checkpoint: Callable[[], object], place: str, wrap: Callable[[nn.Module], nn.Module]
) -> None:
    module = wrap(network())
    file = save(tmp_path, checkpoint())
    assert load_weights(module, file, "mine") == (f"{file}: took the weights under {place}" if place else "")
    assert all(bool((value == 7).all()) for value in module.state_dict().values())


def test_several_weights_need_a_key(tmp_path: Path) -> None:
    ema = {name: value + 1 for name, value in trained().items()}
    file = save(tmp_path, {"state_dict": {**behind("model."), **behind("ema.", ema)}})
    places = r"choose one with --weights-key: state_dict\.model, state_dict\.ema$"
    with pytest.raises(UsageError, match=rf"w\.pt holds several weights for mine; {places}"):
        load_weights(network(), file, "mine")
    with pytest.raises(UsageError, match=r"no weights for mine under 'emma', but under 'state_dict.model', 'state_"):
        load_weights(network(), file, "mine", "emma")
    module = network()
    load_weights(module, file, "mine", "state_dict.ema")
    assert bool((module.state_dict()["0.weight"] == 8).all())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: network(5).state_dict(), "0.weight is (4, 5) in the file and (4, 3) in the encoder; give the width"),
        (lambda: {"0.weight": torch.ones(4, 3)}, "it lacks 0.bias, 1.weight, 1.bias and 3 more"),
        (lambda: {**trained(), "2.weight": torch.ones(1)}, "has 2.weight"),
        (lambda: torch.ones(3), "w.pt holds a Tensor, not a state_dict"),
        (network, "w.pt holds Python objects, not only tensors; if you trust it: torch.save(torch.load("),
    ],
)
def test_a_file_that_does_not_fit_is_one_line(tmp_path: Path, content: Callable[[], object], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_weights(MaskAdapter(network(), lambda *_: torch.ones(1)), save(tmp_path, content()), "mine")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_file_of_another_kind_is_not_loaded(tmp_path: Path) -> None:
    for name in ("mil.py", "w.safetensors"):
        (tmp_path / name).write_text("import torch\n")
        with pytest.raises(UsageError, match="is not a file of weights that torch or safetensors saved"):
            load_weights(network(), tmp_path / name, "mine")


def test_a_damaged_archive_is_one_line(tmp_path: Path) -> None:
    disks = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 2)  # of an archive on two disks, which zipfile does not read
    (tmp_path / "w.pt").write_bytes(b"PK\x03\x04" + bytes(30) + disks + b"PK\x05\x06" + bytes(18))
    with pytest.raises(UsageError, match=r"w\.pt is not a file of weights that torch or safetensors saved"):
        load_weights(network(), tmp_path / "w.pt", "mine")


def test_a_missing_file_is_found_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such file: nope\.pt"):
        parse_build_options(weights="nope.pt")
    with pytest.raises(UsageError, match=r"--weights-key model names a part of a file: add --weights FILE"):
        parse_build_options(weights_key="model")
    with pytest.raises(UsageError, match=r"--hyper dim_in=4: the width of the elements is not a hyper-parameter"):
        parse_build_options(hyper=["dim_in=4"])


def nested(depth: int) -> dict[str, object]:
    """Return dicts of which each holds the next one twice: a file of a few lines, and 2^depth ways through it."""
    content: dict[str, object] = {}
    for _ in range(depth):
        content = {"a": content, "b": content}
    return content


def test_dicts_that_hold_one_another_many_times_are_not_searched_for_ever(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds more than 100,000 dicts; save the state_dict alone"):
        load_weights(network(), save(tmp_path, nested(40)), "mine")


def test_a_dict_that_holds_itself_is_searched_once(tmp_path: Path) -> None:
    content: dict[str, object] = {"model": trained()}
    content["self"] = content
    assert "under 'model'" in load_weights(network(), save(tmp_path, content), "mine")


def test_the_same_weights_have_the_names_of_all_their_places(tmp_path: Path) -> None:
    state = trained()
    with pytest.raises(UsageError, match="several weights for mine; choose one with --weights-key: a, b"):
        load_weights(network(), save(tmp_path, {"a": state, "b": state}), "mine")


class Counting(nn.Module):
    """A module with state that is not a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.calls = 0

    def get_extra_state(self) -> dict[str, int]:
        return {"calls": self.calls}

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.calls = state["calls"]


def test_extra_state_is_loaded_with_the_weights(tmp_path: Path) -> None:
    trained, fresh = Counting(), Counting()
    trained.calls = 3
    torch.save({"model": trained.state_dict()}, tmp_path / "w.pt")
    load_weights(fresh, tmp_path / "w.pt", "mine")
    assert fresh.calls == 3
    assert torch.equal(fresh.layer.weight, trained.layer.weight)


def test_values_of_another_kind_are_named(tmp_path: Path) -> None:
    torch.save(dict.fromkeys(nn.Linear(2, 2).state_dict(), 0), tmp_path / "w.pt")
    with pytest.raises(UsageError, match=r"w\.pt does not fit mine: some values are no tensors"):
        load_weights(nn.Linear(2, 2), tmp_path / "w.pt", "mine")
