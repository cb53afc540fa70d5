"""The page as a text: hostile data stays data, the modules of its script fit, and its policy allows what is in it and no more."""

import base64
import hashlib
import json
import re

import pytest

from nas.page.page import EXPORT, HERE, IMPORT, SCRIPTS, STYLES, as_json, embedded, page

HOSTILE = "</script><script>alert(1)</script><!-- \u2028 \u2029 ]]> =cmd() & \" '"
DATA = {"title": f"A {HOSTILE}", "live": None, "cell": HOSTILE}


def test_hostile_texts_neither_end_the_element_nor_change() -> None:
    text = embedded({"cell": HOSTILE, "none": float("nan"), "far": float("inf")})
    assert not re.search("[<>&\u2028\u2029]", text)
    assert json.loads(text) == {"cell": HOSTILE, "none": None, "far": None}
    assert json.loads(as_json({"cell": HOSTILE})) == {"cell": HOSTILE}


def test_the_page_holds_its_data_once_and_its_title_as_text() -> None:
    text = page(DATA)
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert json.loads(found) == DATA
    assert "<title>A &lt;/script&gt;" in text
    assert text.count("<script>alert(1)") == 0


def test_the_policy_names_the_scripts_of_the_page_and_no_network() -> None:
    text = page(DATA)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    scripts = re.findall(r'<script(?: type="text/plain" id="plotly")?>(.*?)</script>', text, re.DOTALL)
    hashes = {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts}
    assert len(scripts) == 2 and set(re.findall("'sha256-([^']+)'", policy)) == hashes
    assert "default-src 'none'" in policy and "connect-src 'none'" in policy and "eval" not in policy
    assert "connect-src 'self'" in page(DATA | {"live": {"url": "data.json", "seconds": 2}})


def test_nothing_of_the_page_is_asked_of_a_network() -> None:
    own = "".join((HERE / folder / f"{name}.{ending}").read_text("utf-8") for folder, names, ending in PARTS for name in names)
    assert not re.search(
        r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", own
    )


PARTS = (("script", SCRIPTS, "js"), ("style", STYLES, "css"))


@pytest.mark.parametrize(("folder", "names", "ending"), PARTS)
def test_each_file_is_in_the_page(folder: str, names: tuple[str, ...], ending: str) -> None:
    assert sorted(names) == sorted(path.stem for path in (HERE / folder).glob(f"*.{ending}"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_module_imports_what_modules_before_it_export(name: str) -> None:
    text = (HERE / "script" / f"{name}.js").read_text("utf-8")
    assert len(re.findall("^import ", text, re.MULTILINE)) == len(IMPORT.findall(text)), "one line an import"
    for names, module in IMPORT.findall(text):
        assert SCRIPTS.index(module) < SCRIPTS.index(name)
        exported = {found[1] for found in EXPORT.finditer((HERE / "script" / f"{module}.js").read_text("utf-8"))}
        wanted = {one.strip() for one in names.strip("{} ").split(",")}
        assert wanted <= exported, f"{name} wants {wanted - exported} of {module}"
        body = IMPORT.sub("", text)
        assert all(re.search(rf"\b{one}\b", body) for one in wanted), f"{name} does not use all of {module} that it imports"
