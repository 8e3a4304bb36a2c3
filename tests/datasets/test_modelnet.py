"""ModelNet40: OFF files, with the malformed headers of the archive."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from mbcbench.datasets import choose, modelnet, off
from mbcbench.datasets.modelnet import ModelNet40
from mbcbench.errors import UsageError

CORNERS = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n"
FACES = "3 0 1 2\n3 0 1 3\n3 0 2 3\n3 1 2 3\n"


@pytest.fixture
def archive(root: Path) -> Path:
    """Two classes of one tetrahedron in each part."""
    for name in ("chair", "airplane"):
        for part in ("train", "test"):
            folder = root / "ModelNet40" / name / part
            folder.mkdir(parents=True)
            (folder / f"{name}_0001.off").write_text(f"OFF\n4 4 0\n{CORNERS}{FACES}")
    return root / "ModelNet40"


@pytest.mark.parametrize(
    "header", ["OFF\n4 4 0\n", "OFF4 4 0\n", "OFF 4 4 0\n", "OFF\r\n4 4 0\r\n", "OFF\n# made\n4 4 0 # of\n"]
)
def test_well_formed_and_malformed_headers_are_read(tmp_path: Path, header: str) -> None:
    (tmp_path / "a.off").write_text(header + CORNERS + FACES)
    mesh = off.read_mesh(tmp_path / "a.off")
    assert mesh.vertices[3].tolist() == [0, 0, 1]
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]]


def test_polygons_become_triangles(tmp_path: Path) -> None:
    (tmp_path / "a.off").write_text(f"OFF\n4 2 0\n{CORNERS}4 0 1 2 3\n3 1 2 3\n")
    assert off.read_mesh(tmp_path / "a.off").faces.tolist() == [[0, 1, 2], [0, 2, 3], [1, 2, 3]]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "does not begin with OFF"),
        ("ply\n", "does not begin with OFF"),
        ("OFF\n4", "no counts"),
        ("OFF\ninf 1 0\n", "not finite"),
        ("OFF\n4 nan 0\n", "not finite"),
        ("OFF\n4 0 0\n" + CORNERS, "no faces"),
        ("OFF\n4 4 0\n0 0 0\n1 0", "cut off in its vertices"),
        (f"OFF\n4 4 0\n{CORNERS}3 0 1 2\n3 0", "cut off in its faces"),
        (f"OFF\n4 4 0\n{CORNERS}3 0 1 2\n", "cut off in its faces"),
        (f"OFF\n4 1 0\n{CORNERS}3 0 1 4\n", "refers to a vertex that does not exist"),
        (f"OFF\n4 1 0\n{CORNERS}3 0 one 2\n", "could not convert"),
        ("OFF\n3 1 0\n0 0 nan\n1 0 0\n0 1 0\n3 0 1 2\n", "not finite"),
        ("OFF\n3 1 0\n0 0 0\n0 0 0\n0 0 0\n3 0 1 2\n", "without area"),
    ],
)
def test_a_damaged_mesh_is_reported_with_its_name_and_the_remedy(archive: Path, content: str, reason: str) -> None:
    (archive / "chair" / "test" / "chair_0001.off").write_text(content)
    for use in (ModelNet40().verify, lambda: ModelNet40().load(10)):
        with pytest.raises(UsageError, match=rf"chair_0001\.off is damaged \(.*{reason}.*fetch modelnet40$"):
            use()


def test_points_are_drawn_from_each_object(archive: Path) -> None:
    clouds = choose("clouds").load(points=50)
    assert clouds.classes == ["airplane", "chair"]
    assert clouds.train.shape == clouds.test.shape == (2, 50, 3)
    assert clouds.train_labels.tolist() == [0, 1]
    assert np.abs(clouds.train.mean(axis=1)).max() < 1e-6
    assert clouds.name == "modelnet40"
    assert ModelNet40().verify() == "2 + 2 meshes of 2 classes; 4 cached files"


def test_a_changed_folder_is_not_served_from_the_cache(archive: Path) -> None:
    ModelNet40().load(10)
    (archive / "chair" / "train" / "chair_0002.off").write_text(f"OFF4 4 0\n{CORNERS}{FACES}")
    assert len(ModelNet40().load(10).train) == 3


def test_a_class_without_files_is_reported(archive: Path) -> None:
    (archive / "chair" / "train" / "chair_0001.off").unlink()
    with pytest.raises(UsageError, match=r"no OFF files in .*chair/train; delete .* data fetch modelnet40"):
        ModelNet40().load(10)


def test_the_archive_is_unpacked_without_the_extra_files_of_a_mac(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("ModelNet40/chair/train/chair_0001.off", f"OFF4 4 0\n{CORNERS}{FACES}")
        file.writestr("__MACOSX/ModelNet40/chair/._train", "")
    modelnet.unpack(tmp_path / "a.zip", tmp_path)
    assert (tmp_path / "ModelNet40" / "chair" / "train" / "chair_0001.off").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ModelNet40", "a.zip"]


def test_an_archive_that_is_cut_off_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(UsageError, match=r"cannot unpack .*a\.zip"):
        modelnet.unpack(tmp_path / "a.zip", tmp_path)
