"""The registry: indexes, single plug-ins, names that are taken twice, and patterns of names."""

import subprocess
import sys
from pathlib import Path

import pytest

from mbcbench import registry
from mbcbench.errors import BrokenPluginError, UsageError
from tests.conftest import Plugins
from tools.update_indexes import replace_summary, stale_summaries

BUILT_IN = [(group, name) for group in registry.GROUPS for name in registry.plugins(group)]


@pytest.mark.parametrize("group", registry.GROUPS)
def test_an_index_repeats_what_its_plugins_say(group: str) -> None:
    assert list(stale_summaries(group)) == [], "run: python tools/update_indexes.py"


@pytest.mark.parametrize(("group", "name"), BUILT_IN)
def test_a_plugin_is_called_as_its_index_says(group: str, name: str) -> None:
    plugin = registry.plugin(group, name).load()
    assert name == getattr(plugin, "id" if group in (registry.LAWS, registry.ARTEFACTS) else "name")


def test_listing_imports_no_plugin() -> None:
    program = (
        "import sys\nfrom mbcbench import registry\n"
        "assert all(registry.plugins(group) for group in registry.GROUPS)\n"
        "folders = ('mbcbench.encoders.', 'mbcbench.suites.', 'mbcbench.reports.')\n"
        "loaded = {name for name in sys.modules if name.startswith(folders)}\n"
        "assert loaded == {folder + 'index' for folder in folders}, loaded\n"
        "assert not {'torch', 'numpy', 'pandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.slow
def test_the_suites_that_train_are_marked() -> None:
    program = """
import os, sys, torch
from mbcbench import registry

for name, plugin in registry.plugins(registry.SUITES).items():
    if os.fork() == 0:  # has imported torch, and no other suite
        plugin.load()
        trains = "mbcbench.suites.training" in sys.modules
        os._exit(trains != plugin.trains)
    assert os.wait()[1] == 0, name
"""
    subprocess.run([sys.executable, "-P", "-c", program], check=True)


def test_a_summary_in_an_index_can_be_replaced() -> None:
    text = 'LAWS = Index(__package__, {"a.b": ("m:A", "old"), "c": (\n    "m:C",\n    "",\n)})\n'
    text = replace_summary(replace_summary(text, "a.b", 'a "new" one'), "c", "first")
    assert (
        text == 'LAWS = Index(__package__, {"a.b": ("m:A", "a \\"new\\" one"), "c": (\n    "m:C",\n    "first",\n)})\n'
    )


def test_single_plugins_and_indexes_share_a_group(plugins: Plugins) -> None:
    names = registry.plugins(registry.SUITES)
    assert {name: plugin.target for name, plugin in names.items()} == {
        "encode": "fake_plugins:ENCODE",
        "laws": "fake_plugins:LAWS",
    }
    assert registry.default_suites() == ["encode"]
    assert names["encode"].summary == "the suite encode"
    assert names["encode"].distribution == "mbcbench"


def test_a_name_that_is_taken_twice_is_an_error_that_names_both(plugins: Plugins) -> None:
    plugins.add("suites", "encode", "other:SUITE")
    message = r"'encode' is registered twice: .*other:SUITE \(mbcbench\)"
    with pytest.raises(UsageError, match=message) as caught:
        registry.plugins(registry.SUITES)
    assert "fake_plugins:ENCODE (mbcbench)" in str(caught.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import no_such_module", "cannot import the index bad_index:LAWS"),
        ("LAWS = 3", "is not an mbcbench.registry.Index"),
    ],
)
def test_an_index_that_cannot_be_read_is_one_line(plugins: Plugins, source: str, words: str) -> None:
    plugins.module("bad_index", source)
    plugins.add("laws", "bad", "bad_index:LAWS")
    sys.modules.pop("bad_index", None)
    with pytest.raises(BrokenPluginError, match=words):
        registry.plugins(registry.LAWS)


def test_patterns_select_names() -> None:
    assert registry.select(registry.LAWS, ["symmetry.padding", "mbc.me*", "symmetry.p*"]) == [
        "symmetry.padding",
        "mbc.memory",
        "mbc.merge",
        "symmetry.permutation",
    ]
    with pytest.raises(UsageError, match=r"no law matches 'zzz\.\*'; see: mbcbench list laws"):
        registry.select(registry.LAWS, ["zzz.*"])
    with pytest.raises(UsageError, match=r"did you mean mbc\.merge"):
        registry.select(registry.LAWS, ["mbc.merg"])


def test_a_pattern_that_matches_nothing_is_told_the_nearest() -> None:
    with pytest.raises(
        UsageError, match=r"no law matches 'symetry\.\*' \(did you mean symmetry\.\*\?\); see: mbcbench list"
    ):
        registry.select(registry.LAWS, ["symetry.*"])
    with pytest.raises(UsageError, match=r"no law matches 'mbc\.z\*'; see: mbcbench list"):
        registry.select(registry.LAWS, ["mbc.z*"])


def test_targets_are_relative_to_the_package_of_the_index() -> None:
    plugin = registry.plugin(registry.ENCODERS, "pma")
    assert (plugin.module, plugin.attribute) == ("mbcbench.encoders.pma", plugin.attribute)
    assert Path(str(plugin.load().factory.__module__.replace(".", "/"))).name == "pma"


def test_an_empty_selection_is_refused() -> None:
    with pytest.raises(UsageError, match="no law is named; leave the list out for all of them"):
        registry.select(registry.LAWS, [])
    with pytest.raises(UsageError, match=r"selects only what is slow; name it in full: mbc\.distributed"):
        registry.select(registry.LAWS, ["mbc.distrib*"])
