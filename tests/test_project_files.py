"""What hosts and contributors read: workflows, forms and pages refer to what exists, and there is one version."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import mbcbench

yaml = pytest.importorskip("yaml", reason="needs pyyaml")

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
PAGES = ("CHANGELOG.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "docs/ci.md")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(workflow: Path) -> list[dict[str, Any]]:
    return [step for job in load(workflow)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_make_targets_that_exist(workflow: Path) -> None:
    called = re.findall(r"make ([a-z-]+)", "\n".join(step.get("run", "") for step in steps(workflow)))
    assert called
    assert set(called) <= TARGETS


@pytest.mark.parametrize("workflow", [*WORKFLOWS, ROOT / "action.yml"], ids=lambda path: path.stem)
def test_actions_are_pinned_by_their_major_version_and_no_secret_is_used(workflow: Path) -> None:
    text = workflow.read_text(encoding="utf-8")
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", name) for name in re.findall(r"uses: (\S+)", text))
    assert "secrets." not in text


@pytest.mark.parametrize("name", ["macos", "nightly", "package", "site"])
def test_a_workflow_may_only_read(name: str) -> None:
    assert load(ROOT / ".github" / "workflows" / f"{name}.yml")["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_a_form_has_what_a_host_requires(form: Path) -> None:
    fields = load(form)
    assert {"name", "description", "body"} <= fields.keys()
    names = [field["id"] for field in fields["body"]]
    assert len(names) == len(set(names))
    assert {field["type"] for field in fields["body"]} <= {"input", "textarea"}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_files_and_make_targets_that_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link and not link.endswith(".svg")]
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []
    for command in re.findall(r"`make ([a-z -]+)`", text):
        assert set(command.split()) <= TARGETS, command


def test_the_hooks_of_contributors_exclude_what_ruff_excludes() -> None:
    (repository,) = load(ROOT / ".pre-commit-config.yaml")["repos"]
    (excluded,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["extend-exclude"]
    hooks = {hook["id"]: hook for hook in repository["hooks"]}
    assert {hooks[name]["exclude"] for name in ("ruff-check", "ruff-format")} == {f"^{excluded}/"}


def test_the_version_is_written_once_and_cited() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "mbcbench.__version__"}
    assert load(ROOT / "CITATION.cff")["version"] == mbcbench.__version__


def test_the_changelog_has_a_section_for_the_version_and_is_short() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## [{mbcbench.__version__}] - " in text
    assert len(text.splitlines()) <= 60
