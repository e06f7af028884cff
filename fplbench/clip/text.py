"""From context vectors and class names to text features, through a frozen open_clip text tower."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from weakref import WeakKeyDictionary

import torch
from open_clip.hf_model import HFTextEncoder
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.transformer import TextTransformer, Transformer
from torch import Tensor, nn

from fplbench.clip.adapters import Adapters, Block, Projections, per_block, per_layer
from fplbench.clip.blocks import are_plain, project, whole
from fplbench.clip.prefix import Tail, known_tokens, run
from fplbench.clip.prompts import (
    Layout,
    Position,
    PromptTokens,
    Read,
    Tokenizer,
    Vocabulary,
)
from fplbench.errors import UserError

TEXTS_AT_ONCE = 256


class TextTower:
    """The text side of a CLIP, with prompts given as vectors.

    width: d, of a token embedding; embed_dim: D, of a feature; context_length: positions that it
    can read; causal: whether a token sees only those before it.
    """

    def __init__(self, model: CLIP | CustomTextCLIP, tokenizer: Tokenizer) -> None:
        """model: an open_clip model, on its device, frozen. UserError: a tower of another kind."""
        tower = _text_part(model)
        self.token_embedding: nn.Embedding = tower.token_embedding
        self.positional_embedding: nn.Parameter = tower.positional_embedding
        self.transformer: Transformer = tower.transformer
        self.ln_final: nn.Module = tower.ln_final
        self.text_projection: nn.Linear | nn.Parameter | None = tower.text_projection
        self.attn_mask: Tensor | None = tower.attn_mask
        self.context_length = int(tower.context_length)
        self.causal = self.attn_mask is not None
        self.width: int = self.token_embedding.embedding_dim
        prefix = "text_" if tower is model else ""
        self._pool: str = getattr(tower, f"{prefix}pool_type")
        eos = int(getattr(tower, f"{prefix}eos_id"))
        self.vocabulary = Vocabulary(tokenizer, self.context_length, self.causal, self._pool, eos)
        # What prompts go through, in a precision that may be another than the weights' own.
        self._computing: Transformer = self.transformer
        self._dtype = self.positional_embedding.dtype
        self._start: list[Tensor] | None = None
        self._tails: WeakKeyDictionary[PromptTokens, dict[int, Tail]] = WeakKeyDictionary()
        self._plain = (
            self.causal
            and self._pool in ("argmax", "eos")
            and are_plain(self.transformer.resblocks)
        )

    @property
    def embed_dim(self) -> int:
        if self.text_projection is None:
            return self.width
        if isinstance(self.text_projection, nn.Linear):
            return self.text_projection.out_features
        return int(self.text_projection.shape[1])

    @property
    def device(self) -> torch.device:
        return self.positional_embedding.device

    def in_precision(self, dtype: torch.dtype) -> TextTower:
        """The same tower, its transformer computing prompts in another precision.

        Only the transformer's layers do: token embeddings, positions, the last norm and the
        projection keep the weights' own, and so do whole sentences, which are encoded once.
        """
        tower = copy(self)
        tower._computing, tower._dtype = deepcopy(self.transformer).to(dtype), dtype
        tower._start, tower._tails = None, WeakKeyDictionary()
        return tower

    def tokenize(self, classnames: Sequence[str]) -> PromptTokens:
        """Class names made ready for `encode_prompts`; do it once for a class list."""
        return self.vocabulary.prompts(classnames, self.device)

    def encode_prompts(
        self,
        ctx: Tensor,
        names: PromptTokens,
        position: Position = "end",
        deep: Mapping[int, Tensor] | None = None,
        adapters: Adapters | None = None,
        projections: Projections | None = None,
        *,
        general: bool = False,
    ) -> Tensor:
        """Text features of the prompts, [C, N, K, D], not normalised, with gradient to ctx.

        ctx: [C, N, n, d], the same for all classes, or [C, N, K, n, d], one for each class.
        deep: layer, from 0 -> [C, N, n, d], what takes the context's place at its input.
        adapters: place -> what is added there, see `Adapters`. projections: layer -> what its
        queries, keys and values have added, see `Projections`.
        general: take the general way even where less has to be computed.
        UserError: a prompt has more tokens than the tower reads; projections in a tower whose
        blocks are not open_clip's plain ones.
        """
        if ctx.dim() not in (4, 5) or ctx.shape[-1] != self.width:
            raise ValueError(
                f"a context is [C, N, n, {self.width}] or [C, N, K, n, {self.width}], "
                f"not {list(ctx.shape)}"
            )
        deep = {} if deep is None else dict(deep)
        layers = len(self.transformer.resblocks)
        if any(not 0 <= layer < layers for layer in deep):
            raise UserError(
                f"contexts for layer {max(deep)} of a text tower that has {layers}, counted from "
                f"0: make the prompts at most {layers} layers deep"
            )
        projected = self._projected(projections, len(ctx))
        general = general or bool(adapters)
        if self.shares_prefix(ctx, position) and not general:
            return self._encode_shared(ctx, names, deep, projected)
        if general or not self._plain or deep or projected:
            return self._encode_general(ctx, names, position, deep, adapters, projected)
        return self._encode_apart(ctx, names, position)

    def encode_unequal(
        self,
        ctx: Tensor,
        lengths: Tensor,
        names: PromptTokens,
        position: Position = "end",
        read: Read = "own",
    ) -> Tensor:
        """The same of contexts of different lengths: the first `lengths` [C, N] of a prompt's n
        vectors are its own, and nothing stands in the place of the others.

        Every prompt is computed from its beginning to the longest one's end. read: at its own end,
        or at the longest one's.
        """
        longest = names.layout(ctx.shape[-2], position)
        whole = self._placed(ctx, longest)
        x, ends = whole, longest.read.expand(whole.shape[:3])
        padding = self._embed(torch.tensor(self.vocabulary.pad, device=self.device)).to(x.dtype)
        for n in sorted(set(lengths.flatten().tolist()) - {ctx.shape[-2]}):
            layout = names.layout(n, position)
            shorter = self._placed(ctx[..., :n, :], layout)
            missing = padding.expand(*whole.shape[:3], whole.shape[3] - shorter.shape[3], -1)
            here = (lengths == n)[..., None]
            x = torch.where(here[..., None, None], torch.cat([shorter, missing], dim=3), x)
            if read == "own":
                ends = torch.where(here, layout.read, ends)
        found = self._run(self._computing, x.flatten(0, 2), ends.flatten())
        return found.reshape(*x.shape[:3], -1)

    def shares_prefix(self, ctx: Tensor, position: Position) -> bool:
        """Whether [SOS][context] is the same for all classes and sees none of them."""
        return self._plain and position == "end" and ctx.dim() == 4

    def _projected(self, projections: Projections | None, clients: int) -> dict[int, Block]:
        blocks = self.transformer.resblocks
        if projections and not are_plain(blocks):
            raise UserError(
                f"the text tower's blocks ({type(blocks[0]).__name__}) are not open_clip's plain "
                "ones, whose queries, keys and values this method changes: choose a backbone with "
                "such a tower, ViT-B-16:openai for one"
            )
        return per_layer(projections, clients, len(blocks))

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """[len(texts), D]: features of whole sentences, not normalised, no gradient.

        UserError: a text has more tokens than the tower reads.
        """
        rows = [self._checked(text) for text in texts]
        parts = [
            self._encode_rows(rows[start : start + TEXTS_AT_ONCE])
            for start in range(0, len(rows), TEXTS_AT_ONCE)
        ]
        return torch.cat(parts) if parts else self.positional_embedding.new_zeros(0, self.embed_dim)

    def embed_words(self, text: str) -> Tensor:
        """[tokens, d]: the token embeddings of a text, without [SOS] and [EOT]."""
        ids = self.vocabulary.ids(text)[self.vocabulary.head : -1]
        with torch.no_grad():
            return self._embed(torch.tensor(ids, dtype=torch.long, device=self.device))

    def _embed(self, ids: Tensor) -> Tensor:
        x: Tensor = self.token_embedding(ids)
        return x

    def _checked(self, text: str) -> tuple[int, ...]:
        row = self.vocabulary.ids(text)
        if len(row) > self.context_length:
            raise UserError(
                f"the text {text!r} has {len(row)} tokens, but the text tower reads "
                f"{self.context_length}: shorten it"
            )
        return row

    @torch.no_grad()
    def _encode_rows(self, rows: Sequence[tuple[int, ...]]) -> Tensor:
        """rows: tokens up to [EOT]. Returns [len(rows), D]."""
        vocabulary = self.vocabulary
        length = vocabulary.padded_length(max(map(len, rows)))
        ids = [[*row, *[vocabulary.pad] * (length - len(row))] for row in rows]
        read = [vocabulary.read(len(row), length) for row in rows]
        x = self._embed(torch.tensor(ids, device=self.device))
        return self._run(self.transformer, x, torch.tensor(read, device=self.device))

    def _encode_general(
        self,
        ctx: Tensor,
        names: PromptTokens,
        position: Position,
        deep: Mapping[int, Tensor],
        adapters: Adapters | None = None,
        projected: Mapping[int, Block] | None = None,
    ) -> Tensor:
        """Every prompt from beginning to [EOT], whatever the tower and the position."""
        layout = names.layout(ctx.shape[-2], position)
        x = self._placed(ctx, layout)
        if adapters and 0 in adapters:
            x = x + adapters[0](x.flatten(1, 3)).view_as(x)
        read = layout.read.repeat(ctx.shape[0] * ctx.shape[1])
        slots = layout.slots.repeat(ctx.shape[0] * ctx.shape[1], 1)  # [C N K, n]
        inside = {
            layer: (slots, each[:, :, None].expand(-1, -1, x.shape[2], -1, -1).flatten(0, 2))
            for layer, each in deep.items()
        }
        added = per_block(adapters, len(ctx))
        found = self._run(self._computing, x.flatten(0, 2), read, inside, added, projected)
        return found.reshape(*x.shape[:3], -1)

    def _placed(self, ctx: Tensor, layout: Layout) -> Tensor:
        """[C, N, K, L, d]: the contexts among the embedded words, without positions."""
        if ctx.dim() == 4:
            ctx = ctx[:, :, None].expand(-1, -1, len(layout.ids), -1, -1)
        x = self._embed(layout.ids).to(ctx.dtype)  # [K, L, d]
        x = x.expand(*ctx.shape[:2], *x.shape).clone()
        classes = torch.arange(len(layout.ids), device=x.device)[:, None]  # beside slots [K, n]
        x[:, :, classes, layout.slots] = ctx
        return x

    def _run(
        self,
        transformer: Transformer,
        x: Tensor,
        read: Tensor,
        inside: Mapping[int, tuple[Tensor, Tensor]] | None = None,
        added: Mapping[int, Block] | None = None,
        projected: Mapping[int, Block] | None = None,
    ) -> Tensor:
        """x: [B, L, d], embedded without positions; read: [B]. Returns features [B, D].

        inside: layer -> the places [B, n] that its input has vectors [B, n, d] put into. added,
        projected: layer -> what its output, or its queries, keys and values have added, of what
        its first norm gives.
        """
        added, projected = added or {}, projected or {}
        length, dtype = x.shape[1], next(transformer.parameters()).dtype
        mask = None if self.attn_mask is None else self.attn_mask[:length, :length].to(dtype)
        x = (x + self.positional_embedding[:length]).to(dtype)
        if not (inside or added or projected):
            x = transformer(x, attn_mask=mask)
        else:
            lines = torch.arange(len(x), device=x.device)[:, None]
            for layer, block in enumerate(transformer.resblocks):
                if inside and layer in inside:
                    places, vectors = inside[layer]
                    x = x.index_put((lines, places), vectors.to(dtype))
                extra = added[layer](block.ln_1(x)) if layer in added else 0
                if layer in projected:
                    x = whole(block, x, projected[layer], mask) + extra
                else:
                    x = block(x, attn_mask=mask) + extra
        return self._finish(x[torch.arange(len(x), device=x.device), read])

    def _encode_shared(
        self,
        ctx: Tensor,
        names: PromptTokens,
        deep: Mapping[int, Tensor],
        projected: Mapping[int, Block],
    ) -> Tensor:
        """[SOS][context] once for each client and prompt; for each class only what follows."""
        n, flat = ctx.shape[-2], ctx.flatten(0, 1)  # [P, n, d]
        packed, head = names.packed(n), self.vocabulary.head
        context = (flat + self.positional_embedding[head : head + n]).to(self._dtype)
        known = self._known()
        if projected:  # what is [SOS] after the first layer is then each client's own
            start = self._first().to(self._dtype).expand(len(flat), -1, -1)
            context, known = torch.cat([start, context], dim=1), [t[..., :0, :] for t in known]
        inside = {layer: each.flatten(0, 1).to(self._dtype) for layer, each in deep.items()}
        tail, blocks = self._tail(names, n), self._computing.resblocks
        x = run(blocks, context, known, tail, inside, projected)
        x = x[:, packed.where]  # [P, K, d]
        return self._finish(x).reshape(*ctx.shape[:2], len(names), -1)

    def _encode_apart(self, ctx: Tensor, names: PromptTokens, position: Position) -> Tensor:
        """Prompts that differ from their first vector on: each is a bin of its own."""
        layout, head = names.layout(ctx.shape[-2], position), self.vocabulary.head
        x = self._placed(ctx, layout)[..., head:, :]
        x = (x + self.positional_embedding[head : head + x.shape[-2]]).flatten(0, 1).to(self._dtype)
        length = layout.ids.shape[1]
        mask = x.new_full((length, length), float("-inf")).triu(1).expand(len(names), -1, -1)
        blocks, flat = self._computing.resblocks, x.flatten(1, 2)  # [P, K L, d]
        tail = Tail(flat, project(blocks[0], flat), mask, layout.read[:, None] - head)
        features = self._finish(run(blocks, x[:, 0, :0], self._known(), tail))
        return features.reshape(*ctx.shape[:2], len(names), -1)

    def _known(self) -> list[Tensor]:
        """What [SOS] is in each layer, whatever follows it."""
        if self._start is None:
            x = self._first().to(self._dtype)
            self._start = known_tokens(self._computing.resblocks, x)
        return self._start

    @torch.no_grad()
    def _first(self) -> Tensor:
        """[SOS] embedded with its position, [1, d]; [0, d] of a tower that has none."""
        ids = torch.tensor(self.vocabulary.start, dtype=torch.long, device=self.device)
        return self._embed(ids) + self.positional_embedding[: len(ids)]

    @torch.no_grad()
    def _tail(self, names: PromptTokens, n: int) -> Tail:
        """The class names behind n context vectors, as far as no context changes them."""
        known = self._tails.setdefault(names, {})
        if n not in known:
            packed, before = names.packed(n), self.vocabulary.head + n
            x = self._embed(packed.ids) + self.positional_embedding[before + packed.depth]
            x = x.flatten(0, 1)[None].to(self._dtype)
            first = project(self._computing.resblocks[0], x)
            known[n] = Tail(x, first, packed.mask(before, x.dtype), packed.ends)
        return known[n]

    def _finish(self, x: Tensor) -> Tensor:
        """x: [..., d], the transformer's output where it is read. Returns [..., D]."""
        x = self.ln_final(x.to(self.positional_embedding.dtype))
        if self.text_projection is None:
            return x
        if isinstance(self.text_projection, nn.Linear):
            projected: Tensor = self.text_projection(x)
            return projected
        return x @ self.text_projection


def _text_part(model: CLIP | CustomTextCLIP) -> CLIP | TextTransformer:
    """The module that holds the text tower: the model itself, or its `text`."""
    if isinstance(model, CLIP):
        return model
    text = getattr(model, "text", None)
    if isinstance(text, HFTextEncoder):
        raise UserError(
            "the text tower is a Hugging Face model, which cannot take prompts as vectors here: "
            "choose a backbone with a text tower of open_clip's own, ViT-B-16:openai for one"
        )
    plain = isinstance(model, CustomTextCLIP) and isinstance(text, TextTransformer)
    if plain and text is not None and text.cls_emb is None and not text.use_pad_mask:
        return text
    raise UserError(
        f"the text tower of {type(model).__name__} (a class token or padding mask of its own) "
        "cannot take prompts as vectors here: choose ViT-B-16:openai, for one"
    )
