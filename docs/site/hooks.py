"""What mkdocs adds to the pages in docs/: those that are generated from the code, and equations as MathML.

Equations are turned into MathML here, which browsers show by themselves, so the site loads nothing from another host.
"""

import html
import io
import json
import re
from contextlib import redirect_stdout
from itertools import takewhile
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from nas.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (
    "search",
    "evaluate",
    "profile",
    "compare",
    "report",
    "plot",
    "predict",
    "export",
    "export-results",
    "watch",
    "runs",
    "init",
    "list",
    "show",
    "completion",
)
FIGURES = sorted((ROOT / "results").rglob("*.png"))
COPIED = {
    "project/contributing.md": "CONTRIBUTING.md",
    "project/changelog.md": "CHANGELOG.md",
    "reference/columns.md": "results/README.md",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages, the pages that lie elsewhere in the repository, and the plots of results/."""
    pages = {
        "reference/commands.md": commands_page(),
        "reference/components.md": components_page(),
        "reference/experiments.md": experiments_page(),
    }
    for page, source in COPIED.items():
        pages[page] = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](../")
    for page, text in pages.items():
        files.append(File.generated(config, page, content=text))
    for figure in FIGURES:
        files.append(File.generated(config, f"figures/{figure.relative_to(ROOT).as_posix()}", abs_src_path=str(figure)))
    return files


def on_page_content(page_html: str, **_: Any) -> str:
    """Equations, which arithmatex has marked with \\(...\\) and \\[...\\], as MathML."""
    inline = re.sub(r"\\\((.+?)\\\)", lambda found: convert(html.unescape(found[1])), page_html, flags=re.S)
    return re.sub(r"\\\[(.+?)\\\]", lambda found: convert(html.unescape(found[1]), display="block"), inline, flags=re.S)


def commands_page() -> str:
    """The help of every command, as the command line prints it."""
    parts = [
        "# Commands",
        "",
        "`python run.py` and, once installed, `decoupled-nas` are the same program.",
        "An option that says what to do, and not how to print it, is also a keyword of the [Python function](python.md)",
        "of that name. Those of `search`, `evaluate` and `profile` are keys of `--config`, too.",
        "",
    ]
    for command in COMMANDS:
        parts += [f"## {command}", "", "```text", printed([*command.split(), "--help"]).strip(), "```", ""]
    return "\n".join(parts)


def components_page() -> str:
    """What `list` shows, a table a kind."""
    parts = ["# Components", "", "What `python run.py list` shows. A setting that is left out has the default shown here.", ""]
    for kind, rows in json.loads(printed(["list", "--json"])).items():
        parts += [f"## {kind.capitalize()}", "", "| name | what |", "| --- | --- |"]
        parts += [f"| `{cell(name)}` | {cell(what)} |" for name, what in rows.items()]
        parts.append("")
    return "\n".join(parts)


def experiments_page() -> str:
    """What the first lines of each experiment's file say."""
    parts = [
        "# Published experiments",
        "",
        "What each file of `experiments/` reproduces, and where it deviates.",
        "[How to run one](../how_to/published_experiments.md).",
        "",
    ]
    for path in sorted((ROOT / "experiments").glob("*.yaml")):
        comment = takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
        text = " ".join(line.removeprefix("#").strip() for line in comment)
        title, *rest = re.split(r" (?=(?:Reproduces|Deviates):)", text)
        parts += [f"## {path.stem}", "", f"{title}.", "", *(f"* {said}" for said in rest), ""]
    return "\n".join(parts)


def printed(argv: list[str]) -> str:
    """What a command prints."""
    out = io.StringIO()
    try:
        with redirect_stdout(out):
            main(argv)
    except SystemExit:  # argparse ends so after --help
        pass
    return out.getvalue()


def cell(text: str) -> str:
    """Text in a cell of a Markdown table."""
    return text.replace("|", "\\|")
