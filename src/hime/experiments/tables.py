"""What is trained for each table or plot of the paper, and the paper's own figures: data only."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Literal

from hime.errors import HimeError

Budget = Literal["quick", "paper"]
METRICS = ("psnr", "ssim", "lpips")
"""The columns of the paper's tables; less is better in the last."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One training and its place in the table and the plot.

    Attributes:
        name: of its run folder.
        label: in the table.
        changes: to the experiment's preset, as ``hime train --set`` takes them.
        paper: the paper's PSNR, SSIM and LPIPS, where it gives them as numbers.
        tick: its place on the horizontal axis.
        curve: whose point it is.
    """

    name: str
    label: str
    changes: tuple[str, ...]
    paper: tuple[float, float, float] | None = None
    tick: str
    curve: str = "here"


@dataclasses.dataclass(frozen=True)
class Claim:
    """A finding of the paper: in ``metric``, row ``better`` does better than row ``worse``."""

    metric: str
    better: str
    worse: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """A table or a plot. Every row starts from one checkpoint unless it changes ``init``.

    Attributes:
        title: says what it is in the paper.
        preset: what the rows' changes apply to.
        rows: in the order of the paper.
        claims: what the paper finds in them.
        quick: changes for the small budget: two cores, an hour at most.
        axis: of the plot.
        notes: paragraphs for the report: choices where the paper is silent.
    """

    title: str
    preset: str
    rows: tuple[Row, ...]
    claims: tuple[Claim, ...]
    quick: tuple[str, ...]
    axis: str
    notes: tuple[str, ...]

    def changes(self, budget: Budget) -> tuple[str, ...]:
        """What all rows share. Nobody is held out: the rows are compared after equally many steps."""
        return ("held_out_fraction=0", *{"quick": self.quick, "paper": PAPER_BUDGET}[budget])


PAPER_BUDGET = ("steps=200000", "batch_size=16")
"""The full recipe, for a GPU; the paper does not tell its own."""

# Rows take losses away from the preset's: each λ is stated once, in `hime.training.presets.PERCEPTION`.
NO_GAN = ("loss.perceptual=0", "loss.adversarial=0")

TABLE_6 = Experiment(
    title="Table 6: effect of the correlation loss",
    preset="small-x8-p",
    rows=(
        Row(
            name="reconstruction",
            label="(a) L_rec",
            changes=(*NO_GAN, "loss.correlation=0"),
            paper=(24.38, 0.7339, 0.2533),
            tick="(a) L_rec",
        ),
        Row(
            name="reconstruction-correlation",
            label="(b) L_rec + L_cor",
            changes=NO_GAN,
            paper=(24.35, 0.7346, 0.2437),
            tick="(b) + L_cor",
        ),
        Row(
            name="perception-without-correlation",
            label="(c) L_P without L_cor",
            changes=("loss.correlation=0",),
            paper=(22.44, 0.6204, 0.1543),
            tick="(c) L_P − L_cor",
        ),
        Row(
            name="perception",
            label="(d) L_P",
            changes=(),
            paper=(23.28, 0.6673, 0.1389),
            tick="(d) L_P",
        ),
    ),
    claims=(
        Claim("psnr", "reconstruction", "reconstruction-correlation"),
        Claim("ssim", "reconstruction-correlation", "reconstruction"),
        Claim("lpips", "reconstruction-correlation", "reconstruction"),
        *(Claim(metric, "perception", "perception-without-correlation") for metric in METRICS),
    ),
    quick=("steps=500", "batch_size=8", "warmup_steps=50"),
    axis="losses",
    notes=(
        "Every row is trained on from the same reconstruction-oriented checkpoint, with equally many steps "
        "on the same pairs. The paper does not say from where its rows start.",
    ),
)

WINDOWS = (1, 3, 5, 7, 9)
ALONE, FINE_TUNED = "(a) L_cor only", "(b) L_rec + L_cor"


FIGURE_8 = Experiment(
    title="Figure 8: effect of the correlation window k",
    preset="small-x8-p",
    rows=(
        *(
            Row(
                name=f"correlation-only-window-{window}",
                label=f"{ALONE}, k = {window}",
                # From fresh weights, so at the rate of the reconstruction-oriented preset.
                changes=(
                    *NO_GAN,
                    "loss.pixel=0",
                    f"loss.correlation_window={window}",
                    "init=none",
                    "learning_rate=5e-4",
                ),
                tick=str(window),
                curve=ALONE,
            )
            for window in WINDOWS
        ),
        *(
            Row(
                name=f"fine-tuned-window-{window}",
                label=f"{FINE_TUNED}, k = {window}",
                changes=(*NO_GAN, f"loss.correlation_window={window}"),
                tick=str(window),
                curve=FINE_TUNED,
            )
            for window in WINDOWS
        ),
    ),
    claims=(
        *(
            Claim(metric, f"correlation-only-window-{larger}", f"correlation-only-window-{smaller}")
            for metric in ("psnr", "ssim")
            for smaller, larger in itertools.pairwise(WINDOWS)
        ),
        Claim("lpips", "correlation-only-window-7", "correlation-only-window-9"),
        Claim("psnr", "fine-tuned-window-3", "fine-tuned-window-1"),
        Claim("ssim", "fine-tuned-window-3", "fine-tuned-window-1"),
        *(
            Claim("lpips", f"fine-tuned-window-{larger}", f"fine-tuned-window-{smaller}")
            for smaller, larger in itertools.pairwise(WINDOWS[1:])
        ),
    ),
    quick=("steps=1000", "batch_size=8", "warmup_steps=100"),
    axis="correlation window k",
    notes=(
        "The paper gives this figure as a plot, without numbers. (a), blue there: PSNR and SSIM rise with k, "
        "less and less; LPIPS gets worse again at k = 9. (b), red: beyond k = 3 PSNR and SSIM hardly change, "
        "and LPIPS keeps falling with k.",
        "(a) begins with fresh weights, (b) with the checkpoint. λ_cor is the same for all windows: equation "
        "9 is a sum over the k² maps, each divided by k² in equation 8, so that the loss weighs about the "
        "same for every k.",
        "The correlation loss takes the mean of every channel away: alone it leaves the colour of the whole "
        "picture undetermined, and in (a) only the bicubic skip connection holds it.",
    ),
)

EXPERIMENTS: dict[str, Experiment] = {"table6": TABLE_6, "fig8": FIGURE_8}


def experiment(name: str) -> Experiment:
    """The experiment called ``name``.

    Raises:
        HimeError: there is none; the message lists them.
    """
    try:
        return EXPERIMENTS[name]
    except KeyError:
        raise HimeError(f"no experiment {name!r}: choose one of fig6, dial, {', '.join(EXPERIMENTS)}") from None
