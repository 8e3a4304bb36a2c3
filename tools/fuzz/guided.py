"""Fuzz a reader with Atheris: inputs that reach new branches of the code that reads them are changed further.

An input is the content of one of the files of the reader; if there are several, its first byte says of which.
"""

import gc
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import FunctionType

import atheris
from mutations import WORDS

PACKAGES = ("mbcbench", "json", "tomllib", "zipfile", "PIL", "zarr", "numcodecs")
MODULES = {"numpy.lib._format_impl", "numpy.lib._npyio_impl", "torch.serialization", "torch._weights_only_unpickler"}
MIN_BYTES, MAX_WORD = 4096, 64  # of the longest input, at least; of a word that libFuzzer takes


@cache
def instrument() -> None:
    """Let the functions that read files, as far as they are imported, tell libFuzzer which branches they take.

    This takes seconds, and the processes that are forked afterwards need not do it again.
    """
    for function in [each for each in gc.get_objects() if type(each) is FunctionType]:  # isinstance wakes proxies
        module = function.__module__ or ""
        if module in MODULES or module.partition(".")[0] in PACKAGES:
            atheris.instrument_func(function)


def dictionary() -> str:
    """Return the words of the mutations as libFuzzer reads them."""
    words = (word for word in WORDS if len(word) <= MAX_WORD)
    return "".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in words)


def fuzz_files(
    contents: Mapping[Path, bytes], folder: Path, count: int, seed: int, try_one: Callable[[Path, bytes], None]
) -> None:
    """Try contents that libFuzzer makes of those of valid files; the process ends afterwards.

    folder: for the files of libFuzzer.
    """
    files = sorted(contents)
    several = len(files) > 1
    corpus, words = folder / "corpus", folder / "words"
    corpus.mkdir()
    words.write_text(dictionary())
    for number, file in enumerate(files):
        (corpus / str(number)).write_bytes(bytes([number] if several else []) + contents[file])

    def try_input(content: bytes) -> None:
        try_one(files[content[0] % len(files) if several and content else 0], content[several:])

    longest = max(map(len, contents.values()))
    options = {
        "runs": count, "seed": seed + 1, "max_len": max(MIN_BYTES, 2 * longest), "timeout": 0,
        "rss_limit_mb": 0, "malloc_limit_mb": 0, "verbosity": 0, "dict": words, "artifact_prefix": f"{folder}/",
    }  # fmt: skip
    with open(os.devnull, "w") as devnull:
        os.dup2(devnull.fileno(), sys.stderr.fileno())  # which libFuzzer chats on
    atheris.Setup(["fuzz", *(f"-{name}={value}" for name, value in options.items()), str(corpus)], try_input)
    atheris.Fuzz()
