"""The image tower with prompts: from embedded patches to features, with a gradient to the prompts.

What no prompt changes, an image's patches with their positions behind the class token, is computed
once and kept; everything from the first norm on is computed at every step.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from fplbench.clip.adapters import Adapters, Projections, per_block, per_layer
from fplbench.clip.blocks import are_plain, whole
from fplbench.errors import UserError

IN_CACHE = 4 * 2**20
"""Bytes of the widest activations, four times a token, of the images that go through together: on a
processor with 1 MiB of second-level cache 3 to 9 MiB were alike, less and more were slower."""


class ImageTower:
    """The image side of a CLIP whose tower takes prompts.

    width: of a token; layers: of the transformer.
    """

    def __init__(self, visual: nn.Module) -> None:
        """UserError: a tower of another kind."""
        if not takes_prompts(visual):
            raise UserError(
                f"the image tower {type(visual).__name__} cannot take prompts, which this method "
                "needs: choose a backbone with a ViT of CLIP's own, ViT-B-16:openai for one"
            )
        assert isinstance(visual, VisionTransformer)
        self.visual = visual
        self.width = int(visual.positional_embedding.shape[1])
        self.layers = len(visual.transformer.resblocks)

    def encode(
        self,
        embedded: Tensor,
        prompts: Tensor | None = None,
        deep: Mapping[int, Tensor] | None = None,
        adapters: Adapters | None = None,
        projections: Projections | None = None,
    ) -> Tensor:
        """Features of images, [C, N, B, D], not normalised; N is 1 without prompts.

        embedded: [C, B, L, w], as `embed` gives it. prompts: [C, N, n, w], n tokens without a
        position behind the patches, before the first norm. deep: layer, from 0 -> [C, N, n, w],
        what takes their place at its input. adapters: place -> what is added there. projections:
        layer -> what its queries, keys and values have added.
        """
        deep = dict(deep or {})
        if any(not 0 <= layer < self.layers for layer in deep):
            raise UserError(
                f"prompts for layer {max(deep)} of an image tower that has {self.layers}, counted "
                f"from 0: make the prompts at most {self.layers} layers deep"
            )
        count = embedded.shape[1] if adapters or projections else self._at_a_time(embedded, prompts)
        pieces = [
            self._encode(part, prompts, deep, adapters, projections)
            for part in embedded.split(count, dim=1)
        ]
        return torch.cat(pieces, dim=2)

    def _at_a_time(self, embedded: Tensor, prompts: Tensor | None) -> int:
        """How many images of each client go through the tower together: on the host those whose
        widest activations its caches hold, on a GPU all. What is added inside sees all of a
        client's tokens at once: dropout would be the same in every piece."""
        clients, images, length, width = embedded.shape
        if embedded.device.type != "cpu":
            return images
        number, more = (1, 0) if prompts is None else prompts.shape[1:3]
        one = clients * number * (length + more) * 4 * width * embedded.element_size()
        return max(IN_CACHE // one, 1)

    def _encode(
        self,
        embedded: Tensor,
        prompts: Tensor | None,
        deep: Mapping[int, Tensor],
        adapters: Adapters | None,
        projections: Projections | None,
    ) -> Tensor:
        images, length = embedded.shape[1:3]
        x = embedded[:, None]
        if prompts is not None:
            x = x.expand(-1, prompts.shape[1], -1, -1, -1)
            x = torch.cat([x, _for_images(prompts, images)], dim=3)
        lead = x.shape[:3]
        x = self.visual.ln_pre(x.flatten(0, 2))
        if adapters and 0 in adapters:
            x = x + adapters[0](x.reshape(len(embedded), -1, x.shape[-1])).view_as(x)
        added = per_block(adapters, len(embedded))
        projected = per_layer(projections, len(embedded), self.layers)
        for layer, block in enumerate(self.visual.transformer.resblocks):
            if layer in deep:
                other = _for_images(deep[layer], images).flatten(0, 2)
                x = torch.cat([x[:, :length], other], dim=1)
            extra = added[layer](block.ln_1(x)) if layer in added else None
            x = whole(block, x, projected.get(layer))
            x = x if extra is None else x + extra
        pooled: Tensor = self._pool(x[:, :length]) @ self.visual.proj
        return pooled.view(*lead, -1)

    def _pool(self, x: Tensor) -> Tensor:
        """The tower's own way from [I, L, w] to [I, w]: class token, or the mean of the patches."""
        if self.visual.pool_type == "tok":
            first: Tensor = self.visual.ln_post(x[:, 0])
            return first
        mean: Tensor = self.visual.ln_post(x[:, 1:]).mean(1)
        return mean


def _for_images(prompts: Tensor, images: int) -> Tensor:
    """[C, N, n, w] as [C, N, B, n, w]."""
    return prompts[:, :, None].expand(-1, -1, images, -1, -1)


def takes_prompts(visual: nn.Module) -> bool:
    """Whether it is a ViT of CLIP's kind: a class token, positions that are added, plain blocks."""
    return (
        isinstance(visual, VisionTransformer)
        and visual.attn_pool is None
        and visual.pool_type in ("tok", "avg")
        and not visual.final_ln_after_pool
        and visual.proj is not None
        and are_plain(visual.transformer.resblocks)
        and bool(visual.transformer.batch_first)
    )


@torch.no_grad()
def embed(visual: nn.Module, pixels: Tensor) -> Tensor:
    """[B, L, w]: class token and patches of pixels [B, 3, H, W], with their positions."""
    tower = ImageTower(visual).visual
    patches = tower.conv1(pixels).flatten(2).transpose(1, 2)
    first = tower.class_embedding.expand(len(patches), 1, -1)
    embedded: Tensor = torch.cat([first, patches], dim=1) + tower.positional_embedding
    return embedded
