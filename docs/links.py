"""What the site does with links that leave docs/: results are brought along, other files are named only."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

RESULTS = Path(__file__).parents[1] / "results"
OUTWARD = re.compile(r"(!?)\[([^\]]*)\]\(\.\./([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Bring the results as data/NAME.json."""
    for path in sorted(RESULTS.glob("*.json")):
        files.append(File.generated(config, f"data/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point to them, and leave the words of other links out of docs/.

    Raises:
        FileNotFoundError: a link leads nowhere.
    """

    def changed(link: re.Match[str]) -> str:
        picture, words, target = link.groups()
        if picture or not (RESULTS.parent / target).exists():
            raise FileNotFoundError(f"{page.file.src_uri}: ../{target}")
        folder, _, name = target.rpartition("/")
        return f"[{words}](data/{name})" if folder == "results" and name.endswith(".json") else words

    return OUTWARD.sub(changed, markdown)
