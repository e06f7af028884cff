"""What systems, NAS boxes and disks leave in every folder: never data, never a record."""

from __future__ import annotations

import os
from pathlib import Path

# In small letters. Synology; QNAP; Windows; ext4; netatalk and macOS; file quotas.
FOLDERS = frozenset(
    {
        "@eadir",
        "@tmp",
        "@sharebin",
        "#recycle",
        "#snapshot",
        "@recycle",
        "@recently-snapshot",
        "@__thumb",
        "@transcode",
        "$recycle.bin",
        "recycler",
        "system volume information",
        "found.000",
        "lost+found",
        "network trash folder",
        "temporary items",
        "thevolumesettingsfolder",
        "__macosx",
        "__pycache__",
        "~snapshot",
    }
)
FILES = frozenset(
    {
        "thumbs.db",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "desktop.ini",
        "picasa.ini",
        "zbthumbnail.info",
        "desktop db",
        "desktop df",
        "icon\r",
        "aquota.user",
        "aquota.group",
    }
)
# What Windows keeps beside a downloaded file, once it was copied to another system; and what
# Synology keeps beside one.
BESIDE = (":zone.identifier", "@synoeastream", "@synoresource")


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is a system's own; hidden ones are."""
    small = name.lower()
    return small.startswith(".") or small in FOLDERS or small in FILES or small.endswith(BESIDE)


def leads_up(path: str | os.PathLike[str]) -> bool:
    """Whether this is a link to a folder that it lies in, or to nothing but itself: who follows
    it walks in a circle."""
    if not os.path.islink(path):
        return False
    try:
        target = os.path.realpath(path, strict=True)
    except FileNotFoundError:
        return False  # a broken link leads nowhere
    except OSError:
        return True
    home = Path(os.path.realpath(os.path.dirname(os.path.abspath(path))))
    return home.is_relative_to(target)
