"""Fills `docs/results.md` and the tables of `README.md` from `results/*.json`: ``make results``.

    python results/render.py                         # writes them
    python results/render.py --keep FILE.json NAME   # takes what a command wrote in among the results

`docs/results.template.md` becomes `docs/results.md`. Of `README.md` only what lies between the lines
``<!-- results: NAME -->`` and ``<!-- end of results -->`` is replaced, by what stands between the same lines
in `docs/README.template.md`. Templates are Jinja's; what they may call are the methods of `Results`. A name
that does not exist, and a figure that was not measured, are errors.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import jinja2

from figures import REPOSITORY, RESULTS, Results
from hime.errors import HimeError
from hime.experiments.report import write_text
from hime.files import write_json

DOCS = REPOSITORY / "docs"
BLOCK = re.compile(
    r"(<!-- results: (?P<name>[\w-]+) -->\n)(?P<text>.*?)(<!-- end of results -->\n)", re.DOTALL
)


def render(template: Path, results: Results) -> str:
    """A template filled in.

    Raises:
        HimeError: it asks for what is not there.
        jinja2.TemplateError: it is none.
    """
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(template.read_text(encoding="utf-8")).render(results.functions())


def rendered(results: Results) -> dict[Path, str]:
    """The files as they should be.

    Raises:
        HimeError: a block of the README is not in its template, or the other way round; or as `render`.
    """
    readme = REPOSITORY / "README.md"
    blocks = {
        found["name"]: found["text"] for found in BLOCK.finditer(render(DOCS / "README.template.md", results))
    }
    text = readme.read_text(encoding="utf-8")
    names = [found["name"] for found in BLOCK.finditer(text)]
    if sorted(names) != sorted(blocks):
        raise HimeError(f"README.md has the blocks {names}, its template {list(blocks)}")
    filled = BLOCK.sub(lambda found: f"{found[1]}{blocks[found['name']]}{found[4]}", text)
    return {readme: filled, DOCS / "results.md": render(DOCS / "results.template.md", results)}


def keep(file: Path, name: str, folder: Path = RESULTS) -> Path:
    """Take a result in as FOLDER/NAME.json: without the figures of single inputs, which name people.

    Raises:
        HimeError: it does not say where it comes from, from code that is no commit, or inputs failed.
    """
    result = json.loads(file.read_text(encoding="utf-8"))
    revision = result.get("provenance", {}).get("revision")
    if not revision or revision.endswith("-dirty"):
        raise HimeError(f"{file}: comes from no commit ({revision}); commit, and measure again")
    failed = [each for part in (result, *result.get("settings", ())) for each in part.get("failed", ())]
    if failed:
        raise HimeError(f"{file}: {len(failed)} inputs failed; put them right, and measure again")
    for key in ("per_image", "failed"):
        result.pop(key, None)
    return write_json(folder / f"{name}.json", result)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", nargs=2, metavar=("FILE.json", "NAME"), help="take a result in as NAME")
    options = parser.parse_args(arguments)
    try:
        if options.keep:
            print(keep(Path(options.keep[0]), options.keep[1]))
            return 0
        for path, text in rendered(Results()).items():
            print(write_text(path, text))
    except (HimeError, jinja2.TemplateError) as error:
        print(f"render: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
