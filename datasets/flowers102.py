"""Oxford 102 Flower: 102 flowers of Britain."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fplbench.data.matlab import as_list, read_mat
from fplbench.data.on_disk import Counts, Download, Layout, OnDisk
from fplbench.data.splits import OFFICIAL, ZHOU, Contents, Entry, from_entries, seeded, spaced
from fplbench.errors import UserError

# The names of the list that came with the data (cat_to_name.json of CoOp, torchvision's
# Flowers102.classes), but for CORRECTED. Label 1 of imagelabels.mat is the first.
NAMES = """
pink primrose, hard-leaved pocket orchid, canterbury bells, sweet pea, english marigold, tiger
lily, moon orchid, bird of paradise, monkshood, globe thistle, snapdragon, colt's foot, king
protea, spear thistle, yellow iris, globe flower, purple coneflower, peruvian lily, balloon
flower, giant white arum lily, fire lily, pincushion flower, fritillary, red ginger, grape
hyacinth, corn poppy, prince of wales feathers, stemless gentian, artichoke, sweet william,
carnation, garden phlox, love in the mist, mexican aster, alpine sea holly, ruby-lipped
cattleya, cape flower, great masterwort, siam tulip, lenten rose, barbeton daisy, daffodil,
sword lily, poinsettia, bolero deep blue, wallflower, marigold, buttercup, oxeye daisy, common
dandelion, petunia, wild pansy, primula, sunflower, pelargonium, bishop of llandaff, gaura,
geranium, orange dahlia, pink and yellow dahlia, cautleya spicata, japanese anemone,
black-eyed susan, silverbush, californian poppy, osteospermum, spring crocus, bearded iris,
windflower, tree poppy, gazania, azalea, water lily, rose, thorn apple, morning glory, passion
flower, lotus, toad lily, anthurium, frangipani, clematis, hibiscus, columbine, desert-rose,
tree mallow, magnolia, cyclamen, watercress, canna lily, hippeastrum, bee balm, ball moss,
foxglove, bougainvillea, camellia, mallow, mexican petunia, bromelia, blanket flower, trumpet
creeper, blackberry lily
"""
CLASSES = tuple(" ".join(NAMES.split()).split(", "))
CORRECTED = {"globe-flower": "globe flower", "pink-yellow dahlia?": "pink and yellow dahlia"}


def official(folder: Path) -> Contents:
    """Label n of imagelabels.mat is of image_0000n.jpg; setid.mat says which are for what.

    CoOp's page does not ask for setid.mat: without it the split is ours.
    """
    (labels,) = read_mat(folder / "imagelabels.mat", "labels")
    entries = {
        number: Entry(f"jpg/image_{number:05d}.jpg", int(label) - 1)
        for number, label in enumerate(as_list(labels), start=1)
    }
    if not (folder / "setid.mat").is_file():
        return seeded(folder, CLASSES, list(entries.values()))
    train, val, test = read_mat(folder / "setid.mat", "trnid", "valid", "tstid")
    try:
        parts = [[entries[n] for n in as_list(ids)] for ids in (train, val, test)]
    except KeyError as error:
        raise UserError(
            f"{folder / 'setid.mat'} has image {error}, which imagelabels.mat lacks: download both "
            "again."
        ) from error
    return from_entries(folder, CLASSES, parts[0] + parts[1], parts[2], OFFICIAL, "official")


class Flowers102(OnDisk):
    name: ClassVar = "flowers102"
    title: ClassVar = "Oxford 102 Flower"
    summary: ClassVar = "102 flowers that are common in Britain"
    source: ClassVar = (
        "Nilsback and Zisserman, Automated Flower Classification over a Large Number of Classes, "
        "ICVGIP 2008; https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
    )
    licence: ClassVar = "none stated"
    templates: ClassVar = ("a photo of a {}, a type of flower.",)
    classes: ClassVar = 102
    images: ClassVar = 8_189
    counts: ClassVar = {OFFICIAL: Counts(2_040, 6_149, train_each=20), ZHOU: Counts(4_093, 2_463)}
    zhou: ClassVar = "split_zhou_OxfordFlowers.json"
    layouts: ClassVar = (
        Layout("oxford_flowers", ("jpg", "imagelabels.mat"), official, "jpg"),
        Layout("flowers-102", ("jpg", "imagelabels.mat"), official, "jpg"),
    )
    size: ClassVar = 344_878_000
    downloads: ClassVar = (
        Download(
            "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/102flowers.tgz",
            "md5:52808999861908f626f3c1f4e79d11fa",
            into="oxford_flowers",
        ),
        Download(
            "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/imagelabels.mat",
            "md5:e0620be6f572b9609742df49c70aed4d",
            into="oxford_flowers",
        ),
        Download(
            "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/setid.mat",
            "md5:a5357ecc9cb78c4bef273ce3793fc85c",
            into="oxford_flowers",
        ),
    )

    @staticmethod
    def classname(raw: str) -> str:
        return CORRECTED.get(raw, spaced(raw))
