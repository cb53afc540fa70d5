"""The page of a report's data: one file of HTML that holds its style, its script and Plotly, and asks nothing of a network."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
STYLES = ("colours", "text", "sheet", "parts", "table", "figure", "network", "now", "paper")
SCRIPTS = (
    "elements",
    "numbers",
    "clipboard",
    "choice",
    "unpacked",
    "colours",
    "network",
    "table_text",
    "columns",
    "table",
    "series",
    "parallel",
    "drawings",
    "figure",
    "kind",
    "asked",
    "running",
    "answer",
    "provenance",
    "sections",
    "live",
    "page",
)  # each after those that it imports
IMPORT = re.compile(r'^import (\{.*\}) from "\./(\w+)\.js";$', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async function|function|const) (\w+))", re.MULTILINE)


def page(data: Mapping[str, Any]) -> str:
    """The page as HTML; `data` is what `nas.page.data` makes. Whatever their cells hold is text on it."""
    script, plotly = f"\n{_script()}\n", f"\n{_plotly()}\n"
    parts = {
        "policy": _policy(script, plotly, connects="'self'" if data.get("live") else "'none'"),
        "title": escape(str(data["title"])),
        "style": _style(),
        "data": embedded(data),
        "script": script,
        "plotly": plotly,
    }
    template = (HERE / "template" / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{(\w+)\}", lambda found: parts[found[1]], template)


def as_json(data: Mapping[str, Any]) -> str:
    """The data as JSON, which has no NaN and no infinity: they are null."""
    return json.dumps(_finite(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def embedded(data: Mapping[str, Any]) -> str:
    """The same to stand in a script element: nothing in it ends the element, begins a comment or ends a line of a script."""
    escapes = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
    return re.sub("[<>&\u2028\u2029]", lambda found: escapes[found[0]], as_json(data))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


def _policy(*scripts: str, connects: str) -> str:
    """Nothing is loaded from anywhere, and of scripts only these run."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        f"connect-src {connects}; base-uri 'none'; form-action 'none'"
    )


@cache
def _script() -> str:
    """The modules as one script, each a function of its own, so that none sees what others do not export."""
    return '"use strict";\n{\nconst modules = {};\n' + "\n".join(map(_module, SCRIPTS)) + "\n}"


def _module(name: str) -> str:
    text = (HERE / "script" / f"{name}.js").read_text(encoding="utf-8")
    exported = ", ".join(found[1] for found in EXPORT.finditer(text))
    body = EXPORT.sub("", IMPORT.sub(r"const \1 = modules.\2;", text))
    return f"modules.{name} = (() => {{\n{body}\nreturn {{ {exported} }};\n}})();"


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs().replace("</script", "<\\/script")


@cache
def _style() -> str:
    return "\n".join((HERE / "style" / f"{name}.css").read_text(encoding="utf-8") for name in STYLES)
