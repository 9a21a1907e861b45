"""Whatever the pages point to is there."""

import re

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, links, name, page, prose, table, words

PATH = re.compile(r"\.?[\w-]+(?:/[\w.-]+)*(?:/|\.(?:md|py|proto|patch|toml|txt))|[\w-]+(?:/[\w.-]+)+")
"""What looks like a path of the repository. Names of resources and of what a set-up makes do not count."""
NO_PATHS = re.compile(r"organizations/|mainKeys/|\.keystead/|\.venv/|(?:keystead|policy)\.toml$")

every_page = pytest.mark.parametrize("of", PAGES, ids=name)


@every_page
def test_every_link_leads_somewhere(of):
    for link in links(of):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        there = (of.parent / target).resolve() if target else of
        assert there.is_file(), link
        assert there.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(there), link


@every_page
def test_every_path_that_is_named_exists(of):
    for word in words(prose(of)):
        path = word.split()[0]
        if PATH.fullmatch(path) and not NO_PATHS.match(path):
            beside = of.parent / path
            assert (ROOT / path).exists() or beside.exists() or (ROOT / "proto/keystead/v1" / path).exists(), word


@every_page
def test_a_page_is_made_for_reading(of):
    lines = of.read_text().splitlines()
    assert lines[0].startswith("# ")
    assert len(lines) < 300


def test_the_readme_is_short():
    assert len(page("README.md").read_text().splitlines()) <= 180


def test_every_decision_is_in_the_list_and_says_what_and_why():
    index = page("docs/adr/README.md")
    decisions = sorted(it for it in index.parent.glob("*.md") if it != index)
    listed = table(index, "Decisions", "page")
    assert [links_of for row in listed for links_of in re.findall(r"\((.*)\)", row[0])] == [it.name for it in decisions]
    numbers = [it.name[:4] for it in decisions]
    assert len(set(numbers)) == len(numbers)
    for number, decision, row in zip(numbers, decisions, listed, strict=True):
        title, *rest = decision.read_text().splitlines()
        assert title == f"# {number}: {row[1]}"
        assert re.fullmatch(r"[0-9]{4}-[a-z0-9-]+\.md", decision.name)
        assert [line for line in rest if line.startswith("#")] == ["## Context", "## Decision", "## Consequences"]


def test_every_page_is_reached_from_the_readme():
    reached, new = set(), {page("README.md")}
    while new:
        reached |= new
        found = {(it.parent / link.partition("#")[0]).resolve() for it in new for link in links(it) if ":" not in link}
        new = {it for it in found if it.suffix == ".md"} - reached
    assert reached == set(PAGES)
