"""Where people come from: folders of photos, albums whose pictures name the faces in them, .person files.

A folder with photos of its own is one person, with all photos in it and in its folders. A folder without
holds people: each of its folders and each .person file in it. But where its pictures name the faces in them
(`hime.pictures.names`), the people are those who are named, each with the faces of that name.

Results of earlier runs (`hime.restoring.records`, or by their own marks, `hime.pictures.marks`) are no photos
of anybody: what a model made up is no likeness.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hime.errors import HimeError
from hime.files import is_folder, unreadable_folder
from hime.pictures.formats import FoundPictures, check_pictures, find_pictures
from hime.pictures.names import NamedFace, read_named_faces, spelled
from hime.restoring.inputs import absolute, digests, only_results, result_line
from hime.restoring.person_file import SUFFIX, StoredFile
from hime.restoring.records import Results
from hime.terminal import some_of

ALBUM = 0.5
"""Share of a folder's pictures from which, if so many name somebody, the names are taken and not the folders.
Who tags an album tags most of it; a few pictures out of one are no reason to pass over the others."""
TOLD_NAMES = 5
"""Names that are told of an album."""


@dataclass(frozen=True)
class Source:
    """Where a person's references come from.

    Attributes:
        name: the person's; None where the file says it.
        files: photos, or one .person file.
        is_encoded: whether it is a .person file.
        places: where in the photos the person's face is, where they say it.
    """

    name: str | None
    files: tuple[Path, ...]
    is_encoded: bool = False
    places: Mapping[Path, NamedFace] = field(default_factory=dict)


@dataclass(frozen=True)
class Sources:
    """People found, what was passed over, and what a user should know of how it was understood: lines."""

    people: list[Source] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def files(self) -> list[Path]:
        """Every file that is read, once."""
        return list(dict.fromkeys(file for person in self.people for file in person.files))


def find_people(paths: Sequence[Path | str], named: bool | None = None) -> Sources:
    """The people that ``paths`` stand for.

    Folders and albums as the module says; a .person file is one person, and is passed over where the photos
    that it was made of are given too, or others of the person of its name. Loose photos are one person
    together, named after the first. Results of earlier runs are passed over, also those that are named
    themselves.

    Args:
        paths: folders and files.
        named: take the people from the names that the pictures give their faces, True always, False never;
            default: of a folder where at least `ALBUM` of its pictures name somebody.

    Raises:
        HimeError: a folder that cannot be read, or without any picture; a file that is not there, or loose
            files of which none is a picture, or none but results; two people of one name; nobody is named
            where names were asked for.
    """
    found, earlier = Sources(), Results(marked=True)
    loose: list[Path] = []
    album: dict[str, dict[Path, NamedFace]] = defaultdict(dict)
    for path in _once(map(Path, paths)):
        if is_folder(path):
            whole = find_pictures(path)
            listed, results = earlier.less(path, whole)
            found.passed_over.extend(results)
            if not _take_names(path, listed.pictures, named, album, found):
                _people_in(path, whole, listed, results, found)
                continue
            found.people.extend(_encoded_in(path))
            found.passed_over.extend(_passed_over(path, listed))
        elif path.suffix.lower() == SUFFIX:
            found.people.append(Source(None, (path,), is_encoded=True))
        else:
            loose.append(path)
    check_pictures(loose)
    files: list[Path] = []
    for file in loose:
        if earlier.has(file):
            found.passed_over.append(result_line(file))
        else:
            files.append(file)
    if loose and not files:
        raise only_results(loose[0])
    if files and not (named and _take_names(files[0], files, named, album, found)):
        found.people.append(Source(files[0].stem, tuple(files)))
    found.people.extend(Source(name, tuple(album[name]), places=album[name]) for name in sorted(album))
    found.people[:] = _without_repeated(found.people)
    check_names(person.name for person in found.people if person.name is not None)
    _pass_over_encoded(found)
    return found


def find_person(paths: Sequence[Path | str], name: str | None = None, named: bool | None = None) -> Sources:
    """The one person that photos show, read as `find_people` does.

    .person files in folders are passed over: they are no photos.

    Args:
        paths: folders and photos.
        name: which of several; of one alone it does not matter.
        named: see `find_people`.

    Raises:
        HimeError: as `find_people`, or it is nobody, or several and none of that name, or a .person file.
    """
    for path in map(Path, paths):
        if path.suffix.lower() == SUFFIX and not is_folder(path):
            raise HimeError(f"{path}: is a .person file already; give photos, or a folder of them")
    found = find_people(paths, named)
    people = [person for person in found.people if not person.is_encoded]
    if not people:
        raise HimeError(f"{paths[0]}: no picture in it; check the path")
    wanted = None if name is None else spelled(name)
    chosen = people if len(people) == 1 else [person for person in people if person.name == wanted]
    if not chosen:
        names = some_of([str(person.name) for person in people], TOLD_NAMES)
        raise HimeError(
            f"{paths[0]}: {len(people)} people ({names}), and a .person file is one's; give the photos "
            "of one, --name with one of these, or --no-named if all show one"
        )
    return replace(found, people=chosen)


def _once(paths: Iterable[Path]) -> list[Path]:
    """The paths less those that lead to one before."""
    found: dict[str, Path] = {}
    for path in paths:
        found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _without_repeated(people: Sequence[Source]) -> list[Source]:
    """The people, their names in one spelling, less those who were there already, as somebody's folder within
    one that was given too.
    """
    found: dict[tuple[str | None, ...], Source] = {}
    for person in people:
        name = None if person.name is None else spelled(person.name)
        found.setdefault((name, *map(os.path.realpath, person.files)), replace(person, name=name))
    return list(found.values())


def check_names(names: Iterable[str]) -> None:
    """Refuse two people of one name."""
    for name, times in Counter(map(spelled, names)).items():
        if times > 1:
            raise HimeError(f"{times} people are named {name}; give each folder its own name")


def _take_names(
    place: Path,
    pictures: Sequence[Path],
    named: bool | None,
    album: dict[str, dict[Path, NamedFace]],
    found: Sources,
) -> bool:
    """Whether the people of a folder, or of loose photos, are those whom the pictures name; then they are in
    the album.

    Raises:
        HimeError: none is named, and names were asked for.
    """
    if named is False:
        return False
    faces = {picture: own for picture in pictures if (own := read_named_faces(picture))}
    if named and pictures and not faces:
        raise HimeError(f"{place}: none of its pictures names a face in it; leave out --named")
    count = f"{len(faces)} of its {len(pictures)} pictures"
    if not named and len(faces) < max(1, ALBUM * len(pictures)):
        if faces:
            found.notes.append(
                f"{place}: {count} name faces, which is not looked at; --named takes the names"
            )
        return False
    names = list(dict.fromkeys(face.name for own in faces.values() for face in own))
    told = some_of(names, TOLD_NAMES)
    found.notes.append(f"{place}: {count} name the faces in them: {told}; --no-named goes by folders")
    for picture, own in faces.items():
        for face in own:
            album[face.name][picture] = face
    return True


def _people_in(
    folder: Path, whole: FoundPictures, listed: FoundPictures, results: Sequence[str], found: Sources
) -> None:
    """The person whose folder it is, or the people in it.

    Args:
        folder: which.
        whole: what was found in it.
        listed: the same less results.
        results: lines about these.
        found: added to.
    """
    encoded, lines = _encoded_in(folder), _passed_over(folder, listed)
    own = [path for path in listed.pictures if path.parent == folder]
    if own:
        name = absolute(folder).name
        if len(own) < len(listed.pictures):
            found.notes.append(
                f"{folder}: is taken for one person, with the photos in its folders, since {own[0].name} is "
                "in it; if its folders are people, put that elsewhere"
            )
        found.people.append(Source(name, listed.pictures))
    else:
        below: dict[str, list[Path]] = defaultdict(list)
        for path in listed.pictures:
            below[path.relative_to(folder).parts[0]].append(path)
        found.people.extend(Source(name, tuple(photos)) for name, photos in below.items())
        if not below and not encoded:
            named = f"; {told[0]}" if (told := [*results, *lines]) else ""
            raise HimeError(f"{folder}: no picture in it{named}; check the path")
        found.passed_over.extend(_without_pictures(folder, whole))
    found.people.extend(encoded)
    found.passed_over.extend(lines)


def _pass_over_encoded(found: Sources) -> None:
    """Leave out each .person file that was made of photos which are somebody's here, whatever that one is
    called: they are as good. Likewise the others of a name that somebody with photos has: nobody can tell
    whose a face is if both are taken.
    """
    given = [person for person in found.people if not person.is_encoded]
    people = []
    known: dict[str, list[int]] = defaultdict(list)
    if given and len(given) < len(found.people):
        for place, person in enumerate(given):
            for content in {*digests(person.files).values()}:
                known[content].append(place)
    for person in found.people:
        reason = _why_passed_over(person.files[0], given, known) if person.is_encoded and given else None
        if reason is None:
            people.append(person)
        else:
            found.passed_over.append(f"{person.files[0]}: passed over: {reason}")
    found.people[:] = people


def _why_passed_over(file: Path, given: Sequence[Source], known: Mapping[str, Sequence[int]]) -> str | None:
    """Why a .person file is not taken beside photos; None if it is.

    Args:
        file: which.
        given: the people with photos.
        known: by the digest of each of their photos the places among them of those who have it.
    """
    try:
        stored = StoredFile(file)
    except HimeError:  # told when it is used
        return None
    contents, name = {*filter(None, stored.contents)}, spelled(stored.name)
    if contents:
        whose = set.intersection(*({*known.get(content, ())} for content in contents))
        # Photos of a person who is named in them may show others too.
        if any(not given[place].places or given[place].name == name for place in whose):
            return "the photos that it was made of are taken; give it alone to take it"
    if any(person.name == name for person in given):
        made = "make it again, or give it alone to take it"
        return f"other photos of {name} are taken than it was made of; {made}"
    return None


def _without_pictures(folder: Path, whole: FoundPictures) -> list[str]:
    """Lines about the folders in a folder of people in which there is no picture: who is meant is unknown.

    Args:
        folder: which.
        whole: what was found in it, results too.
    """
    told = {path.relative_to(folder).parts[0] for path in whole.pictures}
    told |= {path.name for path, _ in whole.passed_over if path.parent == folder}  # which may not be read
    try:
        below = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and is_folder(path))
    except OSError:  # told where its .person files are looked for
        return []
    # A link may lead to a folder that has been visited by another name.
    empty = [path for path in below if path.name not in told and not path.is_symlink()]
    return [f"{path}: passed over: no picture in it" for path in empty]


def _encoded_in(folder: Path) -> list[Source]:
    """The .person files of a folder."""
    try:
        entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise unreadable_folder(folder, error) from None
    files = [path for path in entries if path.suffix.lower() == SUFFIX and not is_folder(path)]
    return [Source(None, (path,), is_encoded=True) for path in files]


def _passed_over(folder: Path, listed: FoundPictures) -> list[str]:
    """Lines about what is no picture in a folder, and no .person file of its own either."""
    return [
        f"{path}: passed over: {reason}"
        for path, reason in listed.passed_over
        if not (path.parent == folder and path.suffix.lower() == SUFFIX)
    ]
