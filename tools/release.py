"""Release mbcbench: `python tools/release.py ready`, `try` or `tag`. `make release` runs all three.

`ready` stops with one line unless the version can be released, `try` installs the wheel of dist in a new environment
and uses it in an empty folder, and `tag` does what `ready` does and sets the tag. Nothing is uploaded.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECTION = re.compile(r"^## \[(?P<version>[^]]+)\] - (?P<date>.+)$", re.MULTILINE)
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
ENCODER = "sse-random"


def read_version(root: Path) -> str:
    """Return the version of the package, without importing it."""
    text = (root / "mbcbench" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if match is None:
        sys.exit('mbcbench/__init__.py has no line `__version__ = "..."`; add it')
    return match[1]


def reason_not_to_release(root: Path, version: str) -> str:
    """Return why a version cannot be released now, in one line, or an empty string."""
    section = SECTION.search((root / "CHANGELOG.md").read_text(encoding="utf-8"))
    if section is None or section["version"] != version:
        first = section["version"] if section else "missing"
        return (
            f"mbcbench/__init__.py says {version}, but the first section of CHANGELOG.md is {first}; make them the same"
        )
    if not DATE.fullmatch(section["date"]):
        return f"section {version} of CHANGELOG.md is dated '{section['date']}'; write the date of the release"
    if f"\nversion: {version}\n" not in (root / "CITATION.cff").read_text(encoding="utf-8"):
        return f"CITATION.cff has another version than {version}; write `version: {version}`"
    if git(root, "tag", "--list", f"v{version}"):
        return f"tag v{version} is there already; set a new version in mbcbench/__init__.py"
    changed = git(root, "status", "--porcelain").splitlines()
    if changed:
        return f"the working tree is not clean ({changed[0].strip()}); commit or remove what changed"
    return ""


def git(root: Path, *arguments: str) -> str:
    """Return what git prints."""
    ended = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"git {arguments[0]} failed: {ended.stderr.strip()}")
    return ended.stdout


def find_wheel(folder: Path, version: str) -> Path:
    """Return the wheel of a version."""
    wheel = folder / f"mbcbench-{version}-py3-none-any.whl"
    if not wheel.is_file():
        sys.exit(f"there is no {wheel}; run `make dist`")
    return wheel


def install(wheel: Path, environment: Path, site: Path | None) -> None:
    """Install a wheel with the pinned packages in a new environment, or with those of the folder `site`."""
    venv.create(environment, with_pip=True)
    python, report = str(environment / "bin" / "python"), str(environment / "report.json")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if site is None:
        pins = ["-c", str(ROOT / "constraints.txt"), "--report", report]
        subprocess.run([*pip, *pins, f"{wheel}[all]"], check=True)
        subprocess.run([python, str(ROOT / "tools/pins.py"), report], check=True)
        return
    subprocess.run([*pip, "--no-deps", str(wheel)], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(f"{site.resolve()}\n", encoding="utf-8")


def commands(*, only: str | None) -> list[list[str]]:
    """Return the commands that an installed wheel has to run."""
    limits = ["--only-encoders", "--encoder", only] if only else []
    return [
        ["mbcbench", "--version"],
        ["mbcbench", "check", ENCODER, "--quiet", "--badge", "badge.svg", "--html", "laws.html"],
        ["mbcbench", "run", "--profile", "smoke", "--quiet", *limits],
        ["python", "-m", "pytest", "-q", "--mbcbench", ENCODER],
    ]


def try_wheel(wheel: Path, site: Path | None, only: str | None) -> None:
    """Install a wheel and run the commands in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        environment, empty = Path(folder, "environment"), Path(folder, "empty")
        install(wheel, environment, site)
        empty.mkdir()
        variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        for command in commands(only=only):
            call = [str(environment / "bin" / command[0]), *command[1:]]
            print("$", *command, flush=True)
            code = subprocess.run(call, cwd=empty, env=variables, check=False).returncode
            if code:
                sys.exit(f"`{' '.join(command)}` ended with exit code {code} where the wheel is installed")


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["ready", "try", "tag"])
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository")
    parser.add_argument("--site", type=Path, help="try: use the packages of this folder, install none")
    parser.add_argument("--only", metavar="TARGET", help="try: run the suites on this encoder only")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    version = read_version(options.root)
    if options.step == "try":
        try_wheel(find_wheel(options.root / "dist", version), options.site, options.only)
        return
    reason = reason_not_to_release(options.root, version)
    if reason:
        sys.exit(f"not released: {reason}")
    if options.step == "tag":
        git(options.root, "tag", "--annotate", f"v{version}", "--message", f"mbcbench {version}")
        print(f"tagged v{version}")


if __name__ == "__main__":
    main()
