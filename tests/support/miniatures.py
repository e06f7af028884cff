"""Writers of every data set in small: a few classes, real files, the layouts people have."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pictures import class_tree, picture
from scipy.io import savemat


def lines(path: Path, *texts: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{text}\n" for text in texts))


def files(folder: Path, *names: str) -> None:
    for name in names:
        picture(folder / name)


def old_pickle(path: Path, content: object) -> None:
    """As numpy before version 2 wrote it, with its modules' old names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = pickle.dumps(content, protocol=2)
    path.write_bytes(data.replace(b"numpy._core.", b"numpy.core."))


def batch(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)


def cifar10(root: Path) -> None:
    folder = root / "cifar-10-batches-py"
    for number in range(1, 6):
        content = {"data": batch(number, 2), "labels": [0, 1], "batch_label": "mini"}
        old_pickle(folder / f"data_batch_{number}", content)
    old_pickle(folder / "test_batch", {"data": batch(9, 3), "labels": [1, 0, 1]})
    old_pickle(folder / "batches.meta", {"label_names": ["airplane", "automobile"]})


def cifar10_folders(root: Path) -> None:
    class_tree(root / "cifar10" / "train", {"airplane": 3, "automobile": 2})
    class_tree(root / "cifar10" / "test", {"airplane": 1, "automobile": 2})


def cifar100(root: Path) -> None:
    folder = root / "cifar-100-python"
    for name, count in (("train", 4), ("test", 2)):
        content = {"data": batch(count, count), "fine_labels": [0, 1] * (count // 2)}
        old_pickle(folder / name, content | {"coarse_labels": [0] * count})
    meta = {"fine_label_names": ["apple", "aquarium_fish"], "coarse_label_names": ["fish"]}
    old_pickle(folder / "meta", meta)


def pets(folder: Path) -> None:
    names = [f"Abyssinian_{n}" for n in range(1, 6)] + [f"american_bulldog_{n}" for n in (3, 7, 9)]
    files(folder / "images", *(f"{name}.jpg" for name in names))
    (folder / "images" / "Abyssinian_100.mat").write_bytes(b"left behind by its authors")
    head = "#Image CLASS-ID SPECIES BREED ID"
    trainval = [f"Abyssinian_{n} 1 1 1" for n in (1, 2, 3)] + ["american_bulldog_7 2 2 1"]
    test = ["Abyssinian_4 1 1 1", "Abyssinian_5 1 1 1"]
    test += [f"american_bulldog_{n} 2 2 1" for n in (3, 9)]
    lines(folder / "annotations" / "list.txt", head, *trainval, *test)
    lines(folder / "annotations" / "trainval.txt", *trainval)
    lines(folder / "annotations" / "test.txt", *test)


def zhou(path: Path, **parts: list[tuple[str, int, str]]) -> None:
    path.write_text(json.dumps({"train": [], "val": [], "test": []} | parts))


BULLDOG = "american_bulldog"


def pets_zhou(root: Path) -> None:
    pets(root / "oxford_pets")
    zhou(
        root / "oxford_pets" / "split_zhou_OxfordPets.json",
        train=[("Abyssinian_1.jpg", 0, "abyssinian"), (f"{BULLDOG}_7.jpg", 1, BULLDOG)],
        val=[("Abyssinian_2.jpg", 0, "abyssinian")],
        test=[("Abyssinian_4.jpg", 0, "abyssinian"), (f"{BULLDOG}_3.jpg", 1, BULLDOG)],
    )


def flowers(folder: Path, setid: bool = True) -> None:
    count = 2 * 102
    files(folder / "jpg", *(f"image_{n:05d}.jpg" for n in range(1, count + 1)))
    labels = np.array([[n % 102 + 1 for n in range(count)]], dtype=np.uint8)
    savemat(folder / "imagelabels.mat", {"labels": labels})
    if setid:
        ids = np.arange(1, count + 1, dtype=np.uint16)[None]
        parts = {"trnid": ids[:, :50], "valid": ids[:, 50:102], "tstid": ids[:, 102:]}
        savemat(folder / "setid.mat", parts)


def flowers_zhou(root: Path) -> None:
    flowers(root / "oxford_flowers", setid=False)
    zhou(
        root / "oxford_flowers" / "split_zhou_OxfordFlowers.json",
        train=[
            ("image_00016.jpg", 0, "globe-flower"),
            ("image_00060.jpg", 1, "pink-yellow dahlia?"),
        ],
        test=[
            ("image_00118.jpg", 0, "globe-flower"),
            ("image_00162.jpg", 1, "pink-yellow dahlia?"),
        ],
    )


def dtd(folder: Path) -> None:
    for name in ("banded", "polka-dotted"):
        files(folder / "images" / name, *(f"{name}_000{n}.jpg" for n in range(4)))
    for part, numbers in {"train1": (0,), "val1": (1,), "test1": (2, 3)}.items():
        listed = [f"{c}/{c}_000{n}.jpg" for c in ("banded", "polka-dotted") for n in numbers]
        lines(folder / "labels" / f"{part}.txt", *listed)


CALTECH = {"BACKGROUND_Google": 2, "Faces": 4, "Faces_easy": 4, "airplanes": 5, "wild_cat": 2}


def caltech(folder: Path) -> None:
    for name, count in CALTECH.items():
        names = [f"image_{n:04d}.jpg" for n in range(1, count + 1)]
        files(folder / "101_ObjectCategories" / name, *names)
    (folder / "101_ObjectCategories" / "BACKGROUND_Google" / "tmp").write_bytes(b"")


def caltech_zhou(root: Path) -> None:
    caltech(root / "caltech-101")
    zhou(
        root / "caltech-101" / "split_zhou_Caltech101.json",
        train=[("Faces/image_0001.jpg", 0, "face"), ("wild_cat/image_0001.jpg", 1, "wild_cat")],
        test=[("Faces/image_0002.jpg", 0, "face"), ("wild_cat/image_0002.jpg", 1, "wild_cat")],
    )


def food(root: Path) -> None:
    folder = root / "food-101"
    for name in ("apple_pie", "waffles"):
        files(folder / "images" / name, *(f"{n}.jpg" for n in range(5)))
    for part, numbers in {"train": range(3), "test": range(3, 5)}.items():
        listed = [f"{c}/{n}" for c in ("apple_pie", "waffles") for n in numbers]
        lines(folder / "meta" / f"{part}.txt", *listed)
        by_class = {c: [f"{c}/{n}" for n in numbers] for c in ("apple_pie", "waffles")}
        (folder / "meta" / f"{part}.json").write_text(json.dumps(by_class))


DOMAINS = ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")
TEN = ("bird", "feather", "headphones", "ice_cream", "teapot")
TEN += ("tiger", "whale", "windmill", "wine_glass", "zebra")


def domainnet(folder: Path, lists: Path) -> None:
    """Official lists, with a class that FedBN leaves out."""
    for domain in DOMAINS:
        for part, numbers in {"train": (0, 1), "test": (2,)}.items():
            listed = []
            for label, name in enumerate((*TEN, "airplane")):
                files(folder / domain / name, *(f"{domain}_{label:03d}_{n}.jpg" for n in numbers))
                listed += [f"{domain}/{name}/{domain}_{label:03d}_{n}.jpg {label}" for n in numbers]
            lines(lists / f"{domain}_{part}.txt", *listed)


def of_fedbn(folder: Path, domains: Sequence[str], classes: Sequence[str]) -> None:
    """FedBN's pickles: an array of paths from above the folder, one of class names."""
    for domain in domains:
        for part, numbers in {"train": (0, 1), "test": (2,)}.items():
            paths, names = [], []
            for name in classes:
                files(folder / domain / name, *(f"frame_{n}.jpg" for n in numbers))
                paths += [f"{folder.name}/{domain}/{name}/frame_{n}.jpg" for n in numbers]
                names += [name] * len(numbers)
            content = (np.array(paths, dtype=object), np.array(names, dtype=object))
            old_pickle(folder / f"{domain}_{part}.pkl", content)


OFFICE = ("back_pack", "bike", "calculator", "headphones", "keyboard")
OFFICE += ("laptop_computer", "monitor", "mouse", "mug", "projector")
CAMERAS = ("amazon", "caltech", "dslr", "webcam")


def office_folders(root: Path) -> None:
    for domain in CAMERAS:
        class_tree(root / "office_caltech10" / domain, dict.fromkeys(OFFICE, 3))


ART = ("art_painting", "cartoon", "photo", "sketch")
SEVEN = ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")
FIVE = ("bird", "car", "chair", "dog", "person")
COLLECTIONS = ("Caltech101", "LabelMe", "SUN09", "VOC2007")
HOME = ("Alarm_Clock", "TV", "Table", "ToothBrush")
ROOMS = ("art", "clipart", "product", "real_world")
CAMERA_TRAPS = ("location_100", "location_38", "location_43", "location_46")
ANIMALS = ("bird", "bobcat", "cat", "coyote", "dog")
ANIMALS += ("empty", "opossum", "rabbit", "raccoon", "squirrel")


def by_domain(folder: Path, domains: Sequence[str], classes: Sequence[str], each: int = 3) -> None:
    """DOMAIN/CLASS/*, as DomainBed has it."""
    for domain in domains:
        class_tree(folder / domain, dict.fromkeys(classes, each))


def pacs_kfold(root: Path) -> None:
    """The authors' lists, whose labels begin with 1, with an image that is not there."""
    by_domain(root / "pacs" / "images", ART, SEVEN)
    for domain in ART:
        for part, numbers in {"train": (0, 1), "crossval": (2,), "test": (0, 1, 2)}.items():
            listed = [
                f"{domain}/{name}/{n}.jpg {label}"
                for label, name in enumerate(SEVEN, 1)
                for n in numbers
            ]
            if domain == "sketch" and part == "train":
                listed.append("sketch/dog/n02103406_4068-1.png 1")
            lines(root / "pacs" / "splits" / f"{domain}_{part}_kfold.txt", *listed)


def vlcs_dassl(root: Path) -> None:
    """Numbers for classes; `full` holds everything once more."""
    for domain in ("CALTECH", "LABELME", "PASCAL", "SUN"):
        for part, each in {"train": 2, "crossval": 1, "test": 1, "full": 4}.items():
            class_tree(root / "VLCS" / domain / part, dict.fromkeys("01234", each))


def office_home_dassl(root: Path) -> None:
    for domain in ROOMS:
        for part, each in {"train": 2, "val": 1}.items():
            names = [name.lower() for name in HOME]
            class_tree(root / "office_home_dg" / domain / part, dict.fromkeys(names, each))


def domainnet_of_fedbn(root: Path) -> None:
    """FedBN's lists of ten classes beside the authors' of all."""
    domainnet(root / "DomainNet", root / "DomainNet")
    of_fedbn(root / "DomainNet", DOMAINS, TEN)


def eurosat(root: Path) -> None:
    class_tree(root / "eurosat" / "2750", {"AnnualCrop": 4, "Forest": 3, "SeaLake": 10})


def eurosat_zhou(root: Path) -> None:
    eurosat(root)
    zhou(
        root / "eurosat" / "split_zhou_EuroSAT.json",
        train=[("AnnualCrop/0.jpg", 0, "Annual Crop Land"), ("SeaLake/0.jpg", 1, "Sea or Lake")],
        test=[("AnnualCrop/1.jpg", 0, "Annual Crop Land"), ("SeaLake/1.jpg", 1, "Sea or Lake")],
    )


def aircraft(folder: Path) -> None:
    variants = {"707-320": ("0034309", "0034958"), "F-16A/B": ("1025794", "1340192", "0056978")}
    files(folder / "images", *(f"{n}.jpg" for names in variants.values() for n in names))
    lines(folder / "variants.txt", *variants)
    lines(folder / "images_variant_train.txt", "0034309 707-320", "1025794 F-16A/B")
    lines(folder / "images_variant_val.txt", "1340192 F-16A/B")
    lines(folder / "images_variant_test.txt", "0034958 707-320", "0056978 F-16A/B")


def cars(root: Path) -> None:
    folder = root / "stanford_cars"
    names = ["AM General Hummer SUV 2000", "Acura RL Sedan 2012"]
    (folder / "devkit").mkdir(parents=True)
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": np.array(names, dtype=object)})
    for part, labels in {"train": (1, 2, 2), "test": (2, 1)}.items():
        shots = [f"{n:05d}.jpg" for n in range(1, len(labels) + 1)]
        files(folder / f"cars_{part}", *shots)
        kinds = [(key, object) for key in ("bbox_x1", "class", "fname")]
        rows = np.array([(7, c, f) for c, f in zip(labels, shots, strict=True)], dtype=kinds)
        file = (
            "devkit/cars_train_annos.mat" if part == "train" else "cars_test_annos_withlabels.mat"
        )
        savemat(folder / file, {"annotations": rows[None]})


def cars_zhou(root: Path) -> None:
    for name in ("cars_train/00001.jpg", "cars_train/00002.jpg", "cars_test/00001.jpg"):
        picture(root / "stanford_cars" / name)
    zhou(
        root / "stanford_cars" / "split_zhou_StanfordCars.json",
        train=[("cars_train/00001.jpg", 0, "2012 Acura RL Sedan")],
        val=[("cars_train/00002.jpg", 0, "2012 Acura RL Sedan")],
        test=[("cars_test/00001.jpg", 0, "2012 Acura RL Sedan")],
    )


SCENES = ("/a/abbey", "/a/apartment_building/outdoor")


def sun(pictures: Path, lists: Path, partition: bool) -> None:
    for scene in SCENES:
        files(pictures / scene.strip("/"), *(f"sun_a{n}.jpg" for n in range(4)))
    lines(lists / "ClassName.txt", *SCENES)
    if partition:
        lines(lists / "Training_01.txt", *(f"{s}/sun_a{n}.jpg" for s in SCENES for n in (0, 1)))
        lines(lists / "Testing_01.txt", *(f"{s}/sun_a3.jpg" for s in SCENES))


def ucf(root: Path, lists: bool) -> None:
    folder = root / "ucf101"
    actions = {"ApplyEyeMakeup": "Apply_Eye_Makeup", "YoYo": "Yo_Yo"}
    for action, name in actions.items():
        videos = [f"v_{action}_g{n:02d}_c01" for n in (1, 8, 9)]
        files(folder / "UCF-101-midframes" / name, *(f"{video}.jpg" for video in videos))
    if lists:
        where = folder / "ucfTrainTestlist"
        lines(where / "classInd.txt", "1 ApplyEyeMakeup", "2 YoYo")
        train = [
            f"{a}/v_{a}_g{n:02d}_c01.avi {i}" for i, a in enumerate(actions, 1) for n in (8, 9)
        ]
        lines(where / "trainlist01.txt", *train)
        lines(where / "testlist01.txt", *(f"{a}/v_{a}_g01_c01.avi" for a in actions))


IDS = ("n01440764", "n01443537", "n02835271")  # tench, goldfish, tandem bicycle


def imagenet(folder: Path) -> None:
    class_tree(folder / "train", dict.fromkeys(IDS, 3), "JPEG")
    class_tree(folder / "val", dict.fromkeys(IDS, 2), "JPEG")


def imagenet_coop(root: Path) -> None:
    imagenet(root / "imagenet" / "images")
    named = [f"{i} the {k}th thing" for k, i in enumerate(IDS)]
    lines(root / "imagenet" / "classnames.txt", *named)


def v2(root: Path) -> None:
    folder = root / "imagenetv2" / "imagenetv2-matched-frequency-format-val"
    class_tree(folder, {"0": 4, "1": 4, "10": 4}, "jpeg")


def renditions(root: Path) -> None:
    """With ImageNet beside it; it has two of the three classes."""
    imagenet(root / "imagenet")
    class_tree(root / "imagenet-rendition" / "imagenet-r", dict.fromkeys(IDS[1:], 2))
    (root / "imagenet-rendition" / "imagenet-r" / "README.txt").write_text("about")


def tiny(root: Path) -> None:
    folder = root / "tiny-imagenet-200"
    ids = ("n01443537", "n99999999")
    for wordnet_id in ids:
        shots = [f"{wordnet_id}_{n}.JPEG" for n in range(3)]
        files(folder / "train" / wordnet_id / "images", *shots)
        lines(folder / "train" / wordnet_id / f"{wordnet_id}_boxes.txt", f"{shots[0]}\t0\t0\t9\t9")
    files(folder / "val" / "images", "val_0.JPEG", "val_1.JPEG", "val_2.JPEG")
    listed = [f"val_{n}.JPEG\t{ids[n % 2]}\t0\t0\t9\t9" for n in range(3)]
    lines(folder / "val" / "val_annotations.txt", *listed)
    files(folder / "test" / "images", "test_0.JPEG")
    lines(folder / "words.txt", f"{ids[0]}\tgoldfish, Carassius auratus", f"{ids[1]}\tlamp, light")


def tiny_sorted(root: Path) -> None:
    class_tree(root / "tiny-imagenet-200" / "train", dict.fromkeys(IDS[:2], 2), "JPEG")
    class_tree(root / "tiny-imagenet-200" / "val", dict.fromkeys(IDS[:2], 1), "JPEG")
