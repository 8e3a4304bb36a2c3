"""CelebA: faces and the partition file."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mbcbench.datasets import choose, data_set
from mbcbench.datasets.celeba import CelebA
from mbcbench.errors import UsageError


@pytest.fixture
def faces(root: Path) -> Path:
    """Four faces, 178 x 218, grey with a white border outside the central square."""
    folder = root / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    for number in range(1, 5):
        pixels = np.full((218, 178, 3), 40 * number, np.uint8)
        pixels[:20] = pixels[198:] = 255
        Image.fromarray(pixels).save(folder / "img_align_celeba" / f"{number:06}.jpg")
    lines = "000001.jpg 0\n000002.jpg 0\n000003.jpg 1\n000004.jpg 2\n"
    (folder / "list_eval_partition.txt").write_text(lines)
    return folder


def test_the_partition_file_assigns_images_to_parts(faces: Path) -> None:
    patches = choose("patches").load(size=32)
    assert patches.train.shape == (2, 3, 32, 32)
    assert patches.test.shape == (1, 3, 32, 32)
    assert [round(float(face.mean()), -1) for face in (*patches.train, *patches.test)] == [40, 80, 160]
    assert patches.name == "celeba"


def test_verify_reads_every_image(faces: Path) -> None:
    assert data_set("celeba").verify() == "list_eval_partition.txt, 4 images; 0 cached files"
    image = faces / "img_align_celeba" / "000003.jpg"  # validation: not used
    image.write_bytes(image.read_bytes()[:300])
    with pytest.raises(UsageError, match=r"000003\.jpg is damaged .*; get CelebA's aligned images"):
        data_set("celeba").verify()


def test_a_missing_image_is_reported(faces: Path) -> None:
    (faces / "img_align_celeba" / "000002.jpg").unlink()
    with pytest.raises(UsageError, match=r"there is no .*000002\.jpg; get CelebA"):
        CelebA().load(32)


@pytest.mark.parametrize("line", ["000001.jpg", "000001.jpg 3", "<html>"])
def test_a_damaged_partition_file_is_reported_with_the_line(faces: Path, line: str) -> None:
    (faces / "list_eval_partition.txt").write_text(f"000001.jpg 0\n{line}\n")
    with pytest.raises(UsageError, match=r"list_eval_partition\.txt line 2 is not a name and 0, 1 or 2"):
        CelebA().load(32)


@pytest.mark.parametrize("content", ["", "000001.jpg 0\n"])
def test_a_partition_file_that_is_cut_off_is_refused(faces: Path, content: str) -> None:
    (faces / "list_eval_partition.txt").write_text(content)
    with pytest.raises(UsageError, match="has no images to train on or none to test on"):
        CelebA().load(32)


def test_fetch_says_what_to_put_where(root: Path) -> None:
    with pytest.raises(UsageError, match=r"needs its authors' licence: .*list_eval_partition\.txt into .*celeba"):
        data_set("celeba").fetch()


@pytest.mark.parametrize("name", ["../../secret.jpg", "/etc/secret.jpg", "a/b.jpg"])
def test_a_name_that_leads_out_of_the_folder_is_refused(faces: Path, name: str) -> None:
    (faces / "list_eval_partition.txt").write_text(f"000001.jpg 0\n{name} 2\n")
    with pytest.raises(UsageError, match=f"line 2: '{name}' is not the name of a file"):
        CelebA().load()


def test_an_image_that_decompresses_to_more_than_a_limit_is_damaged(
    faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UsageError, match=r"\.jpg is damaged \(Image size .* exceeds limit"):
        data_set("celeba").verify()
