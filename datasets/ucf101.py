"""UCF101: the middle frame of each of 13,320 videos of 101 actions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from fplbench.data.on_disk import Counts, Layout, OnDisk
from fplbench.data.splits import (
    OFFICIAL,
    ZHOU,
    Contents,
    Entry,
    class_folders,
    from_entries,
    listed,
    numbered,
    seeded,
    spaced,
    text_lines,
    tree,
)

FRAMES, LISTS = "UCF-101-midframes", "ucfTrainTestlist"


def of_camels(action: str) -> str:
    """The folder of an action: "ApplyEyeMakeup" is Apply_Eye_Makeup there."""
    return "_".join(re.findall("[A-Z][^A-Z]*", action))


def read(folder: Path) -> Contents:
    """List 01 of three where the official lists are there, else all frames by a seed."""
    if not (folder / LISTS / "trainlist01.txt").is_file():
        classes = class_folders(folder / FRAMES)
        entries = tree(folder, FRAMES, numbered(classes))
        return seeded(folder, [spaced(name) for name in classes], entries)
    index = text_lines(folder / LISTS / "classInd.txt")
    actions = [line.rpartition(" ")[2] for line in index]
    labels = numbered(actions)

    def entry(line: str) -> Entry:
        """From "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1" to its frame."""
        action, video = line.split(" ")[0].split("/")
        frame = f"{video.removesuffix('.avi')}.jpg"
        return Entry(f"{FRAMES}/{of_camels(action)}/{frame}", labels[action])

    train, test = (
        listed(folder / LISTS / f"{part}list01.txt", entry) for part in ("train", "test")
    )
    names = [spaced(of_camels(action)) for action in actions]
    return from_entries(folder, names, train, test, OFFICIAL, "official, list 01")


class Ucf101(OnDisk):
    name: ClassVar = "ucf101"
    title: ClassVar = "UCF101, middle frames"
    summary: ClassVar = "101 actions, the middle frame of each video"
    source: ClassVar = (
        "Soomro et al., UCF101, 2012; frames by Zhou et al. (CoOp, IJCV 2022); "
        "https://www.crcv.ucf.edu/data/UCF101.php"
    )
    licence: ClassVar = "none stated"
    templates: ClassVar = ("a photo of a person doing {}.",)
    classes: ClassVar = 101
    images: ClassVar = 13_320
    counts: ClassVar = {OFFICIAL: Counts(9_537, 3_783), ZHOU: Counts(7_639, 3_783)}
    zhou: ClassVar = "split_zhou_UCF101.json"
    layouts: ClassVar = (Layout("ucf101", (FRAMES,), read, FRAMES),)
    by_hand: ClassVar = (
        "get UCF-101-midframes.zip by the link on CoOp's DATASETS page "
        "(github.com/KaiyangZhou/CoOp) and unpack it into ucf101"
    )
