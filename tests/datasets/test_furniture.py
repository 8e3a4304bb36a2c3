"""The catalogues of Sweet Home 3D: classes by name, upright meshes, splits by class."""

import io
import zipfile
from collections.abc import Mapping

import numpy as np
import pytest

from mbcbench.datasets import choose, furniture
from mbcbench.datasets.furniture import CLASSES, Furniture
from mbcbench.errors import UsageError
from tests.datasets.packages import write_package

# A box of width 1 along x, height 4 along y and depth 2 along z: faces of four corners with texture and normal indices.
BOX = """o box
v 0 0 0
v 1 0 0
v 1 4 0
v 0 4 0
v 0 0 2
v 1 0 2
v 1 4 2
v 0 4 2
f 1/1/1 2/1/1 3/1/1 4/1/1
f 5 6 7 8
f 1 2 6 5
f 4 3 7 8
f 1 4 8 5
f 2 3 7 6
"""
NAMES = ("Oak table", "Armchair", "Table tennis", "Bedside TABLE", "Stool")


def catalogue_bytes(names: tuple[str, ...], rotations: Mapping[int, str] | None = None) -> bytes:
    lines = ["# a comment", "id=Someone#Models"]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, name in enumerate(names, 1):
            lines += [f"name#{number}={name}", f"category#{number}=Office", f"model#{number}=/some/{number}/m.obj"]
            if rotations and number in rotations:
                lines.append(f"modelRotation#{number}={rotations[number]}")
            archive.writestr(f"some/{number}/m.obj", BOX)
        archive.writestr(furniture.LIST, "\n".join(lines).encode("latin-1"))
    return buffer.getvalue()


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a package of one catalogue with ten tables and ten chairs."""
    content = catalogue_bytes((*["Table"] * 10, *["Chair"] * 10))
    written = write_package(furniture.PACKAGE, {f"{furniture.INSIDE}Small.sh3f": content})
    monkeypatch.setattr(furniture, "PACKAGE", written)
    monkeypatch.setattr(furniture, "CATALOGUES", ("Small",))
    monkeypatch.setattr(Furniture, "packages", (written,))


def read(content: bytes) -> list[furniture.Model]:
    return list(furniture.read_catalogue(zipfile.ZipFile(io.BytesIO(content))))


def test_the_last_word_of_a_name_is_the_class() -> None:
    models = read(catalogue_bytes(NAMES))
    assert [[*CLASSES][model.label] for model in models] == ["table", "chair", "table"]
    assert [model.path for model in models] == ["some/1/m.obj", "some/2/m.obj", "some/4/m.obj"]


def test_no_word_belongs_to_two_classes() -> None:
    words = [word for words in CLASSES.values() for word in words]
    assert len(words) == len(set(words))


def test_meshes_have_z_upwards_after_their_rotation() -> None:
    upright, turned = read(catalogue_bytes(("Table", "Table"), {2: "1 0 0 0 0 -1 0 1 0"}))
    assert np.ptp(furniture.read_mesh(upright).vertices, axis=0).tolist() == [1, 2, 4]
    assert np.ptp(furniture.read_mesh(turned).vertices, axis=0).tolist() == [1, 4, 2]
    assert len(furniture.read_mesh(upright).faces) == 12


@pytest.mark.usefixtures("package")
def test_each_class_is_split_at_random_and_points_stay_the_same() -> None:
    data = Furniture()
    first, second = data.load_split(50, 0), data.load_split(50, 1)
    assert first.train.shape == (14, 50, 3)
    assert first.train.dtype == np.float32
    assert np.bincount(first.test_labels)[[4, 11]].tolist() == [3, 3]
    assert first.classes == [*CLASSES]
    rows = [{cloud.tobytes() for cloud in (*clouds.train, *clouds.test)} for clouds in (first, second)]
    assert rows[0] == rows[1]
    assert {cloud.tobytes() for cloud in first.test} != {cloud.tobytes() for cloud in second.test}
    assert np.array_equal(data.load(50).test, first.test)


@pytest.mark.usefixtures("package")
def test_clouds_are_normalised() -> None:
    train = choose("clouds", "furniture").load(points=500).train
    assert np.abs(train.mean(axis=1)).max() < 1e-5
    assert np.abs(train.std(axis=(1, 2)) - 1).max() < 1e-5


@pytest.mark.usefixtures("package")
def test_verify_says_what_was_read() -> None:
    Furniture().load(10)
    assert Furniture().verify() == "1 packages; 2 cached files"


def test_a_missing_package_is_one_line() -> None:
    with pytest.raises(UsageError, match=r"sweethome3d-furniture_1\.8-1_all\.deb is missing .* \(apt-get download"):
        Furniture().load()
