"""What the pages promise: all messages are listed and have a remedy, quotations are true, links lead somewhere."""

from __future__ import annotations

import importlib.util
import pkgutil
import re
import sys
from types import ModuleType

import pytest

from tests.docs.blocks import PAGES, ROOT

DOCS = ROOT / "docs"
GENERATED = {"generated/messages.md"}


@pytest.fixture(scope="module")
def messages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_messages", DOCS / "messages.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["docs_messages"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sections() -> dict[str, list[str]]:
    """Quotations in each section of the page on troubleshooting."""
    parts = re.split(r"^## (.*)$", (DOCS / "troubleshooting.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    quoted = re.compile(r"\*\*`([^`\n]+)`\*\*(?! \((?:a message of|an `AttributeError`))")
    return {title: quoted.findall(text) for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def test_every_place_that_raises_is_collected(messages: ModuleType) -> None:
    found = {(message.module, message.line) for message in messages.collect()}
    raising = re.compile(r"\b(?:raise|return|else|[=(,]) *(?:DGL)?(?:Data|Config|Graph|Backend)Error\((?!\))")
    for package in ("data_prep", "dgl_dysign"):
        for path in (ROOT / package).rglob("*.py"):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if raising.search(line) and "class " not in line:
                    assert (module, number) in found, f"{path}:{number}"
    assert len(found) > 400


def test_the_text_of_every_message_is_known(messages: ModuleType) -> None:
    assert [message for message in messages.collect() if message.text.strip() in ("", messages.UNKNOWN)] == []


def test_every_message_has_a_remedy(messages: ModuleType, sections: dict[str, list[str]]) -> None:
    for message in messages.collect():
        known = message.tells_remedy or any(message.says(quoted) for quoted in sections[message.group])
        assert known, f"{message.module}:{message.line}: {message.text}: say what to do, or in docs/troubleshooting.md"


def test_quotations_are_true(messages: ModuleType, sections: dict[str, list[str]]) -> None:
    assert set(sections) == set(messages.GROUPS)
    everything = messages.collect()
    for title, quotations in sections.items():
        assert quotations, title
        for quoted in quotations:
            assert any(message.says(quoted) for message in everything), f"{title}: nothing says {quoted!r} any more"


def test_messages_without_a_section_are_refused(messages: ModuleType) -> None:
    stray = messages.Message("elsewhere.module", 1, "DataError", "found nothing, expected something")
    with pytest.raises(ValueError, match="empty"):
        _ = stray.group


def test_the_page_of_messages_is_whole(messages: ModuleType) -> None:
    everything = messages.collect()
    text = messages.page(everything)
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| message ")]
    assert len(rows) == len(everything)
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 4 for row in rows)


def _anchors(text: str) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    listed = (DOCS / "links.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            assert f"<{target}>" in listed, f"{page.name}: {target} is not in docs/links.md"
            continue
        name, _, anchor = target.partition("#")
        if name in GENERATED:
            continue
        file = page.parent / name if name else page
        assert file.exists(), f"{page.name}: no {target}"
        if anchor:
            assert anchor in _anchors(file.read_text(encoding="utf-8")), f"{page.name}: no {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_dysign_prep_are_there(page) -> None:
    from data_prep.cli import app

    there = {command.name or command.callback.__name__ for command in app.registered_commands}
    there |= {group.name for group in app.registered_groups}
    named = re.findall(r"(?:^|`)dysign-prep ([a-z][\w-]*)", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert there >= set(named), f"{page.name}: no such command: {sorted(set(named) - there)}"


def test_every_page_is_in_the_table_of_contents() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = {line for tree in re.findall(r"```{toctree}\n(.*?)```", index, re.DOTALL) for line in tree.split("\n")}
    assert {page.stem for page in DOCS.glob("*.md")} - {"index"} <= listed


def test_every_column_of_a_prepared_folder_is_described() -> None:
    from dgl_dysign.data import schema

    text = (DOCS / "formats.md").read_text(encoding="utf-8")
    tables = [*schema.TABLES.values(), schema.WEIGHTED_EDGES, schema.EVENT_LABELS]
    for name in {column for table in tables for column in table.names} | schema._KINDS.keys() | schema._OPTIONAL.keys():
        assert f"`{name}`" in text, name


def test_what_the_modules_of_adapters_define_is_on_the_page_of_the_api() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    for path in (ROOT / "dgl_dysign" / "adapters").glob("[!_]*.py"):
        if path.stem == "event_stream":  # the package names it
            continue
        for name in re.findall(r"^(?:def|class) ([A-Za-z]\w*)", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
            assert f"   dgl_dysign.adapters.{path.stem}.{name}\n" in text, name


def test_the_names_on_the_page_of_the_api_are_there_and_what_an_entry_is_given_is_among_them() -> None:
    names = re.findall(r"^   ((?:dgl_dysign|data_prep)\.\S+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.M)
    for name in names:
        pkgutil.resolve_name(name)
    experiments = {name.rpartition(".")[2] for name in names}
    assert {"NodeView", "LinkView", "EventView", "NodeEntry", "LinkEntry", "EventEntry", "train_nodes"} <= experiments
