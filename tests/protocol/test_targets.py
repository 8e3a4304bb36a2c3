"""Targets: files with neighbours, widths of instances, hyper-parameters and weights."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mbcbench
from mbcbench.errors import BrokenPluginError, UsageError
from mbcbench.protocol.build import build_from_spec, get_spec, spec_from_object
from mbcbench.protocol.copying import copy_module
from mbcbench.protocol.customize import BuildOptions
from mbcbench.protocol.encoder import encode_stream
from mbcbench.protocol.on_device import on_device
from mbcbench.verify.domain import Domain
from mbcbench.verify.validate import element_width, validate

HINT = r"( \(did you mean width\?\)|\. Did you mean 'width'\?)"  # mbcbench's, or that of Python 3.13


class Mean(nn.Module):
    def __init__(self, dim_in: int, width: int = 4) -> None:
        super().__init__()
        self.head = nn.Linear(width, 5)
        self.project = nn.Linear(dim_in, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.project(x).mean(1))
        return out


class Stream(nn.Module):
    """The mean as a stream that defines no forward."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi = nn.Linear(dim_in, 4)

    def init_state(self, batch_size: int) -> tuple[Tensor, Tensor]:
        zeros = self.phi.weight.new_zeros
        return zeros(batch_size, 4), zeros(batch_size, 1)

    def update(self, state: tuple[Tensor, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        return state[0] + self.phi(x).sum(1), state[1] + x.shape[1]

    def readout(self, state: tuple[Tensor, Tensor]) -> Tensor:
        return state[0] / state[1].clamp(min=1)


class MaskedStream(Stream):
    def update(self, state: tuple[Tensor, Tensor], x: Tensor, *, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        present = torch.ones_like(x[..., :1]) if mask is None else mask[..., None].to(x.dtype)
        return state[0] + (self.phi(x) * present).sum(1), state[1] + present.sum(1)


class Welford(mbcbench.SetEncoder[tuple[Tensor, Tensor]]):
    """The mean as a set encoder whose update takes no mask."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.stream = Stream(dim_in)

    def init_state(self, batch_size: int) -> tuple[Tensor, Tensor]:
        return self.stream.init_state(batch_size)

    def update(self, state: tuple[Tensor, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return self.stream.update(state, x)

    def merge(self, a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return a[0] + b[0], a[1] + b[1]

    def readout(self, state: tuple[Tensor, Tensor]) -> Tensor:
        return self.stream.readout(state)


@pytest.mark.parametrize("target", [Stream, MaskedStream, Stream(3), Welford])
def test_a_stream_needs_no_forward_and_no_mask(target: object) -> None:
    module = build_from_spec(spec_from_object(target, "stream"), dim_in=3)
    x = torch.randn(2, 5, 3)
    encoding = module(x)
    torch.testing.assert_close(encoding, encode_stream(module, [x[:, :2], x[:, 2:]]))
    validate(module, dim_in=3, name="stream", domain=Domain())
    assert torch.equal(on_device(module, "cpu")(x), encoding)


def test_a_copy_of_a_stream_without_a_forward_encodes_with_its_own_weights() -> None:
    module = build_from_spec(spec_from_object(MaskedStream, "stream"), dim_in=3)
    assert isinstance(module, MaskedStream)
    twin = copy_module(module)
    nn.init.zeros_(twin.phi.weight)
    x, mask = torch.randn(2, 5, 3), torch.tensor([[True] * 5, [True] * 2 + [False] * 3])
    assert twin(x).std(0).max() == 0 < module(x).std(0).max()
    torch.testing.assert_close(module(x, mask=mask)[1], module(x[1:, :2])[0])
    with pytest.raises(NotImplementedError):
        MaskedStream(3)(x)


class Configured(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.phi = nn.Linear(config.dim, 4)


class OfLayers(nn.Module):
    def __init__(self, layers: Any) -> None:
        super().__init__()
        self.phi = nn.Sequential(*layers)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (lambda x: x.sum(1), r"no attribute 'sum' .*; a function is called with dim_in and returns a module: wrap"),
        (lambda x: torch.mean(x) + 1, r"must be Tensor, not int .*; a function is called with dim_in and returns"),
        (lambda x: 2 * x, r"returned 6, which is not a torch.nn.Module; a target is a module class, an instance, a f"),
        (Configured, r"no attribute 'dim' .*; its argument config got the element width: give a factory in its place"),
        (OfLayers, r"not int .* factory in its place, def make\(dim_in\): return OfLayers\(layers=\.\.\.\)$"),
    ],
)
def test_a_target_that_does_not_take_the_width_is_told_what_one_is(
    target: Callable[..., nn.Module], message: str
) -> None:
    with pytest.raises((BrokenPluginError, UsageError), match=message):
        build_from_spec(spec_from_object(target, "mine"), dim_in=3)


def test_an_error_in_a_factory_is_not_taken_for_one_about_the_width() -> None:
    def fails(width: int) -> nn.Module:
        raise ValueError("an int is too small")

    def lacks_sum(dim_in: int) -> nn.Module:
        return dim_in.sum()  # type: ignore[attr-defined,no-any-return]

    for target in (fails, lacks_sum):
        with pytest.raises(BrokenPluginError, match=r"test_targets.py:\d+\)$"):
            build_from_spec(spec_from_object(target, "mine"), dim_in=3)


def test_a_target_file_can_import_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_target.py").write_text("from torch.nn import Identity as Encoder\n")
    (tmp_path / "target.py").write_text("from neighbour_of_target import Encoder\n")
    assert get_spec(f"{tmp_path / 'target.py'}:Encoder").factory is nn.Identity


def test_a_module_in_the_current_folder_is_a_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "module_in_this_folder.py").write_text("from torch.nn import Identity as Encoder\nclass Other: pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert get_spec("module_in_this_folder:Encoder").factory is nn.Identity
    with pytest.raises(UsageError, match=r"has no attribute 'Attention'; it defines Other$"):
        get_spec("module_in_this_folder:Attention")


def test_a_library_that_is_missing_is_told_how_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(UsageError, match=r"'trimesh_.*is it installed, or on PYTHONPATH"):
        get_spec("trimesh_.nn:Encoder")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"install it with: pip install 'mbcbench\[pyg\]'"):
        get_spec("torch_geometric.nn.aggr:SoftmaxAggregation")


def test_a_class_that_is_no_module_is_told_the_adapter() -> None:
    with pytest.raises(UsageError, match=r"not a torch.nn.Module; .*StatefulAdapter\(object, fields"):
        spec_from_object(Path, "metric")


def test_the_width_of_an_instance_is_one_that_it_encodes() -> None:
    assert element_width(spec_from_object(Mean(7), "mean")) == 7  # its first Linear layer takes 4


def test_hyper_parameters_and_weights_of_a_checkpoint_are_used(tmp_path: Path) -> None:
    trained = Mean(3, width=6)
    weights = tmp_path / "w.pt"
    torch.save({"state_dict": {f"module.{name}": value for name, value in trained.state_dict().items()}}, weights)
    options = BuildOptions(hyper={"width": 6}, weights=str(weights))
    module = build_from_spec(options.apply(spec_from_object(Mean, "mean")), dim_in=3)
    assert torch.equal(module.state_dict()["head.weight"], trained.head.weight)


class Pool(nn.Module):
    """A pooling without a constructor: `nn.Module` takes any arguments, and refuses them."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


class Scaled(Pool):
    def __init__(self, scale: float = 2.0) -> None:
        super().__init__()
        self.scale = scale


class WidthByName(Mean):
    def __init__(self, *, dim_in: int, width: int = 4) -> None:
        super().__init__(dim_in, width)


class WidthLater(Mean):
    def __init__(self, width: int, dim_in: int) -> None:
        super().__init__(dim_in, width)


class Tempered(Mean):
    def __init__(self, dim_in: int, width: int = 4, warmth: float = 1.0) -> None:
        super().__init__(dim_in, width)
        self.warmth = warmth


class FixedWidth(Mean):
    def __init__(self) -> None:
        super().__init__(7)


@pytest.mark.parametrize(
    ("target", "width"),
    [(Pool, 3), (Scaled, 3), (WidthByName, 3), (FixedWidth, 7), (lambda: Mean(7), 7), (lambda d=4: Mean(d), 3)],
)
def test_the_width_is_passed_as_the_constructor_takes_it(target: Callable[..., nn.Module], width: int) -> None:
    spec = spec_from_object(target, "target")
    assert element_width(spec) == width
    validate(build_from_spec(spec, dim_in=width), dim_in=width, name="target", domain=Domain())


def test_hyper_parameters_go_with_the_width() -> None:
    module = build_from_spec(spec_from_object(WidthLater, "later"), dim_in=5, width=6)
    assert module.state_dict()["project.weight"].shape == (6, 5)
    scaled = build_from_spec(spec_from_object(Scaled, "scaled"), dim_in=5, scale=4.0)
    assert getattr(scaled, "scale") == 4.0  # noqa: B009


@pytest.mark.parametrize(
    ("target", "hyper", "advice"),
    [
        (WidthLater, {}, "; set it with --hyper NAME=VALUE, it takes width"),
        (Mean, {"widht": 4}, f"{HINT}; set it with --hyper NAME=VALUE, it takes width"),
        (Tempered, {"factor": 4}, "; set them with --hyper NAME=VALUE, it takes width, warmth"),
        (Pool, {"width": 4}, "; it takes no hyper-parameters"),
    ],
)
def test_wrong_arguments_of_a_constructor_are_told_the_right_ones(
    target: type[nn.Module], hyper: dict[str, int], advice: str
) -> None:
    with pytest.raises(BrokenPluginError, match=rf"building mine for elements of width 3: TypeError: .*[')]{advice}$"):
        build_from_spec(spec_from_object(target, "mine"), dim_in=3, **hyper)


def test_a_hyper_parameter_of_the_command_line_is_told_the_nearest() -> None:
    spec = BuildOptions(hyper={"widht": 4}).apply(spec_from_object(Mean, "mine"))
    with pytest.raises(BrokenPluginError, match=f"'widht'{HINT}; set it with"):
        build_from_spec(spec, dim_in=3)


def test_weights_keep_the_width_of_an_instance(tmp_path: Path) -> None:
    torch.save(Mean(7).state_dict(), tmp_path / "w.pt")
    spec = BuildOptions(weights=str(tmp_path / "w.pt")).apply(spec_from_object(Mean(7), "mean"))
    assert element_width(spec) == 7


def test_an_error_names_the_line_of_the_user() -> None:
    with pytest.raises(BrokenPluginError, match=r"test_targets\.py:\d+.*--dim-in N"):
        validate(Mean(7), dim_in=3, name="mean", domain=Domain())


def test_a_module_for_channels_first_is_told_to_transpose() -> None:
    with pytest.raises(BrokenPluginError, match=r"mbcbench\.adapters\.channels_first\(module\)"):
        validate(nn.Conv1d(3, 5, 1), dim_in=3, name="convolution", domain=Domain())


def test_a_package_that_lacks_a_library_is_not_reported_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lacking"
    package.mkdir()
    (package / "__init__.py").write_text("import library_that_is_absent\n")
    (package / "enc.py").write_text("class E: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(BrokenPluginError, match=r"importing lacking: ModuleNotFoundError: .*library_that_is_absent"):
        get_spec("lacking.enc:E")
    (package / "__init__.py").write_text("raise RuntimeError('no licence')\n")
    with pytest.raises(BrokenPluginError, match="no licence"):
        get_spec("lacking.enc:E")
    (package / "__init__.py").write_text("")
    with pytest.raises(UsageError, match=r"no module is called 'lacking\.en'"):
        get_spec("lacking.en:E")
    with pytest.raises(UsageError, match=r"no module is called 'lacking\.enc\.more'"):
        get_spec("lacking.enc.more:E")
