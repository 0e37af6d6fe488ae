"""A tiny network trained for a minute on the rendered people, exported, and opened without PyTorch.

Needs the extra `train`: pip install "hime-sr[train]", or in a clone pip install ".[train]"
python examples/train_a_model.py [STEPS]
"""

import sys
from pathlib import Path

import hime
from hime.data.people import DEMO_PEOPLE
from hime.tools.export import export
from hime.training.loop import train
from hime.training.presets import override, preset

steps = int(sys.argv[1]) if sys.argv[1:] else 100
changes = ["model.channels=16", "model.deformable_groups=4", "model.reconstruction_blocks=4"]
config = override(preset("small-x4"), [*changes, "held_out_fraction=0.2"])
run = Path("demo/examples/tiny")
train(config, [(DEMO_PEOPLE, None)], run, steps, preset="small-x4")
model = export(run, Path("demo/examples/tiny-x4"))
print(hime.load(model).card["parameters"], "parameters in", model)
