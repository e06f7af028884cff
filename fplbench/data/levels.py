"""Which level of a tree of pictures is what: splits, domains, classes.

Nothing is guessed. What a tree cannot tell is refused, and the refusal names the pattern that
does: PATH/{split}/{class}, where {domain} and {any} stand for a level each, and a plain name for
a folder of that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fplbench.data.names import composed, readable, require_text
from fplbench.data.splits import class_folders, pictures
from fplbench.errors import UserError

TRAIN, TEST, VAL = "train", "test", "val"
ROLES = {
    TRAIN: r"train|training|trn|tr",
    TEST: r"test|testing|tests|tst|te|eval|evaluation",
    VAL: r"val|valid|validation|validate|dev",
}
_MORE = r"(?:data|set|dataset|images?|imgs?|pictures|photos|split|folder)*"
# A folder of these names alone, with folders in it, is nobody's class.
WRAPPERS = frozenset(
    {
        *("images", "image", "img", "imgs", "jpg", "jpeg", "jpegs", "jpegimages"),
        *("pictures", "photos", "frames", "data", "dataset"),
    }
)
# Beside others too.
NO_CLASSES = frozenset(
    {"images", "image", "imgs", "img", "jpegimages", "annotations", "annotation", "labels"}
)
MOST = 5  # names in a sentence

PATTERN = re.compile(r"\{(split|domain|class|any)\}")


@dataclass(frozen=True)
class Place:
    """A folder whose folders are classes. below: its path in the tree, "" for the top. split:
    TRAIN, TEST, or "" where it has yet to be cut."""

    below: str
    split: str = ""
    domain: str = ""


@dataclass
class Levels:
    """What was understood. sources: where the split comes from; notes: what was left aside."""

    places: list[Place] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def understood(folder: Path, name: str, domains: bool) -> Levels:
    """The levels of a tree by the names of its folders and by where its pictures lie.

    name: how the user wrote the data set. UserError: it can be read in more than one way.
    """
    reader = _Reader(folder, name, domains)
    if not domains:
        reader.add("", "")
        return reader.found
    below, parts = reader.splits("")
    if parts:
        for split, part in parts.items():
            for domain in reader.domains(part):
                reader.found.places.append(Place(reader.classes(f"{part}/{domain}"), split, domain))
        return reader.found
    for domain in reader.domains(below):
        reader.add(_join(below, domain), domain)
    return reader.found


def as_written(folder: Path, name: str, domains: bool, steps: Sequence[str]) -> Levels:
    """The levels that a pattern names. steps: what stands between its slashes."""
    reader = _Reader(folder, name, domains)
    for wrong, why in (
        (steps.count("{class}") != 1 or steps[-1] != "{class}", "its last level is {class}"),
        (steps.count("{split}") > 1, "there is one {split} at most"),
        (steps.count("{domain}") != int(domains), _DOMAINS[domains]),
        (any("{" in s and not PATTERN.fullmatch(s) for s in steps), "a level is named alone"),
    ):
        if wrong:
            raise UserError(f"{name}: {why}; levels are {{split}}, {{domain}}, {{any}}, {{class}}.")
    reader.follow("", steps[:-1], "", "")
    return reader.found


_DOMAINS = {
    True: "folder_domains has one {domain}",
    False: "{domain} is for folder_domains:PATH",
}


class _Reader:
    """One tree. name: as the user wrote the data set, for refusals."""

    def __init__(self, root: Path, name: str, domains: bool) -> None:
        self.root = root
        self.name = name.rstrip("/")
        self.of_domains = domains
        self.found = Levels()

    def add(self, below: str, domain: str) -> None:
        """The places of one domain, or of a tree without domains."""
        below, parts = self.splits(below)
        if parts:
            for split, part in parts.items():
                self.found.places.append(Place(self.classes(part), split, domain))
        else:
            self.found.places.append(Place(self.classes(below), "", domain))

    def folders(self, below: str) -> list[str]:
        return class_folders(self.root / below)

    def splits(self, below: str) -> tuple[str, dict[str, str]]:
        """Below folders that only wrap the others: the folder, and where in it the splits are."""
        while True:
            names = self.folders(below)
            if parts := self._parts(below, names):
                return below, parts
            inner = self._wrapped(below, names)
            if inner is None:
                return below, {}
            below = inner

    def _wrapped(self, below: str, names: Sequence[str]) -> str | None:
        """The only folder, if it is no class by its name and holds folders alone."""
        if len(names) != 1:
            return None
        inner = _join(below, names[0])
        around = Path(below).name.lower()
        small = names[0].lower()
        if small not in WRAPPERS and small != around:
            return None
        return inner if self.folders(inner) and not self._direct(inner) else None

    def _parts(self, below: str, names: Sequence[str]) -> dict[str, str]:
        """TRAIN and TEST -> folder, where the folders of a level are splits; else nothing.
        UserError: they are some of a split's, and could be classes too."""
        held = roles(names)
        if not held:
            return {}
        here = self._shown(below)
        for role, same in held.items():
            if len(same) > 1:
                raise UserError(
                    f"{here} has {_listed(same)}, each of which reads like the {role} images: "
                    "leave one, or " + self._patterns()
                )
        tests = [held[role][0] for role in (TEST, VAL) if role in held]
        labelled = [n for n in tests if self.folders(_join(below, n))]
        if TRAIN not in held or not labelled or not self.folders(_join(below, held[TRAIN][0])):
            raise UserError(self._half(below, names, held))
        train, test = held[TRAIN][0], labelled[0]
        aside = [n for n in names if n not in (train, test)]
        if aside:
            self.found.notes.append(
                f"in {here} only {train} and {test} are read, not "
                + ", ".join(
                    f"{readable(n)} ({self._count(_join(below, n)):,} images)" for n in aside
                )
            )
        self._note_loose(below)
        self.found.sources.append(f"the folders {composed(train)} and {composed(test)}")
        return {TRAIN: _join(below, train), TEST: _join(below, test)}

    def _half(self, below: str, names: Sequence[str], held: dict[str, list[str]]) -> str:
        """Why some folders that are called like a split are none."""
        shown = ", ".join(name for same in held.values() for name in same)
        bare = [n for same in held.values() for n in same if not self.folders(_join(below, n))]
        if TRAIN in held and len(held) > 1 and bare:
            why = f"but no folders of classes are in {_listed(bare)}, so its images have no labels"
        else:
            why = "which is no train beside a test or val"
        return (
            f"{self._shown(below)} holds {_listed(names)}. Of these {shown} reads like a part of a "
            f"split, {why}: give it train and test with such folders in each, a class each; or if "
            f"all of them are classes, write {self._written('{class}')}."
        )

    def classes(self, below: str) -> str:
        """The folder of classes; UserError where its folders cannot be classes, or pictures lie
        deeper in a way that leaves open what is one."""
        while (inner := self._wrapped(below, self.folders(below))) is not None:
            below = inner
        names = self.folders(below)
        here = self._shown(below)
        if not names:
            held = self._direct(below)
            raise UserError(
                f"{here} holds no folders"
                + (f", but {held} images that nothing says the classes of" if held else "")
                + ": give it a folder of pictures for each of two or more classes, or train and "
                "test with such folders in each." + self._without_domains(below)
            )
        odd = [name for name in names if name.lower() in NO_CLASSES]
        if odd:
            raise UserError(
                f"{here} holds {_listed(names)}, of which {odd[0]} reads like no class: "
                + self._patterns()
            )
        self._check_depth(below, names)
        self._note_loose(below)
        return below

    def _without_domains(self, below: str) -> str:
        if not below or not self.of_domains:
            return ""
        return f" Without domains write folder:{self._argument()}."

    def _check_depth(self, below: str, names: Sequence[str]) -> None:
        direct = {name: self._direct(_join(below, name)) for name in names}
        inner = {
            name: [
                sub
                for sub in self.folders(_join(below, name))
                if self._count(_join(below, f"{name}/{sub}"))
            ]
            for name in names
        }
        deep = [name for name in names if not direct[name] and inner[name]]
        mixed = [name for name in names if direct[name] and inner[name]]
        if mixed:
            self.found.notes.append(
                "pictures in folders inside a class are of that class: "
                + _listed([f"{name}/{sub}" for name in mixed for sub in inner[name]])
            )
        if not deep:
            return
        single = all(len(inner[name]) == 1 for name in deep)
        wraps = single and all(inner[name][0].lower() in (*WRAPPERS, name.lower()) for name in deep)
        if wraps or (single and len(deep) < len(names)):
            self.found.notes.append(
                "pictures in folders inside a class are of that class: "
                + _listed([f"{name}/{inner[name][0]}" for name in deep])
            )
            return
        example = f"{deep[0]}/{inner[deep[0]][0]}"
        raise UserError(
            f"{self._shown(below)} holds {_listed(names)}, but the pictures lie in folders below "
            f"these ({_listed([f'{n}/{s}' for n in deep for s in inner[n]])}), and nothing says "
            f"which are the classes, as in {example}: {self._patterns()}"
        )

    def domains(self, below: str) -> list[str]:
        """The folders of domains."""
        names = self.folders(below)
        if not names:
            raise UserError(
                f"{self._shown(below)} has no folders: the domains are PATH/DOMAIN/CLASS/."
            )
        require_text(self._shown(below), names)
        self._note_loose(below)
        return names

    def follow(self, below: str, steps: Sequence[str], split: str, domain: str) -> None:
        """Add the places that the rest of a pattern leads to."""
        if not (self.root / below).is_dir():
            raise UserError(f"{self.name}: there is no folder {self._shown(below)}.")
        if not steps:
            if not self.folders(below):
                raise UserError(
                    f"{self._shown(below)} holds no folders, so {self.name} has no class there."
                )
            self.found.places.append(Place(below, split, domain))
            return
        step, rest = steps[0], steps[1:]
        if step == "{split}":
            parts = self._parts(below, self.folders(below))
            if not parts:
                raise UserError(
                    f"{self._shown(below)} holds no train and test: {self.name} says so."
                )
            for role, part in parts.items():
                self.follow(part, rest, role, domain)
        elif step == "{domain}":
            for name in self.domains(below):
                self.follow(_join(below, name), rest, split, name)
        elif step == "{any}":
            for name in self.folders(below):
                self.follow(_join(below, name), rest, split, domain)
        else:
            self.follow(_join(below, step), rest, split, domain)

    def _direct(self, below: str) -> int:
        return len(pictures(self.root, below))

    def _count(self, below: str) -> int:
        return len(pictures(self.root, below, deep=True))

    def _note_loose(self, below: str) -> None:
        """Pictures beside the folders of a level belong to none of them."""
        if loose := self._direct(below):
            many = "1 image lies" if loose == 1 else f"{loose:,} images lie"
            self.found.notes.append(f"{many} beside the folders of {self._shown(below)}, unread")

    def _shown(self, below: str) -> str:
        return readable(str(self.root / below))

    def _argument(self) -> str:
        return self.name.partition(":")[2]

    def _written(self, levels: str) -> str:
        return f"{self.name}/{levels}"

    def _patterns(self) -> str:
        """What settles it."""
        own = "{domain}/" if self.of_domains else ""
        text = (
            f"write {self._written(own + '{class}')} if the upper ones are classes, "
            f"{self._written(own + '{any}/{class}')} if those in them are"
        )
        if not self.of_domains:
            text += f", or folder_domains:{self._argument()} if the upper ones are domains"
        return text + " ({split} stands for train and test)."


def roles(names: Sequence[str]) -> dict[str, list[str]]:
    """Of folders beside each other: TRAIN, TEST, VAL -> those that read so. "cars_train" does
    where there is a "cars_test"."""
    found: dict[str, list[str]] = {}
    for name in names:
        for role in _role(name):
            found.setdefault(role, []).append(name)
    if found:
        return found
    by_rest: dict[str, dict[str, list[str]]] = {}
    for name in names:
        words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+", name)
        for place in {0, len(words) - 1} if len(words) > 1 else ():
            for role in _role(words[place]):
                rest = " ".join(words[:place] + words[place + 1 :]).lower()
                by_rest.setdefault(rest, {}).setdefault(role, []).append(name)
    whole = [held for held in by_rest.values() if TRAIN in held and len(held) > 1]
    return whole[0] if len(whole) == 1 else {}


def _role(name: str) -> Iterator[str]:
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    for role, words in ROLES.items():
        if re.fullmatch(rf"(?:{words}){_MORE}", plain):
            yield role


def _join(below: str, name: str) -> str:
    return f"{below}/{name}" if below else name


def _listed(names: Sequence[str]) -> str:
    shown = [readable(name) for name in names[:MOST]]
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(shown) + more
