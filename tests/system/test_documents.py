"""The programs accept the rules that the documents show, and the documents are complete."""

import re

import pytest

from drainwatch import ALERTER, INGEST, ROOT, Site

TEXT = (ROOT / "docs/rules.md").read_text() + (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
FILES = [block for block in BLOCKS if re.search(r"^rules:\n", block, re.MULTILINE)]


@pytest.fixture()
def site(tmp_path):
    return Site(tmp_path)


def report(site, text):
    site.rules.write_text(text)
    run = site.run(ALERTER, "--check")
    assert run.returncode == 0, run.stderr.decode()
    return run.stdout


def test_the_first_rules_are_the_shipped_ones(site):
    assert report(site, FILES[0]) == report(site, (ROOT / "rules.yaml").read_text())


@pytest.mark.parametrize("program", [INGEST, ALERTER])
@pytest.mark.parametrize("i", range(len(FILES)))
def test_all_rules_are_good(site, program, i):
    site.rules.write_text(FILES[i])
    run = site.run(program, "--check")
    assert run.returncode == 0, run.stderr.decode()


def test_the_list_of_apps_is_good(site):
    apps, = [block for block in BLOCKS if block.startswith("apps:")]
    rules = re.sub(r"^app: .*\n", apps, FILES[0], flags=re.MULTILINE)
    assert b"shop-staging" in report(site, rules)


def test_the_examples_alert_on_what_heroku_writes(site):
    examples, = [block for block in FILES if "h10-app-crashed" in block]
    site.rules.write_text(examples)
    run = site.run(ALERTER, "test", "--rules", str(site.rules),
                   str(ROOT / "tests" / "rules" / "heroku.test.yaml"))
    assert run.returncode == 0, run.stdout.decode() + run.stderr.decode()
    names = set(re.findall(r"name: ([a-z0-9-]+)", examples))
    expected = (ROOT / "tests" / "rules" / "heroku.test.yaml").read_text()
    assert names == set(re.findall(r"rule: ([a-z0-9-]+)", expected)), "each rule has its test"


def anchors(page):
    """The anchors that GitHub gives to a page's headings."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_all_settings_are_described(site):
    table = re.findall(r"^\| `(\w+)`", (ROOT / "docs/settings.md").read_text(), re.MULTILINE)
    text = site.run(INGEST, "--help").stdout.decode()
    assert table == re.findall(r"^  ([A-Z][A-Z_]+)", text.partition("settings (")[2], re.MULTILINE)


@pytest.mark.parametrize("program", [INGEST, ALERTER])
def test_all_commands_are_described(site, program):
    text = site.run(program, "--help").stdout.decode()
    described = (ROOT / "docs/commands.md").read_text()
    for command in re.findall(rf"^  {program.name} ([a-z]+)", text, re.MULTILINE):
        assert command == "help" or f"`{program.name} {command} " in described, command
