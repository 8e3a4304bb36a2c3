"""Image files."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mbcbench.errors import UsageError, require

if TYPE_CHECKING:
    from PIL.Image import Image


def read_image(path: Path, remedy: str) -> "Image":
    """Return an image, completely decoded, in RGB. Raises UsageError with the remedy if it is missing or damaged."""
    require("PIL", "images are read with Pillow")
    from PIL import Image

    try:
        with Image.open(path) as file:
            return file.convert("RGB")  # decodes all of it
    except FileNotFoundError as error:
        raise UsageError(f"there is no {path}; {remedy}") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # of Pillow, for damaged files
        raise UsageError(f"{path} is damaged ({error}); {remedy}") from error


def crop_and_resize(image: "Image", crop: int, size: int) -> NDArray[np.uint8]:
    """Return the central `crop` x `crop` pixels of an image, resized, as `3 x size x size`."""
    from PIL import Image

    left, top = (image.width - crop) // 2, (image.height - crop) // 2
    box = (left, top, left + crop, top + crop)
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BOX, box=box, reducing_gap=None))
    return pixels.transpose(2, 0, 1)
