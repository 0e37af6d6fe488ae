"""The people of a batch: read once, with the digests of what was read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import hime
from hime.restoring.batch import Summary, model_digest
from hime.restoring.inputs import digests, together
from hime.restoring.restorer import Restorer
from hime.restoring.sources import Source, Sources, check_names
from hime.terminal import Meter

if TYPE_CHECKING:
    from hime.faces.album import Person, Reference
    from hime.faces.cache import LookCache
    from hime.faces.matching import Crowd


SEVERAL_PEOPLE = "seems to show several people; give each a folder of its own"
"""What is told of photos of which many show somebody else than the others."""
TOLD_PAIRS = 5
"""Pairs of people who seem to be one that are told of."""


@dataclass(frozen=True)
class Cast:
    """The people who may be in a batch's inputs.

    Attributes:
        people: as they were read.
        contents: the digest of each reference's file, as it was then.
        digest: of all their photos and names.
    """

    people: Crowd
    contents: Mapping[Path, str]
    digest: str

    def without(self, content: str) -> Crowd:
        """The people less the photos of that content: no picture is a reference for itself."""
        return self.people.with_others(
            {place: self._without(self.people[place], content) for place in self._owners.get(content, ())}
        )

    def only_by(self, content: str) -> set[str]:
        """Those of whom there is no photo but those of that content."""
        people = [self.people[place] for place in self._owners.get(content, ())]
        return {person.name for person in people if not self._without(person, content).references}

    @cached_property
    def _owners(self) -> dict[str, set[int]]:
        """Who has photos of each content among the references, by their places among the people."""
        owners: dict[str, set[int]] = {}
        for place, person in enumerate(self.people):
            for reference in person.references:
                content = self._content(reference)
                if content is not None:
                    owners.setdefault(content, set()).add(place)
        return owners

    def _content(self, reference: Reference) -> str | None:
        return reference.content if reference.path is None else self.contents.get(reference.path)

    def _without(self, person: Person, content: str) -> Person:
        kept = tuple(each for each in person.references if self._content(each) != content)
        return replace(person, references=kept)


def read_cast(
    sources: Sources, restorer: Restorer, summary: Summary | None, cache: LookCache | None = None
) -> Cast:
    """Read the people's photos and .person files; what is not used is told in the summary, and who seem to be
    one person (`hime.faces.matching.alike`).

    Args:
        sources: the people.
        restorer: what they are for.
        summary: filled in; None where that has been told.
        cache: where what is learned of each photo is kept; default nowhere.

    Raises:
        HimeError: as for `read_people`.
    """
    from hime.faces.matching import Crowd
    from hime.restoring.person import stored_digest

    contents = digests(file for each in sources.people if not each.is_encoded for file in each.files)
    people = read_people(sources.people, restorer, cache)
    for source, person in zip(sources.people, people, strict=True):
        if source.is_encoded:
            contents[source.files[0]] = stored_digest(person)
    crowd = Crowd(people)
    if summary is not None:
        summary.notes.extend(_notes(sources, crowd))
    whole = [
        together(
            [
                person.name,
                *(contents[file] for file in source.files if file in contents),
                *(f"{contents.get(file)} {place}" for file, place in source.places.items()),
            ]
        )
        for source, person in zip(sources.people, people, strict=True)
    ]
    return Cast(crowd, contents, together(whole))


def _notes(sources: Sources, crowd: Crowd) -> Iterator[str]:
    """Lines about photos that are not used, and about people who may be others than they are taken for."""
    from hime.faces.matching import alike

    for source, person in zip(sources.people, crowd, strict=True):
        if person.seems_several and not source.places:
            yield f"{person.name}: {SEVERAL_PEOPLE}"
        yield from (f"{person.name}: {name} is not used: {reason}" for name, reason in person.rejected)
    for one, other in islice(alike(crowd), TOLD_PAIRS):
        yield (
            f"{one.name} and {other.name} seem to be one person; if they are, give all photos in one folder, "
            "since a face that both could be is nobody's"
        )


def check_encoded(sources: Sources, restorers: Iterable[Restorer]) -> None:
    """Find out, before any photo is looked at, whether the .person files can be used with each restorer.

    Raises:
        HimeError: one cannot, as `hime.restoring.person.load_person` says.
    """
    from hime.restoring.person import load_person

    files = [source.files[0] for source in sources.people if source.is_encoded]
    for restorer in restorers:
        for file in files:
            load_person(file, restorer)


def made_with(restorer: Restorer, cast: Cast) -> dict[str, str]:
    """What results of every kind are made with, for `hime.restoring.batch.run_batch`."""
    return {
        "version": hime.__version__,
        "model": model_digest(restorer),
        "fidelity": str(restorer.fidelity),
        "people": cast.digest,
    }


def read_people(
    sources: Sequence[Source], restorer: Restorer, cache: LookCache | None = None
) -> list[Person]:
    """The people whose photos or .person files these are; how far it is shows on standard error.

    Raises:
        HimeError: two of one name, or a .person file that cannot be used, also because it was made for
            another model than the restorer's.
    """
    from hime.faces.album import read_person

    people: list[Person] = []
    for source in sources:
        if source.is_encoded:
            from hime.restoring.person import load_person

            people.append(load_person(source.files[0], restorer))
        else:
            with Meter(source.name or "") as meter:
                shown = partial(meter.show, "photos")
                person = read_person(
                    source.files, source.name, places=source.places, cache=cache, progress=shown
                )
            people.append(person)
    check_names(person.name for person in people)
    return people
