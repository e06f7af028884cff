"""Data sets whose domains are folders: FedBN's (Li et al., ICLR 2021), and those of domain
generalization as users of DomainBed and Dassl have them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from fplbench.data.names import alike
from fplbench.data.pickles import read_pickle
from fplbench.data.splits import (
    OFFICIAL,
    Contents,
    Entry,
    classes_of,
    from_entries,
    listed,
    numbered,
    seeded,
    spaced,
    tree,
)
from fplbench.errors import UserError

PARTS = ("train", "test")
UNUSED = -1  # the label of a class that is left out


def read_domains(
    folder: Path, domains: Sequence[str], classes: Sequence[str], lists: Sequence[str] = ()
) -> Contents:
    """DOMAIN/CLASS/*, split as FedBN's DOMAIN_train.pkl and DOMAIN_test.pkl say, where they lie
    there; else as `read_listed` does."""
    labels, names = numbered(classes), [spaced(name) for name in classes]
    if all((folder / f"{d}_{part}.pkl").is_file() for d in domains for part in PARTS):
        parts = [
            [e for i, d in enumerate(domains) for e in _of_pickle(folder, d, part, i, labels)]
            for part in PARTS
        ]
        return from_entries(folder, names, parts[0], parts[1], OFFICIAL, "FedBN's lists", domains)
    return read_listed(folder, domains, classes, lists)


def read_listed(
    folder: Path,
    domains: Sequence[str],
    classes: Sequence[str],
    lists: Sequence[str] = (),
    ends: Sequence[str] = PARTS,
    without: Collection[str] = (),
) -> Contents:
    """DOMAIN/CLASS/*, split as DOMAIN_train.txt and DOMAIN_test.txt in one of `lists` say; else by
    a seed. ends: what stands for train and test in the names of the lists. without: files that are
    left out, listed or not."""
    labels, names = numbered(classes), [spaced(name) for name in classes]
    for place in lists:
        if all((folder / place / f"{d}_{part}.txt").is_file() for d in domains for part in ends):
            parts = [
                [
                    e
                    for i, d in enumerate(domains)
                    for e in _of_text(folder / place / f"{d}_{part}.txt", d, i, labels)
                    if e.file not in without
                ]
                for part in ends
            ]
            return from_entries(
                folder, names, parts[0], parts[1], OFFICIAL, "official lists", domains
            )
    entries = [e for i, d in enumerate(domains) for e in tree(folder, d, labels, i)]
    return seeded(folder, names, [e for e in entries if e.file not in without], domains)


def read_folders(
    folder: Path, domains: Mapping[str, str], parts: Sequence[str] = (), names: Sequence[str] = ()
) -> Contents:
    """DOMAIN/CLASS/*, split by a seed; with `parts`, DOMAIN/PART/CLASS/* for training and testing.

    domains: a domain's folder -> its name. names: of the classes, where their folders are numbers.
    Classes are in the order in which a reader sorts their names, however these are written.
    """
    places = [[f"{d}/{part}" for part in parts] or [d] for d in domains]
    found = classes_of(folder, [each for of_domain in places for each in of_domain])
    order = sorted(range(len(found.names)), key=lambda label: alike(found.names[label]))
    label = {old: new for new, old in enumerate(order)}
    shown = [spaced(found.names[old]) for old in order]
    if names and shown != [str(number) for number in range(len(names))]:
        raise UserError(
            f"{folder} must have the folders 0 to {len(names) - 1} in each of its parts, but it "
            f"has {', '.join(shown[:5])}: unpack the data set again."
        )
    entries = [
        [
            entry._replace(label=label[entry.label])
            for index, of_domain in enumerate(places)
            for entry in tree(folder, of_domain[part], found.labels[of_domain[part]], index)
        ]
        for part in range(max(1, len(parts)))
    ]
    shown, known = list(names) or shown, list(domains.values())
    if not parts:
        return seeded(folder, shown, entries[0], known)
    source = f"the folders {' and '.join(parts)}"
    return from_entries(folder, shown, entries[0], entries[1], OFFICIAL, source, known)


def class_names(folder: Path, domains: Sequence[str]) -> list[str]:
    """The folders of classes in any of the domains, in the order of code points."""
    return classes_of(folder, domains).names


def _of_pickle(
    folder: Path, domain: str, part: str, index: int, labels: dict[str, int]
) -> list[Entry]:
    """Two arrays, of paths that begin at some folder above and of class names."""
    path = folder / f"{domain}_{part}.pkl"
    try:
        files, classes = read_pickle(path)
        return [
            Entry(_below(str(file), domain), labels[str(name)], index)
            for file, name in zip(files, classes, strict=True)
        ]
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"{path} is not FedBN's list ({error}): unpack it again.") from error


def _of_text(path: Path, domain: str, index: int, labels: dict[str, int]) -> list[Entry]:
    """DOMAIN/CLASS/FILE LABEL a line; classes that are not used are left out."""

    def entry(line: str) -> Entry:
        file = _below(line.rpartition(" ")[0], domain)
        return Entry(file, labels.get(file.split("/")[1], UNUSED), index)

    return [found for found in listed(path, entry) if found.label != UNUSED]


def _below(file: str, domain: str) -> str:
    """The path from the domain's folder on."""
    steps = file.replace("\\", "/").split("/")
    if domain not in steps or ".." in steps:
        raise ValueError(f"{file!r} is not in the folder {domain}")
    return "/".join(steps[steps.index(domain) :])
