"""What newcomers read first is true: CITATION.cff, CHANGELOG.md, CONTRIBUTING.md, the site's navigation."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]


def text_of(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def test_the_citation_is_of_this_version_and_of_the_paper() -> None:
    citation = yaml.safe_load(text_of("CITATION.cff"))
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == project["version"]
    paper = citation["preferred-citation"]
    assert paper["title"] in project["description"]
    assert paper["authors"][0]["family-names"] == "Xiang"
    assert len(paper["authors"]) == 9


def test_the_changelog_keeps_its_form() -> None:
    lines = text_of("CHANGELOG.md").splitlines()
    versions = [line for line in lines if line.startswith("## ")]
    assert versions[0] == "## [Unreleased]"
    for line in versions[1:]:
        assert re.fullmatch(r"## \[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", line)
    kinds = {line.removeprefix("### ") for line in lines if line.startswith("### ")}
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_what_contributing_names_is_there() -> None:
    text = text_of("CONTRIBUTING.md")
    for path in re.findall(r"`?((?:src|tests|docs|results|comparisons|models)/[\w./-]*)", text):
        if "NAME" not in path:
            assert (REPOSITORY / path).exists(), path
    for target in re.findall(r"make ([a-z]+)\b(?=`| {2,}| &&)", text):
        assert re.search(rf"^{target}:", text_of("Makefile"), re.MULTILINE), target


@pytest.mark.parametrize("page", sorted(path.name for path in (REPOSITORY / "docs").glob("*.md")))
def test_every_page_is_in_the_navigation(page: str) -> None:
    assert (f": {page}\n" in text_of("mkdocs.yml")) != page.endswith(".template.md")
