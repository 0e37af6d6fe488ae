"""A person kept as a file, without the photos, and restored from it later.

python examples/keep_a_person.py
"""

from pathlib import Path

import hime
from hime.data.people import DEMO_PEOPLE
from hime.pictures.arrays import downscale
from hime.pictures.reading import Picture
from hime.restoring.person import describe_person, load_person, save_person

restorer = hime.load("large-x4-real-p")
file = Path("demo/examples/eva.person")
save_person(file, hime.read_person(DEMO_PEOPLE / "eva"), restorer)
print(describe_person(file))

small = Picture(downscale(hime.read_image(DEMO_PEOPLE / "eva" / "2.webp"), 6))
restored = hime.restore_photo(small, [load_person(file, restorer)], restorer)
hime.write_picture("demo/examples/eva.png", restored.image, small)
print(restored.faces[0].person, restored.faces[0].status)
