"""``hime restore`` and ``hime person``: photographs, videos and headshots, and the people in them."""

from __future__ import annotations

import argparse
from functools import cache, partial
from typing import TYPE_CHECKING

from hime.cli.arguments import (
    Commands,
    add_debug,
    add_device,
    add_fidelity,
    add_quiet,
    add_threads,
    path,
    path_or_url,
    positive,
)
from hime.cli.bulk import add_engine, check_engine, restore_in_bulk
from hime.cli.models import open_restorer
from hime.cli.summary import tell, tell_json
from hime.errors import HimeError
from hime.files import check_writable, is_folder
from hime.pictures.names import spelled
from hime.processors import limit_threads
from hime.restoring.batch import Summary
from hime.restoring.exported import DEFAULT_MODEL, DEFAULT_PHOTO_MODEL, DEFAULT_VIDEO_MODEL
from hime.restoring.headshots import MAX_LR_SIDE, restore_headshots
from hime.restoring.inputs import Listing, find_inputs
from hime.restoring.people import SEVERAL_PEOPLE, check_encoded
from hime.restoring.person_file import SUFFIX
from hime.restoring.photographs import restore_photos
from hime.restoring.restorer import Restorer, load
from hime.restoring.sources import find_people
from hime.terminal import Meter, answer, note, say

if TYPE_CHECKING:
    from hime.faces.cache import LookCache


def add_restore(commands: Commands) -> None:
    """The arguments of ``hime restore``."""
    command = commands.add_parser(
        "restore",
        help="restore the people you know in your photographs and videos",
        examples=[
            "hime restore party.jpg --refs mum/ dad/ --out restored/    # a folder of photos of each",
            "hime restore albums/1998/ --refs albums/ --out restored/   # people named in the photos (XMP)",
            "hime restore albums/1998/ --refs mum/ --out restored/ --dry-run",
            "hime restore headshots/ --aligned --refs crops/ --out restored/",
        ],
    )
    _add_files(command)
    _add_faces(command)
    command.add_argument(
        "--overwrite",
        action="store_true",
        help="restore again what is there already, and replace files there that are no results",
    )
    command.add_argument(
        "--keep-date",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="give the results the dates of the files that they were made of; default: yes",
    )
    command.add_argument(
        "--model",
        metavar="NAME|FILE",
        help="name, exported folder, run folder or .safetensors; "
        f"default: {DEFAULT_PHOTO_MODEL}, for videos {DEFAULT_VIDEO_MODEL}, with --aligned {DEFAULT_MODEL}",
    )
    add_fidelity(
        command,
        "of a perception-oriented model: from 0, its own pictures, to 1, those of its reconstruction model; "
        "between them both are mixed; default: as the model's card says",
    )
    command.add_argument(
        "--report", action="store_true", help="explain each result in NAME.html (with --aligned: NAME.json)"
    )
    command.add_argument(
        "--strength",
        type=float,
        default=1.0,
        metavar="0…1",
        help="from 0, nothing is changed, to 1; between them what was there is mixed in; default: 1",
    )
    command.add_argument(
        "--even-sharp", action="store_true", help="restore also large faces that are sharp for their size"
    )
    _add_aligned(command)
    _add_cache(command)
    add_device(command)
    add_threads(command)
    add_engine(command)
    _add_telling(command)
    add_debug(command)
    command.set_defaults(command=restore, parser=command, goes_on=True)


def _add_files(command: argparse.ArgumentParser) -> None:
    """What is read, and where the results go."""
    command.add_argument(
        "inputs",
        nargs="+",
        type=path_or_url,
        metavar="INPUT",
        help="photographs, videos, or folders of them; with --engine ray also URLs, globs and manifests",
    )
    command.add_argument(
        "--refs",
        nargs="+",
        action="extend",
        default=[],
        type=path,
        metavar="PATH",
        help="photos of the people: each folder is a person, or holds one folder each; each .person file is "
        "one, loose photos are one together; a video has near frames of its own",
    )
    _add_named(command, "--refs")
    command.add_argument(
        "--out",
        required=True,
        type=path_or_url,
        metavar="PATH",
        help="a file for one input file; else a folder; with --engine ray a folder or a URL",
    )


def _add_named(command: argparse.ArgumentParser, of: str) -> None:
    """``--named``, ``--no-named``."""
    command.add_argument(
        "--named",
        action=argparse.BooleanOptionalAction,
        help=f"take the people of {of} from the names that photos give the faces in them (XMP, as digiKam, "
        "Lightroom, Picasa write it), not from folders; default: where half of a folder's photos do",
    )


def _add_faces(command: argparse.ArgumentParser) -> None:
    """What is for whole photographs: which faces, and what becomes of them."""
    command.add_argument("--person", metavar="NAME", help="restore only this one of the people")
    command.add_argument(
        "--face", type=positive, metavar="N", help="restore only the face N, counted from left to right"
    )
    command.add_argument(
        "--everyone", action="store_true", help="restore strangers too, without photos of them"
    )
    command.add_argument("--crop", action="store_true", help="write the faces alone, as NAME-faceN.png")
    command.add_argument(
        "--enlarge",
        type=int,
        choices=(1, 2, 4, 8),
        help="how many times the sides become; default: the model's scale, of a video 1",
    )


def _add_telling(command: argparse.ArgumentParser) -> None:
    """What is told, and whether anything is done."""
    command.add_argument(
        "--dry-run",
        action="store_true",
        help="write nothing, and tell which faces there are, whose, and what would be done with each",
    )
    command.add_argument(
        "--json",
        action="store_true",
        help="all that was done as one JSON object on standard output; what is told otherwise is in it",
    )
    add_quiet(command)


def _add_aligned(command: argparse.ArgumentParser) -> None:
    """What is for headshots."""
    command.add_argument(
        "--aligned",
        action="store_true",
        help="inputs and photos are headshots framed alike: look for no faces, write NAME.png of each input",
    )
    command.add_argument(
        "--max-lr-side",
        type=positive,
        metavar="PIXELS",
        help=f"of an input with --aligned; default: {MAX_LR_SIDE}",
    )


def _add_cache(command: argparse.ArgumentParser) -> None:
    """``--no-cache``; `_cache` gives the cache."""
    command.add_argument(
        "--no-cache",
        action="store_true",
        help="neither use nor keep what was learned of photos of people (see `hime person forget`)",
    )


def _cache(options: argparse.Namespace) -> LookCache | None:
    """Where what is learned of photos is kept, None for nowhere; a dry run adds nothing to it."""
    from hime.faces.cache import user_cache

    is_dry = getattr(options, "dry_run", False)  # `hime person add` has none
    return None if options.no_cache else user_cache(read_only=is_dry)


def restore(options: argparse.Namespace) -> int:
    """``hime restore``."""
    check_engine(options)
    if options.engine == "ray":
        return restore_in_bulk(options, partial(_check, options), _cache(options))
    if options.aligned:
        _check(options, None)
        kinds = [partial(_headshots, options)]
    else:
        listing = find_inputs(options.inputs, options.out)
        _check(options, listing)
        limit_threads(options.threads)
        kinds = _kinds(options, listing)
    summaries: list[Summary] = []
    for work in kinds:
        try:
            summary = work()
        except HimeError as error:
            if not summaries:
                raise
            summary = Summary(failed=[str(error)])  # what was done before is told all the same
        summaries.append(summary)
        if not options.json:
            tell(summary, options.out, options.dry_run)
    if options.json:
        tell_json(summaries, options.dry_run)
    return 1 if any(summary.failed for summary in summaries) else 0


def _kinds(options: argparse.Namespace, listing: Listing) -> list[partial[Summary]]:
    """The work on photographs, and that on clips. The models of both are open, and the .person files are for
    both, before the first picture is restored.

    Raises:
        HimeError: they are not.
    """
    opened = cache(partial(_opened, options))  # once, where both go by one model
    photo, clip = options.model or DEFAULT_PHOTO_MODEL, options.model or DEFAULT_VIDEO_MODEL
    kinds = []
    if listing.inputs:
        kinds.append(partial(_photos, options, listing, opened(photo)))
    if listing.clips:
        kinds.append(partial(_clips, options, listing, opened(clip)))
    if len(kinds) > 1:
        check_encoded(find_people(options.refs, options.named), map(opened, dict.fromkeys((photo, clip))))
    return kinds


def _check(options: argparse.Namespace, listing: Listing | None) -> None:
    """Whether the arguments go together; else the parser says what not, and stops (status 2)."""
    faces = {
        "--person": options.person is not None,
        "--face": options.face is not None,
        "--everyone": options.everyone,
        "--crop": options.crop,
        "--enlarge": options.enlarge is not None,
        "--named": options.named is not None,
        "--no-cache": options.no_cache,
    }
    if not 0 <= options.strength <= 1:
        options.parser.error(f"--strength must be from 0 to 1, not {options.strength}")
    if options.aligned and any(faces.values()):
        given = next(name for name, is_given in faces.items() if is_given)
        options.parser.error(f"{given} is for whole photographs; leave out it or --aligned")
    _check_effect(options)
    if listing is not None and listing.clips:
        of_photographs = {
            "--face": faces["--face"],
            "--crop": options.crop,
            "--strength": options.strength != 1,
            "--even-sharp": options.even_sharp,
        }
        wrong = next((name for name, is_given in of_photographs.items() if is_given), None)
        if wrong is not None:
            options.parser.error(
                f"{wrong} is for photographs, but {listing.clips[0].path} is a video; leave one of them out"
            )
        if options.enlarge == 8:
            options.parser.error("a video is enlarged 1, 2 or 4 times")
    pictures = listing is not None and listing.inputs
    if pictures and not (options.refs or options.everyone or faces["--face"]):
        options.parser.error(
            "give photos of the people with --refs, or restore without: --everyone or --face N"
        )


def _check_effect(options: argparse.Namespace) -> None:
    """Whether each argument has an effect beside the others; else the parser says which has none."""
    if options.max_lr_side is not None and not options.aligned:
        options.parser.error("--max-lr-side is for headshots; leave it out, or give --aligned")
    one = "--person" if options.person is not None else "--face" if options.face is not None else None
    if options.everyone and one is not None:
        options.parser.error(f"--everyone has no effect beside {one}; leave out one of them")
    if options.named is not None and all(path.suffix.lower() == SUFFIX for path in options.refs):
        given = "--named" if options.named else "--no-named"
        options.parser.error(f"{given} is for photos given with --refs, and there are none; leave it out")


def _opened(options: argparse.Namespace, default: str) -> Restorer:
    return open_restorer(options.model or default, options.threads, options.fidelity, options.device)


def _headshots(options: argparse.Namespace) -> Summary:
    """Restore headshots: ``--aligned``."""
    return restore_headshots(
        _opened(options, DEFAULT_MODEL),
        options.inputs,
        options.refs,
        options.out,
        report=options.report,
        overwrite=options.overwrite,
        max_lr_side=options.max_lr_side or MAX_LR_SIDE,
        even_sharp=options.even_sharp,
        strength=options.strength,
        keep_date=options.keep_date,
        dry_run=options.dry_run,
    )


def _clips(options: argparse.Namespace, listing: Listing, restorer: Restorer) -> Summary:
    """Restore the faces in videos."""
    from hime.restoring.video.batch import restore_clips

    return restore_clips(
        restorer,
        listing,
        options.refs,
        options.out,
        everyone=options.everyone,
        only_person=options.person,
        enlargement=options.enlarge or 1,
        report=options.report,
        overwrite=options.overwrite,
        keep_date=options.keep_date,
        cache=_cache(options),
        named=options.named,
        dry_run=options.dry_run,
    )


def _photos(options: argparse.Namespace, listing: Listing, restorer: Restorer) -> Summary:
    """Restore the faces in photographs."""
    return restore_photos(
        restorer,
        listing,
        options.refs,
        options.out,
        everyone=options.everyone,
        only_person=options.person,
        only_face=options.face,
        enlargement=options.enlarge,
        crop=options.crop,
        report=options.report,
        overwrite=options.overwrite,
        keep_date=options.keep_date,
        cache=_cache(options),
        even_sharp=options.even_sharp,
        strength=options.strength,
        named=options.named,
        dry_run=options.dry_run,
    )


def add_person(commands: Commands) -> None:
    """The arguments of ``hime person add``, ``hime person show`` and ``hime person forget``."""
    command = commands.add_parser(
        "person",
        help="keep people as files: what a model needs of their photos, without the photos",
        examples=["hime person add mum/ --out mum.person", "hime person forget mum/"],
    )
    actions = command.add_subparsers(title="actions", required=True, metavar="ACTION")
    command = actions.add_parser(
        "add",
        help="make a .person file of somebody's photos",
        description="Makes a file that `hime restore --refs FILE.person` takes in place of the photos. It "
        "holds no picture, but it is biometric data: it recognises the person, and a likeness can be made of "
        "it. Keep it as you would keep the photos; who deletes the file has deleted what is in it.",
        examples=[
            "hime person add mum/ --out mum.person",
            "hime restore party.jpg --refs mum.person --out out/",
        ],
    )
    command.add_argument(
        "photos",
        nargs="+",
        type=path,
        metavar="PHOTO",
        help="a folder of the person's photos, or files; read as `hime restore --refs` reads them",
    )
    command.add_argument("--out", required=True, type=path, metavar="FILE.person", help="the file to write")
    command.add_argument("--name", help="the person's; default: the folder's, else the file's")
    _add_named(command, "PHOTO")
    command.add_argument(
        "--model",
        default=DEFAULT_PHOTO_MODEL,
        metavar="NAME|DIR",
        help=f"name or exported folder; default: {DEFAULT_PHOTO_MODEL}",
    )
    _add_cache(command)
    add_threads(command)
    add_quiet(command)
    command.set_defaults(command=person_add)
    command = actions.add_parser(
        "show", help="what a .person file holds", examples=["hime person show mum.person"]
    )
    command.add_argument("file", type=path, metavar="FILE.person")
    command.set_defaults(command=person_show)
    command = actions.add_parser(
        "forget",
        help="delete what was learned of photos",
        description="What `hime restore` and `hime person add` learn of photos of people is kept for "
        "30 days after its last use, for you alone, so that the next run need not look at them again. It can "
        "be read only by who has the photos. This deletes it; .person files stay.",
        examples=["hime person forget mum/", "hime person forget --all"],
    )
    command.add_argument("photos", nargs="*", type=path, metavar="PHOTO", help="of these: folders, or files")
    command.add_argument("--all", action="store_true", help="all of it, also of photos that are gone")
    command.set_defaults(command=person_forget, parser=command)


def person_add(options: argparse.Namespace) -> int:
    """``hime person add``."""
    from hime.faces.album import read_person
    from hime.restoring.person import check_name, describe_person, save_person
    from hime.restoring.sources import find_person

    if options.out.suffix.lower() != SUFFIX:
        raise HimeError(f"{options.out}: people are kept in files that end in {SUFFIX}; choose another --out")
    check_writable(options.out)
    check_name(options.name or "")
    limit_threads(options.threads)
    restorer = load(options.model, options.threads)
    found = find_person(options.photos, options.name, options.named)
    for line in (*found.passed_over, *found.notes):
        note(f"hime: {line}")
    (source,) = found.people
    is_loose = not source.places and not any(map(is_folder, options.photos))
    name = spelled(options.name or (options.out.stem if is_loose else source.name or ""))
    with Meter(options.out.name) as meter:
        shown = partial(meter.show, "photos")
        person = read_person(source.files, name, places=source.places, cache=_cache(options), progress=shown)
    if person.seems_several and not source.places:
        note(f"hime: {person.name}: {SEVERAL_PEOPLE}")
    for name, reason in person.rejected:
        note(f"hime: {name} is not used: {reason}")
    save_person(options.out, person, restorer)
    first, *others = describe_person(options.out)
    say(f"{options.out}: {first}", *others)
    return 0


def person_show(options: argparse.Namespace) -> int:
    """``hime person show``."""
    from hime.restoring.person import describe_person

    answer(*describe_person(options.file))
    return 0


def person_forget(options: argparse.Namespace) -> int:
    """``hime person forget``."""
    from hime.faces.cache import user_cache

    if bool(options.photos) == options.all:
        options.parser.error("give the photos, or --all")
    cache = user_cache()
    if cache is None:
        raise HimeError("HIME_CACHE=off: no folder to delete from; unset it, or let it name the folder")
    if options.all:
        count, of = cache.forget_all(), ""
    else:
        photos = [each.path for each in find_inputs(options.photos, videos=False, results=True).inputs]
        count, of = cache.forget(photos), f" of {len(photos)}"
    say(f"{cache.folder}: deleted what was kept of {count}{of} photo{'s' * (count != 1 or bool(of))}")
    return 0
