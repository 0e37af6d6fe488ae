"""A photograph in which somebody is small, restored with photos of that person.

python examples/restore_a_photo.py [PHOTO FOLDER_OF_THE_PERSON RESULT]; without, a rendered person is taken.
"""

import sys
from pathlib import Path

import hime
from hime.data.people import DEMO_PEOPLE
from hime.pictures.arrays import downscale

out = Path("demo/examples")
photo, person, result = map(
    Path, sys.argv[1:] or (out / "ada-small.png", DEMO_PEOPLE / "ada", out / "ada.png")
)
if not sys.argv[1:]:
    hime.write_image(photo, downscale(hime.read_image(person / "0.webp"), 4))

picture = hime.read_picture(photo)
restored = hime.restore_photo(picture, [hime.read_person(person)], hime.load("large-x4-real-p"))
hime.write_picture(result, restored.image, picture)
for face in restored.faces:
    print(face.person or "somebody", face.status)
    if face.similarity_before is not None:
        print(f"  likeness {face.similarity_before:.2f} -> {face.similarity_after:.2f}")
