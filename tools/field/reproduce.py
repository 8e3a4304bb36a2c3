"""Run the reproductions in docs/field: `python tools/field/reproduce.py [--update] [NAME ...]`.

Each report has a block of Python, which uses a package and torch alone, and a block with what it prints. Returns 1 if
one prints something else; --update writes what they print into the reports.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from entries import ROOT
from run import PACKAGES

REPORTS = ROOT / "docs" / "field"
BLOCKS = re.compile(r"```python\n(?P<code>.*?)```\n\n```text\n(?P<output>.*?)```", re.DOTALL)
PREAMBLE = "from compat import prepare_torchvision\nprepare_torchvision()\n"


def main() -> int:
    """Run the reports that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="names of reports, by default all")
    parser.add_argument("--packages", type=Path, default=PACKAGES, help="folder with the packages")
    parser.add_argument("--update", action="store_true", help="write the output into the reports")
    arguments = parser.parse_args()
    differing = 0
    for path in sorted(REPORTS.glob("*.md")):
        if arguments.names and path.stem not in arguments.names:
            continue
        text = path.read_text(encoding="utf-8")
        match = BLOCKS.search(text)
        assert match is not None, path
        output = run(match["code"], arguments.packages)
        is_same = output == match["output"]
        differing += not is_same
        print(f"{path.stem}: {'as reported' if is_same else output}")
        if arguments.update:
            start, end = match.span("output")
            path.write_text(text[:start] + output + text[end:], encoding="utf-8")
    return 1 if differing and not arguments.update else 0


def run(code: str, packages: Path) -> str:
    """Return what a reproduction prints, or the last line of its traceback."""
    environment = os.environ | {"PYTHONPATH": f"{Path(__file__).parent}:{packages}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", PREAMBLE + code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else done.stderr.strip().splitlines()[-1] + "\n"


if __name__ == "__main__":
    sys.exit(main())
