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
        paper: the paper's PSNR, SSIM and LPIPS, where it gives them as numbers; LPIPS may be missing.
        tick: its place on the horizontal axis.
        curve: whose point it is.
    """

    name: str
    label: str
    changes: tuple[str, ...]
    paper: tuple[float, float, float | None] | None = None
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
    """A table or a plot.

    Attributes:
        title: says what it is in the paper.
        preset: what the rows' changes apply to.
        rows: in the order of the paper.
        claims: what the paper finds in them.
        checkpoint: every row starts from one checkpoint unless it changes ``init``; else all from fresh
            weights.
        quick: changes for the small budget: two cores, an hour at most.
        axis: of the plot.
        notes: paragraphs for the report: choices where the paper is silent.
    """

    title: str
    preset: str
    rows: tuple[Row, ...]
    claims: tuple[Claim, ...]
    checkpoint: bool
    quick: tuple[str, ...]
    axis: str
    notes: tuple[str, ...]

    def changes(self, budget: Budget) -> tuple[str, ...]:
        """What all rows share. Nobody is held out: the rows are compared after equally many steps."""
        return ("held_out_fraction=0", *{"quick": self.quick, "paper": PAPER_BUDGET}[budget])


PAPER_BUDGET = ("steps=200000", "batch_size=16")
"""The full recipe, for a GPU; the paper does not tell its own."""

FORM = (
    "The network is the released form, with these parts exchanged. The paper's form: "
    "`--set model.null_reference=false --set model.shared_features=false --set model.fusion=sum`, with an "
    "`--out` of its own."
)

FLOW_GUIDED = ("model.alignment=flow-guided", "flow_init=spynet", "flow_rate=0.1")

TABLE_2 = Experiment(
    title="Table 2: alignment of the references",
    preset="small-x8",
    rows=(
        Row(
            name="conv",
            label="(a) Conv",
            changes=("model.alignment=conv",),
            paper=(24.33, 0.7311, 0.2605),
            tick="(a)",
        ),
        Row(
            name="deformable",
            label="(b) Dconv",
            changes=("model.alignment=deformable",),
            paper=(24.54, 0.7411, 0.2433),
            tick="(b)",
        ),
        Row(
            name="flow-guided",
            label="(c) Dconv-flow",
            changes=FLOW_GUIDED,
            paper=(24.68, 0.7467, 0.2361),
            tick="(c)",
        ),
        Row(
            name="flow-frozen",
            label="(c) with SpyNet frozen",
            changes=(*FLOW_GUIDED, "flow_rate=0"),
            tick="frozen",
        ),
        Row(
            name="flow-random",
            label="(c) with a flow drawn at random, at the full rate",
            changes=(*FLOW_GUIDED, "flow_init=none", "flow_rate=1"),
            tick="random",
        ),
    ),
    claims=(
        *(Claim(metric, "deformable", "conv") for metric in METRICS),
        *(Claim(metric, "flow-guided", "deformable") for metric in METRICS),
    ),
    checkpoint=False,
    quick=("steps=3000",),
    axis="alignment",
    notes=(
        "All rows have the width of the small model, so that only the alignment differs. The paper's (c) is "
        "its large model, 9.26 M parameters against 0.90 M, of which SpyNet has 1.44 M: what fills the rest "
        "it does not say, nor how its flow is trained. Here it starts from SpyNet's public weights and goes "
        "on at a tenth of the rate; the last two rows are ours.",
        FORM,
    ),
)

TABLE_3 = Experiment(
    title="Table 3: aggregation of the references",
    preset="small-x8",
    rows=(
        Row(
            name="average",
            label="(a) Average",
            changes=("model.aggregation=average",),
            paper=(22.120, 0.6350, 0.4332),
            tick="(a) Average",
        ),
        Row(
            name="max",
            label="(b) Max-pool",
            changes=("model.aggregation=max",),
            paper=(22.118, 0.6349, 0.4331),
            tick="(b) Max-pool",
        ),
        Row(
            name="content-conditioned",
            label="(c) CoFA",
            changes=("model.aggregation=content-conditioned",),
            paper=(24.381, 0.7339, 0.2533),
            tick="(c) CoFA",
        ),
    ),
    claims=tuple(
        Claim(metric, "content-conditioned", other) for other in ("average", "max") for metric in METRICS
    ),
    checkpoint=False,
    quick=("steps=8000",),
    axis="aggregation",
    notes=(
        "The paper's (a) and (b) lie 0.3 dB over bicubic (21.83 in its Table 1) and 1.7 dB below its network "
        "without any references (23.84 in its Table 4). Its (c) has the figures of row (a) of its Table 6, "
        "not those of the small model in its Tables 1, 2 and 4.",
        FORM,
    ),
)

TABLE_4 = Experiment(
    title="Table 4: number of references",
    preset="small-x8",
    rows=(
        Row(
            name="references-0",
            label="0 references",
            changes=("references=0",),
            paper=(23.84, 0.7088, 0.3440),
            tick="0",
        ),
        Row(
            name="references-1",
            label="1 reference",
            changes=("references=1", "sampling.count_weights=0,1"),
            paper=(24.35, 0.7318, 0.2572),
            tick="1",
        ),
        Row(
            name="references-3",
            label="3 references",
            changes=("references=3", "sampling.count_weights=0,0,0,1"),
            paper=(24.54, 0.7409, 0.2433),
            tick="3",
        ),
    ),
    claims=tuple(
        Claim(metric, f"references-{more}", f"references-{fewer}")
        for fewer, more in ((0, 1), (1, 3))
        for metric in METRICS
    ),
    checkpoint=False,
    quick=("steps=7000",),
    axis="references, in training and testing",
    notes=(
        "Each row is trained and tested with so many references, always (people with fewer photos have "
        "fewer); the released models are trained with 0 to 3. With 0 the aggregate is zero: what is left is "
        "the LR extractor and the reconstruction.",
        FORM,
    ),
)

TABLE_7 = Experiment(
    title="Table 7: influence of face chirality",
    preset="small-x8",
    rows=(
        Row(
            name="none",
            label="(a) no augmentation",
            changes=("sampling.flip=none",),
            paper=(22.60, 0.660, None),
            tick="(a) none",
        ),
        Row(
            name="uneven",
            label="(b) uneven flips",
            changes=("sampling.flip=uneven",),
            paper=(22.52, 0.654, None),
            tick="(b) uneven",
        ),
        Row(
            name="even",
            label="(c) even flips",
            changes=("sampling.flip=even",),
            paper=(23.63, 0.662, None),
            tick="(c) even",
        ),
    ),
    claims=tuple(
        Claim(metric, better, worse)
        for better, worse in (("even", "none"), ("none", "uneven"))
        for metric in ("psnr", "ssim")
    ),
    checkpoint=False,
    quick=("steps=8000",),
    axis="augmentation",
    notes=(
        "Uneven: one of the two, headshot or references, is mirrored in every pair, each in half of them. "
        "The paper calls (c) slightly better than (a): its 23.63 may be meant as 22.63.",
        FORM,
    ),
)

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
    checkpoint=True,
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
    checkpoint=True,
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

EXPERIMENTS: dict[str, Experiment] = {
    "table2": TABLE_2,
    "table3": TABLE_3,
    "table4": TABLE_4,
    "table6": TABLE_6,
    "table7": TABLE_7,
    "fig8": FIGURE_8,
}
"""What is trained, by the names of the command line."""

OF_THE_PAPER = ("fig6", *(f"table{number}" for number in range(1, 8)), "fig7", "fig8")
"""Everything that ``hime reproduce all`` tries."""


def experiment(name: str) -> Experiment:
    """The experiment called ``name``.

    Raises:
        HimeError: there is none; the message lists them.
    """
    try:
        return EXPERIMENTS[name]
    except KeyError:
        names = ", ".join([*OF_THE_PAPER, "all", "dial"])
        raise HimeError(f"no experiment {name!r}: choose one of {names}") from None
