"""What the templates call: figures and tables out of `results/*.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hime.errors import HimeError
from hime.evaluation.evaluate import BASELINE
from hime.experiments.comparison import PUBLISHED, Published
from hime.experiments.comparison_page import learning_rates, side_by_side
from hime.experiments.report import HEADINGS, table
from hime.restoring.exported import OnnxBackend, find_model

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "results"

METRICS = {
    "psnr": ("PSNR", 3),
    "ssim": ("SSIM", 4),
    "lpips": ("LPIPS", 4),
    "lpips_squeeze": ("LPIPS-squeeze", 4),
    "identity": ("identity", 3),
    "identity_references": ("…to references", 3),
    "dlib": ("dlib", 3),
    "seconds": ("seconds", 3),
}
"""The heading of each metric and its decimals."""
DERIVED = {"gain": "over bicubic", "share": "of bicubic's"}
"""Columns made of two figures: PSNR less bicubic's, LPIPS as a share of bicubic's."""
ALIKE = ("scale", "lr_size", "degradation", "luminance")
"""What results must share, besides the list, to stand in one table."""
UNLIMITED = {"blank": "blank references", "wrong": "another person's"}
"""How methods are called that got no references of the list."""

Names = str | Sequence[str]


class Measured:
    """Results of `hime evaluate --out` or `comparisons/peers.py`, on one list, as one.

    Raises:
        HimeError: they are not alike, or two of them have a method of one name.
    """

    def __init__(self, results: Mapping[str, Mapping[str, Any]]) -> None:
        self.first, *others = results.values()
        self.methods: dict[str, dict[str, float | None]] = {}
        self.differences: dict[tuple[str, str], dict[str, Any]] = {}
        for other in others:
            for key in ALIKE:
                if other[key] != self.first[key]:
                    raise HimeError(f"{', '.join(results)}: not of one {key}; they cannot be one table")
            if _list_of(other) != _list_of(self.first):
                raise HimeError(f"{', '.join(results)}: measured on different lists")
        for name, result in results.items():
            self._add(name, result)

    def _add(self, name: str, result: Mapping[str, Any]) -> None:
        suffix = UNLIMITED.get(str(result["references"]))

        def called(method: str) -> str:
            return method if suffix is None or method == BASELINE else f"{method}, {suffix}"

        for method, figures in result["methods"].items():
            if method == BASELINE and BASELINE in self.methods:
                continue
            if called(method) in self.methods:
                raise HimeError(f"{name}: {called(method)} is in another of these results too")
            seconds = result.get("seconds", {}).get(method)
            self.methods[called(method)] = {**figures, "seconds": seconds}
        for each in result["differences"]:
            self.differences[called(each["method"]), called(each["minus"])] = each

    def value(self, method: str, metric: str) -> float | None:
        """A mean; of `DERIVED` columns what they are made of."""
        if method not in self.methods:
            raise HimeError(f"{method} was not measured there, but {', '.join(self.methods)}")
        own, bicubic = self.methods[method], self.methods[BASELINE]
        measured, metric = {"gain": ("gain", "psnr"), "share": ("share", "lpips")}.get(metric, ("", metric))
        value, of_bicubic = own.get(metric), bicubic.get(metric)
        if not measured:
            return value
        if value is None or of_bicubic is None or (measured == "gain" and method == BASELINE):
            return None
        return value - of_bicubic if measured == "gain" else value / of_bicubic


class Results:
    """What templates call. Results are named by their file, without ``.json``."""

    def __init__(self, folder: Path = RESULTS) -> None:
        self.folder = folder
        self.used: set[str] = set()

    def functions(self) -> dict[str, Any]:
        """The methods that templates may call, by their names."""
        names = (name for name in vars(type(self)) if not name.startswith("_"))
        return {name: getattr(self, name) for name in names if name not in ("functions", "load")}

    def load(self, name: str) -> dict[str, Any]:
        """A result as it was written.

        Raises:
            HimeError: there is none of that name.
        """
        path = self.folder / f"{name}.json"
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise HimeError(f"{path}: no such result; the template asks for it") from None
        self.used.add(name)
        return content

    # ------------------------------------------------------------------------------- evaluation lists

    def measured(
        self,
        names: Names,
        columns: str,
        methods: Sequence[str] | None = None,
        bold: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
    ) -> str:
        """A table with a line a method.

        Args:
            names: one result, or several that are measured on one list.
            columns: keys of `METRICS` and `DERIVED`, separated by blanks; KEY:N for N decimals.
            methods: which, and in which order; all by default.
            bold: methods that stand out.
            labels: of methods and columns that are called otherwise in the table.
        """
        found, own = self._measured(names), labels or {}
        keys = _keys(columns)
        heads = [own.get(key) or DERIVED.get(key) or METRICS[key][0] for key, _ in keys]
        rows, above = [], ""
        for method in methods or _by_model(found.methods):
            label = own.get(method) or _label(method, above)
            cells = [_cell(found.value(method, key), key, digits) for key, digits in keys]
            rows.append([f"**{label}**" if method in bold else label, *cells])
            above = method
        return _table(["", *heads], rows)

    def beside(self, results: Mapping[str, Names], columns: str, methods: Sequence[str] | None = None) -> str:
        """Tables of the same methods side by side, each under its name."""
        found = {name: self._measured(names) for name, names in results.items()}
        keys = _keys(columns)
        heads = [f"{name}: {METRICS[key][0]}" for name in found for key, _ in keys]
        rows, above = [], ""
        for method in methods or _by_model(next(iter(found.values())).methods):
            cells = [
                _cell(each.value(method, key), key, digits) for each in found.values() for key, digits in keys
            ]
            rows.append([_label(method, above), *cells])
            above = method
        return _table(["", *heads], rows)

    def number(self, names: Names, method: str, metric: str, digits: int | None = None) -> str:
        """One mean, or one of `DERIVED`."""
        value = self._measured(names).value(method, metric)
        if value is None:
            raise HimeError(f"{names}: {metric} of {method} was not measured")
        return _cell(value, metric, digits)

    def difference(
        self, names: Names, method: str, minus: str, metric: str, digits: int | None = None
    ) -> str:
        """How much more one method has than another, image by image, with its 95 % interval."""
        found = self._measured(names).differences
        sign = 1
        if (method, minus) not in found:
            sign, method, minus = -1, minus, method
        if (method, minus) not in found:
            raise HimeError(f"{names}: no difference of {method} and {minus} in it")
        each = found[method, minus]
        low, high = sorted(sign * end for end in each["interval"][metric])
        number = METRICS[metric][1] if digits is None else digits
        return f"{sign * each['mean'][metric]:+.{number}f} ({low:+.{number}f} … {high:+.{number}f})"

    def gained(self, names: Names, method: str, over: str, metric: str = "psnr", digits: int = 3) -> str:
        """How much more one method has than another, in the means alone."""
        found = self._measured(names)
        one, other = found.value(method, metric), found.value(over, metric)
        if one is None or other is None:
            raise HimeError(f"{names}: {metric} of {method} and {over} was not measured")
        return f"{one - other:+.{digits}f}"

    def most_gained(
        self, results: Sequence[Names], method: str, over: str, metric: str = "psnr", digits: int = 2
    ) -> str:
        """The largest of `gained` in these results, over all models of which both methods were measured.

        Args:
            results: each as `measured` takes it.
            method: with ``{}`` for the model, as ``{}@0``.
            over: likewise.
            metric: a key of `METRICS`.
            digits: decimals.
        """
        gains = []
        for names in results:
            found = self._measured(names)
            for model in dict.fromkeys(map(_model, found.methods)):
                pair = [each.format(model) for each in (method, over)]
                if all(each in found.methods for each in pair):
                    one, other = (found.value(each, metric) for each in pair)
                    if one is not None and other is not None:
                        gains.append(one - other)
        if not gains:
            raise HimeError(f"{results}: {metric} of {method} and {over} was measured of no model")
        return f"{max(gains):.{digits}f}"

    def _measured(self, names: Names) -> Measured:
        listed = [names] if isinstance(names, str) else names
        return Measured({name: self.load(name) for name in listed})

    # ---------------------------------------------------------------------------- the paper's figures

    def paper(self, lr_size: int, method: str, metric: str, digits: int | None = None) -> str:
        """A figure of the paper's Table 1; ``gain`` and ``share`` against its own bicubic."""
        rows = {
            row.method: row for setting, each in PUBLISHED.items() if setting[0] == lr_size for row in each
        }
        own, bicubic = rows[method], rows["Bicubic"]
        if metric == "gain":
            value = own.psnr - bicubic.psnr
        elif metric == "share":
            value = own.lpips / bicubic.lpips
        else:
            value = _of_paper(own, metric)
        return _cell(value, metric, digits)

    def experiment(self, name: str) -> str:
        """The rows of a result of `hime reproduce` beside the paper's, without the intervals."""
        result = self.load(name)
        rows = [{**row, "intervals": dict.fromkeys(row["here"])} for row in result["rows"]]
        return table({**result, "rows": rows})

    def orders(self, name: str) -> str:
        """What becomes of the paper's orders there, in a line: those found, undecided and contradicted."""
        claims = self.load(name)["claims"]
        told = []
        for verdict, words in (("yes", "as in the paper"), ("undecided", "undecided"), ("no", "not so")):
            found: dict[str, list[str]] = {}
            for claim in claims:
                if claim["agrees"] == verdict:
                    metric = HEADINGS[claim["metric"]].split()[0]
                    found.setdefault(f"{claim['better']} over {claim['worse']}", []).append(metric)
            if found:
                pairs = "; ".join(f"{pair} in {', '.join(metrics)}" for pair, metrics in found.items())
                told.append(f"*{words}*: {pairs}")
        return ". ".join(told) + "."

    def systems(self, name: str, lr_size: int) -> str:
        """A setting of `hime reproduce table1 --train`: each row with the paper's beside it."""
        return side_by_side(self._setting(name, lr_size))

    def learning_rates(self, name: str) -> str:
        """The learning rates tried for the rows of such a result, and what decided among them."""
        return "".join(learning_rates(self.load(name)))

    def lead(self, name: str, lr_size: int, ours: str, digits: int = 2) -> str:
        """PSNR of one of ours over the best of the compared systems with one pick of references, with the
        95 % interval of the difference; ``ours`` must be the first of the rows.
        """
        setting = self._setting(name, lr_size)
        rivals = [row for row in setting["rows"] if row.get("paper") and "HIME" not in row["paper"]]
        best = max(rivals, key=lambda row: row["here"]["psnr"])["name"]
        for each in setting["differences"]:
            if (each["method"], each["minus"]) == (best, ours):
                low, high = sorted(-end for end in each["interval"]["psnr"])
                mean = -each["mean"]["psnr"]
                return f"{mean:+.{digits}f} dB ({low:+.{digits}f} … {high:+.{digits}f}) against `{best}`"
        raise HimeError(f"{name}: no difference of {best} and {ours} in it")

    def system(self, name: str, lr_size: int, method: str, metric: str = "psnr") -> str:
        """One figure of a row of such a setting."""
        return _cell(self._row(name, lr_size, method)["here"][metric], metric)

    def wronged(self, name: str, lr_size: int, method: str, wrong: str, called: str) -> str:
        """PSNR with another person's photos, ``called`` in the result ``wrong``, less that of the row."""
        right, other = (
            self._row(name, lr_size, method)["here"]["psnr"],
            self._measured(wrong).value(called, "psnr"),
        )
        if other is None or _list_of(self.load(name)) != _list_of(self.load(wrong)):
            raise HimeError(f"{name}, {wrong}: {called} was not measured on the same list")
        return f"{other - right:+.3f}"

    def faster(self, name: str, lr_size: int, ours: str, other: str) -> str:
        """How many times as long a system takes for an image as one of ours in one run, to two digits."""
        slow, fast = (self._row(name, lr_size, each)["seconds"] for each in (other, ours))
        return f"{slow / fast:.2g}"

    def _row(self, name: str, lr_size: int, method: str) -> dict[str, Any]:
        """Raises HimeError: the setting has no such row."""
        rows = {row["name"]: row for row in self._setting(name, lr_size)["rows"]}
        if method not in rows:
            raise HimeError(f"{name}: {method} was not measured there, but {', '.join(rows)}")
        found: dict[str, Any] = rows[method]
        return found

    def _setting(self, name: str, lr_size: int) -> dict[str, Any]:
        """Raises HimeError: the result has no setting of that LR side."""
        for setting in self.load(name)["settings"]:
            if setting["lr_size"] == lr_size:
                found: dict[str, Any] = setting
                return found
        raise HimeError(f"{name}: nothing of {lr_size} pixels in it")

    def dial(self, name: str) -> str:
        """The places of a dial: mixed pictures, which `--fidelity` gives, and mixed weights."""
        methods = self.load(name)["methods"]
        keys = [key for key in ("psnr", "lpips", "identity") if key in methods[BASELINE]]
        places = [method.removeprefix("pictures ") for method in methods if method.startswith("pictures ")]
        heads = [f"{METRICS[key][0]}, {way}" for key in keys for way in ("pictures", "weights")]
        rows = [
            [
                place,
                *(
                    _cell(methods.get(f"{way} {place}", {}).get(key), key, blank="")
                    for key in keys
                    for way in ("pictures", "weights")
                ),
            ]
            for place in places
        ]
        return _table(["fidelity", *heads], rows)

    # ------------------------------------------------------------------------------------------ speed

    def speed(self, names: Sequence[str]) -> str:
        """How fast models restore: results of `hime bench --json`."""
        rows = []
        for name in names:
            result = self.load(name)
            runtimes = {"onnxruntime": f"`{result['model']}`", "pytorch": "– PyTorch"}
            if result.get("on_device"):
                runtimes["on_device"] = f"– `--device {result['device']}`, {result['precision']}"
            for runtime, label in runtimes.items():
                cells = []
                for state in ("cold", "warm"):
                    row = result[runtime][state]
                    cells += [
                        f"{row['milliseconds']:.1f}",
                        f"{row['images_per_second']:.0f}",
                        f"{row['gmacs']:.3f}",
                        f"{row['share_of_peak']:.0%}",
                    ]
                rows.append([label, *cells])
        heads = ["ms", "images/s", "GMACs", "of peak"]
        return _table(["", *(f"{state}: {head}" for state in ("cold", "warm") for head in heads)], rows)

    def training(self, names: Sequence[str], graphics: str) -> str:
        """Pairs a second in training: results of `hime bench --json`, and those on a graphics card."""
        card = self.load(graphics)["rows"]
        rows = []
        for name in names:
            result = self.load(name)
            cells = []
            for row in (*(result["training"][kind] for kind in ("fp32", "bf16")), card[result["model"]]):
                digits = 3 if row["share_of_peak"] < 0.1 else 2
                cells += [f"{row['pairs_per_second']:,g}", f"{row['share_of_peak']:.{digits - 2}%}"]
            rows.append([f"`{result['model']}`", *cells])
        heads = [head for kind in ("fp32", "bf16", "H100, bf16") for head in (kind, "of peak")]
        return _table(["pairs/s", *heads], rows)

    def card(self, model: str, what: str) -> str:
        """Of a released model: ``parameters`` in millions, or ``macs``, GMACs with references."""
        folder = REPOSITORY / "models" / model
        card = OnnxBackend(find_model(folder if folder.is_dir() else model)).card
        return (
            f"{card['parameters'] / 1e6:.2f}"
            if what == "parameters"
            else f"{card['macs']['total'] / 1e9:.2f}"
        )

    def rows(self, name: str) -> str:
        """A result that is a table: its ``heads`` and ``rows`` as they stand."""
        result = self.load(name)
        return _table(result["heads"], result["rows"])

    # ----------------------------------------------------------------------------------------- source

    def source(self, names: Names) -> str:
        """Where results come from: the files, the commit and the day of each."""
        told = []
        for name in [names] if isinstance(names, str) else names:
            found = self.load(name)["provenance"]
            at = found["revision"][:7] if found["revision"] else "taken over"
            told.append(f"[{name}](../results/{name}.json) ({at}, {found['date']})")
        return "<sub>" + ", ".join(told) + "</sub>"

    def command(self, name: str) -> str:
        """The command line that gave a result."""
        line: str = self.load(name)["provenance"]["command"]
        return re.sub(r" --out \S+", "", line)


def _list_of(result: Mapping[str, Any]) -> tuple[str, str]:
    data = result["provenance"]["data"]
    return data["folder"], data["list"]["sha256"]


def _keys(columns: str) -> list[tuple[str, int | None]]:
    parted = (column.partition(":") for column in columns.split())
    return [(key, int(digits) if digits else None) for key, _, digits in parted]


def _of_paper(row: Published, metric: str) -> float:
    value = getattr(row, metric)
    assert isinstance(value, float)
    return value


def _by_model(methods: Iterable[str]) -> list[str]:
    """The methods in their order, but each model's variants behind it."""
    listed = list(methods)
    first = {model: place for place, model in reversed(list(enumerate(map(_model, listed))))}
    return sorted(listed, key=lambda method: first[_model(method)])


def _model(method: str) -> str:
    """MODEL of ``MODEL@2`` and ``MODEL, blank references``."""
    return re.split("[@,]", method)[0]


def _label(method: str, above: str = "") -> str:
    """A model's name as code, its variants in words; others' networks by their plain names.

    Args:
        method: as it was measured.
        above: the method in the row above: its model is not named again.
    """
    model = _model(method)
    if not re.match("(small|large)-", model):
        return method
    if model.endswith("-without-references"):
        return "trained without references"
    count, _, rest = method.removeprefix(model).removeprefix("@").partition(", ")
    variant = rest or {"": "", "0": "no references", "1": "1 reference"}.get(count, f"{count} references")
    if model == _model(above):
        return f"– {variant}"
    return f"`{model}`, {variant}" if variant else f"`{model}`"


def _cell(value: float | None, metric: str, digits: int | None = None, blank: str = "–") -> str:
    if value is None:
        return blank
    if metric == "gain":
        return f"{value:+.{2 if digits is None else digits}f}"
    return f"{value:.{METRICS.get(metric, ('', 3))[1] if digits is None else digits}f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
