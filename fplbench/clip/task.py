"""A class list seen through the frozen text tower: what a method gets as its task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fplbench.clip.adapters import Adapters, Projections
from fplbench.clip.prompts import Position, PromptTokens, Read
from fplbench.clip.text import TextTower
from fplbench.clip.vision import ImageTower
from fplbench.dataset import IntArray


class PromptTask:
    """The `Task` of a class list.

    templates: each with one "{}" for the class name. own_templates: [K], those of each class,
    where classes have different ones. logit_scale: scalar, exponentiated, on the
    tower's device. prompts_through: the same tower in another precision, for prompts alone.
    visual: the image tower, for methods that change it.
    """

    def __init__(
        self,
        tower: TextTower,
        classnames: Sequence[str],
        templates: Sequence[str],
        logit_scale: Tensor,
        prompts_through: TextTower | None = None,
        visual: nn.Module | None = None,
        own_templates: Sequence[tuple[str, ...]] = (),
    ) -> None:
        self.visual = visual
        self.tower = tower
        self.prompts_through = prompts_through or tower
        self.classnames = tuple(classnames)
        self.templates = tuple(templates)
        self.own_templates = tuple(own_templates) or (self.templates,) * len(self.classnames)
        self.logit_scale = logit_scale
        self.names = tower.tokenize(self.classnames)
        self._whole: tuple[PromptTask, IntArray] | None = None
        self._others: dict[tuple[str, ...], PromptTokens] = {}

    @property
    def width(self) -> int:
        return self.tower.width

    @property
    def embed_dim(self) -> int:
        return self.tower.embed_dim

    @cached_property
    def clip_text_features(self) -> Tensor:
        """[K, D], unit length: for each class the mean of its templates' unit features.

        CLIP's way with several templates (Radford et al. 2021, section 3.1.4). A subset takes
        its rows from the whole, so that they are the same bits whichever was asked for first.
        """
        if self._whole is not None:
            whole, rows = self._whole
            return whole.clip_text_features[rows.tolist()]
        order: list[int] = []
        found: list[Tensor] = []
        for templates in dict.fromkeys(self.own_templates):
            classes = [k for k, own in enumerate(self.own_templates) if own == templates]
            names = [self.classnames[k].replace("_", " ") for k in classes]
            order += classes
            texts = [template.replace("{}", name) for name in names for template in templates]
            features = F.normalize(self.tower.encode_texts(texts), dim=-1)
            by_class = features.reshape(len(names), len(templates), -1)  # [K, templates, D]
            found.append(F.normalize(by_class.mean(1), dim=-1))
        return torch.cat(found)[torch.tensor(order).argsort()]

    def encode_prompts(
        self,
        ctx: Tensor,
        position: Position = "end",
        names: Sequence[str] | None = None,
        deep: Mapping[int, Tensor] | None = None,
        adapters: Adapters | None = None,
        lengths: Tensor | None = None,
        read: Read = "own",
        projections: Projections | None = None,
    ) -> Tensor:
        """[C, N, K, D]; see `Task`."""
        tokens = self.names
        if names is not None:
            key = tuple(names)
            if key not in self._others:
                self._others[key] = self.tower.tokenize(key)
            tokens = self._others[key]
        through = self.prompts_through
        if lengths is not None:
            if deep or adapters or projections:
                raise ValueError("contexts of different lengths go with no deeper ones or adapters")
            return through.encode_unequal(ctx, lengths, tokens, position, read)
        return through.encode_prompts(ctx, tokens, position, deep, adapters, projections)

    @cached_property
    def images(self) -> ImageTower:
        """UserError: there is none that takes prompts."""
        if self.visual is None:
            raise ValueError("this task was made without an image tower")
        return ImageTower(self.visual)

    @property
    def image_width(self) -> int:
        return self.images.width

    @property
    def layers(self) -> tuple[int, int]:
        """Of the text and of the image tower."""
        return len(self.tower.transformer.resblocks), self.images.layers

    def encode_images(
        self,
        embedded: Tensor,
        prompts: Tensor | None = None,
        deep: Mapping[int, Tensor] | None = None,
        adapters: Adapters | None = None,
        projections: Projections | None = None,
    ) -> Tensor:
        """[C, N, B, D]; see `Task`."""
        return self.images.encode(embedded, prompts, deep, adapters, projections)

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """[len(texts), D]; see `Task`."""
        return self.tower.encode_texts(texts)

    def embed_words(self, text: str) -> Tensor:
        """[tokens, d]; see `Task`."""
        return self.tower.embed_words(text)

    def subset(self, classes: IntArray) -> PromptTask:
        """The task of some of the classes, in the order given by their indices."""
        names = [self.classnames[k] for k in classes]
        part = PromptTask(
            self.tower,
            names,
            self.templates,
            self.logit_scale,
            self.prompts_through,
            self.visual,
            [self.own_templates[k] for k in classes],
        )
        part._whole = (self, classes)
        return part
