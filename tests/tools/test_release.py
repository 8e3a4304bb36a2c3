"""A version is released only if everything agrees on it, and each obstacle is one line."""

import subprocess
from pathlib import Path

import pytest

from tools.release import commands, find_wheel, main, read_version, reason_not_to_release

FILES = {
    "mbcbench/__init__.py": '__version__ = "0.2.0"\n',
    "CHANGELOG.md": "# Changelog\n\n## [0.2.0] - 2027-01-02\n\n- A change.\n\n## [0.1.0] - 2026-11-25\n",
    "CITATION.cff": "title: x\nversion: 0.2.0\n",
}


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository that is ready to be released."""
    for variable in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.setenv(variable, "x")
    for variable in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(variable, "x@example.org")
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "Release")
    return tmp_path


def test_a_repository_that_agrees_on_its_version_is_tagged_once(repository: Path) -> None:
    main(["ready", "--root", str(repository)])
    assert git(repository, "tag") == ""
    main(["tag", "--root", str(repository)])
    assert git(repository, "tag") == "v0.2.0\n"
    with pytest.raises(SystemExit, match=r"tag v0\.2\.0 is there already"):
        main(["tag", "--root", str(repository)])


@pytest.mark.parametrize(
    ("name", "old", "new", "reason"),
    [
        ("mbcbench/__init__.py", "0.2.0", "0.1.0", "says 0.1.0, but the first section of CHANGELOG.md is 0.2.0"),
        ("CHANGELOG.md", "2027-01-02", "unreleased", "section 0.2.0 of CHANGELOG.md is dated 'unreleased'"),
        ("CHANGELOG.md", "## [", "## ", "the first section of CHANGELOG.md is missing"),
        ("CITATION.cff", "0.2.0", "0.1.0", "CITATION.cff has another version than 0.2.0"),
        ("CITATION.cff", "title: x", "title: y", "the working tree is not clean (M CITATION.cff)"),
    ],
)
def test_what_keeps_a_version_from_being_released_is_one_line(
    repository: Path, name: str, old: str, new: str, reason: str
) -> None:
    (repository / name).write_text(FILES[name].replace(old, new))
    if "clean" not in reason:
        git(repository, "commit", "--quiet", "--all", "--message", "Change")
    for step in ("ready", "tag"):
        with pytest.raises(SystemExit) as ended:
            main([step, "--root", str(repository)])
        assert str(ended.value).startswith("not released: ")
        assert reason in str(ended.value)
        assert "\n" not in str(ended.value)
    assert git(repository, "tag") == ""


def test_a_file_that_is_not_committed_keeps_a_version_from_being_released(repository: Path) -> None:
    (repository / "new.py").write_text("")
    assert "?? new.py" in reason_not_to_release(repository, read_version(repository))


def test_a_wheel_that_was_not_built_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="run `make dist`"):
        find_wheel(tmp_path, "0.2.0")


def test_a_wheel_runs_check_the_suites_and_pytest() -> None:
    text = "\n".join(" ".join(command) for command in commands(only=None))
    assert "mbcbench check " in text
    assert "mbcbench run --profile smoke --quiet\n" in text
    assert "pytest -q --mbcbench " in text
