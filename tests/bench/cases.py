"""What is measured: published settings as shapes, with random weights and random images."""

from __future__ import annotations

from dataclasses import dataclass

import plain_towers
import torch
import torch.nn.functional as F
from plain_reference import LOSSES, PlainClient

from fplbench.clip.backbone import Backbone
from fplbench.clip.task import PromptTask
from fplbench.clip.vision import embed
from fplbench.engine.local_data import LocalData
from fplbench.engine.train import SGD, draw_steps, train_clients
from fplbench.method import Method, Tensors
from fplbench.plugins import registry

METHODS = ("coop", "promptfl", "fedotp", "pfedprompt", "fedpgp")

PETS = """
abyssinian american_bulldog american_pit_bull_terrier basset_hound beagle bengal birman bombay
boxer british_shorthair chihuahua egyptian_mau english_cocker_spaniel english_setter
german_shorthaired great_pyrenees havanese japanese_chin keeshond
"""
"""The first half of OxfordPets' classes, the base classes of the literature."""

CIFAR100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile
cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp
lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""

DOMAINNET = """
bird feather headphones ice_cream teapot tiger whale windmill wine_glass zebra
"""
"""FedBN's subset (Li et al., ICLR 2021), the one that the literature of FPL calls DomainNet."""


@dataclass(frozen=True)
class Case:
    """clients: those of a round; shots: images of each class on a client."""

    name: str
    classnames: tuple[str, ...]
    clients: int
    shots: int = 16
    batch: int = 32
    n_ctx: int = 16


CASES = (
    Case("Pets-shaped", tuple(PETS.split()), clients=10),
    Case("CIFAR-100-shaped", tuple(CIFAR100.split()), clients=10, shots=5),
    Case("DomainNet-shaped", tuple(DOMAINNET.split()), clients=30),
)

TOWERS = Case("Pets-shaped", tuple(PETS.split()), clients=10, batch=2, n_ctx=4)
"""For steps through the image tower: published batches of these methods are 1 to 8 images."""


def method_of(name: str, case: Case) -> Method:
    kind = registry.methods().get(name)
    fields = kind.Config.model_fields
    return kind(kind.Config(**({"n_ctx": case.n_ctx} if "n_ctx" in fields else {})))


@dataclass
class Ours:
    """A local step of all clients together, features cached."""

    method: Method
    task: PromptTask
    params: Tensors
    trained: list[str]
    data: LocalData
    case: Case
    fixed: Tensors

    def step(self) -> None:
        case, size = self.case, self.data.mask.shape[1]
        steps = draw_steps([size] * case.clients, range(case.clients), case.batch, 1, 0, 1)
        first = steps.to(self.data.mask.device).first(1)
        moved = {name: value.clone() for name, value in self.params.items()}
        train_clients(
            self.method,
            moved,
            self.trained,
            self.data,
            first,
            self.fixed,
            self.task,
            SGD(0.001, 0.9, 5e-4),
        )


def task_of(case: Case, clip: Backbone) -> PromptTask:
    return PromptTask(
        clip.text,
        case.classnames,
        ("a photo of a {}.",),
        clip.logit_scale,
        visual=clip.model.visual,
    )


def ours(case: Case, name: str, clip: Backbone) -> Ours:
    device = clip.device
    generator = torch.Generator().manual_seed(0)
    method = method_of(name, case)
    task = task_of(case, clip)
    specs = method.init(task, generator)
    params = {
        key: spec.value.expand(case.clients, *spec.value.shape).clone().to(device)
        for key, spec in specs.items()
    }
    images = len(case.classnames) * case.shots
    count = case.clients * images
    pooled = F.normalize(torch.randn(count, clip.embed_dim, generator=generator), dim=-1)
    patches = embedded = None
    if "patches" in method.step_inputs:
        # 196 patches an image are most of a machine's memory; rows may repeat, the work is alike.
        few = torch.randn(64, 196, clip.embed_dim, generator=generator)
        patches = F.normalize(few, dim=-1).half().to(device)
        count = len(few)
    if "pixels" in method.inputs:
        count = case.clients * case.batch  # likewise
        drawn = torch.randn(count, 3, *clip.image_size, generator=generator)
        embedded = embed(clip.model.visual, drawn.to(device))
    rows = (torch.arange(case.clients * images) % count).view(case.clients, images).to(device)
    data = LocalData(
        plain=rows,
        rows=rows[None],
        labels=torch.arange(images).expand(case.clients, images).to(device) // case.shots,
        mask=torch.ones(case.clients, images, dtype=torch.bool, device=device),
        pooled=pooled.to(device),
        patches=patches,
        class_mask=None,
        embedded=embedded,
    )
    fixed = method.prepare(params, params, task)
    trained = [key for key, spec in specs.items() if spec.trained]
    return Ours(method, task, params, trained, data, case, fixed)


def plain(case: Case, name: str, clip: Backbone) -> PlainClient:
    """One client of the reference; the others would follow it and take as long."""
    generator = torch.Generator().manual_seed(0)
    method = method_of(name, case)
    specs = method.init(task_of(case, clip), generator)
    params = {key: p.value.to(clip.device) for key, p in specs.items() if p.trained}
    loss = (LOSSES | plain_towers.LOSSES)[name]
    return PlainClient(loss, method.config, params, clip, case.classnames, lr=0.001)
