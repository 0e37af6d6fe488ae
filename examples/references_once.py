"""References encoded once, many headshots restored: what a live video does.

python examples/references_once.py
"""

from pathlib import Path

import hime
from hime.data.people import DEMO_PEOPLE
from hime.pictures.arrays import downscale

photos = [hime.read_image(file) for file in sorted((DEMO_PEOPLE / "ben").glob("*.webp"))]
restorer = hime.load("small-x8")
restorer.set_references(photos[3:])  # framed as the headshots are: see docs/photographs.md, --aligned

for number, truth in enumerate(photos[:3]):
    headshot = downscale(truth, 16)  # 256 -> 16 pixels
    restored = restorer.restore(headshot)
    shares = ", ".join(f"{share:.0%}" for share in restored.shares)
    file = hime.write_image(Path(f"demo/examples/ben-{number}.png"), restored.image)
    print(f"{file}: {headshot.shape[0]} -> {restored.image.shape[0]} pixels, from the references {shares}")
