"""The embedded weights' second stage: the text tower meets contexts that are no words.

    python -m fplbench.embedded.tiny.smooth first.safetensors --out weights.safetensors

Pretraining (fplbench.embedded.tiny.pretrain) shows the text tower words alone. Around the random
vectors that prompt learning starts from its loss was so sharp that steps of SGD were unstable,
and rounding decided where a run ended (docs/embedded.md). Here the image tower and the logit scale
stay as they are, and the text tower goes on with pretraining's captions and losses, most of them
behind Gaussian vectors of many sizes in place of pretraining's other words.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from open_clip import CLIP
from torch import Tensor

from fplbench.embedded.render import EASY, circumstances, render
from fplbench.embedded.tiny import METHOD_DEFAULTS, WEIGHTS, load
from fplbench.embedded.tiny.captions import MAX_FILLERS, CaptionWriter, parts_table
from fplbench.embedded.tiny.pretrain import (
    contrastive_loss,
    normalise,
    parameter_groups,
    random_labels,
    save,
    word_loss,
    zero_shot,
)
from fplbench.machine import process
from fplbench.rng import derive, generator, numpy_generator


@dataclass(frozen=True)
class Settings:
    """Settings of the shipped weights.

    The learning rate rises for `warmup` steps, then follows a cosine to zero. pictures: batches of
    pictures, encoded once. vectors: the share of the steps whose captions stand behind random
    vectors, in half of them as many as prompts on this backbone have, in the other half 1 to
    MAX_FILLERS; a caption's have one standard deviation, drawn evenly in its logarithm between
    `small` and `large` (prompts start at 0.02 and grow).
    """

    steps: int = 2000
    batch: int = 128
    pictures: int = 96
    learning_rate: float = 7e-4
    warmup: int = 100
    weight_decay: float = 0.05
    word_weight: float = 0.5
    vectors: float = 0.7
    small: float = 0.01
    large: float = 0.2
    seed: int = 7


def encode_behind(model: CLIP, tokens: Tensor, vectors: Tensor) -> Tensor:
    """Text features [N, D], unit length, of tokens [N, L] with vectors [N, n, W] between the
    start token and the rest."""
    words = model.token_embedding(tokens)
    x = torch.cat([words[:, :1], vectors, words[:, 1:]], dim=1)
    length = x.shape[1]
    x = x + model.positional_embedding[:length]
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    ends = tokens.argmax(dim=1) + vectors.shape[1]
    x = model.ln_final(x[torch.arange(len(tokens)), ends])
    return F.normalize(x @ model.text_projection, dim=-1)


@torch.no_grad()
def encoded_pictures(model: CLIP, settings: Settings) -> list[tuple[Tensor, Tensor]]:
    """For each batch, image features [B, D] of unit length and the parts table [B, parts]."""
    rng = numpy_generator(settings.seed, "smooth", "labels")
    seed = derive(settings.seed, "smooth", "pictures")
    found = []
    for batch in range(settings.pictures):
        index = np.arange(batch * settings.batch, (batch + 1) * settings.batch)
        labels = random_labels(rng, settings.batch)
        table = parts_table(labels, circumstances(seed, index, labels, EASY))
        pictures = normalise(render(seed, index, labels, EASY))
        found.append((model.encode_image(pictures, normalize=True), table))
    return found


def losses(model: CLIP, settings: Settings) -> Iterator[Tensor]:
    """The loss of each step, scalar, with its graph; the next one is drawn when asked for."""
    pictures = encoded_pictures(model, settings)
    rng = numpy_generator(settings.seed, "smooth", "steps")
    writer = CaptionWriter(numpy_generator(settings.seed, "smooth", "captions"))
    gauss = generator(settings.seed, "smooth", "vectors")
    scale, usual = model.logit_scale.exp(), METHOD_DEFAULTS["n_ctx"]

    def encoded(tokens: Tensor, count: int) -> Tensor:
        low, high = math.log(settings.small), math.log(settings.large)
        sizes = torch.empty(len(tokens)).uniform_(low, high, generator=gauss).exp()
        width = model.token_embedding.embedding_dim
        vectors = torch.randn(len(tokens), count, width, generator=gauss) * sizes[:, None, None]
        return encode_behind(model, tokens, vectors)

    for _ in range(settings.steps):
        image, table = pictures[int(rng.integers(len(pictures)))]
        random = rng.random() < settings.vectors
        count = int(rng.integers(1, MAX_FILLERS + 1)) if rng.random() < 0.5 else usual
        count = count if random else 0
        fillers = 0 if random else MAX_FILLERS
        captions = writer.write(table, fillers)
        words = encoded(writer.write_words(fillers), count)
        logits = scale * image @ encoded(captions.tokens, count).T
        of_words, _ = word_loss(scale * image @ words.T, table)
        loss = contrastive_loss(logits, table, captions.mentioned)
        yield loss + settings.word_weight * of_words


def smooth(model: CLIP, settings: Settings) -> CLIP:
    """Train the text tower of a pretrained model, now and then printing how far it has come."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith("visual.") and name != "logit_scale")
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = parameter_groups(parameters, settings.weight_decay)
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))
    started, running = time.perf_counter(), 0.0
    for step, loss in enumerate(losses(model, settings)):
        rise = min(1.0, (step + 1) / settings.warmup)
        fall = (1 + math.cos(math.pi * step / settings.steps)) / 2
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * rise * fall
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        running = loss.item() if step == 0 else 0.98 * running + 0.02 * loss.item()
        if (step + 1) % 250 == 0 or step + 1 == settings.steps:
            minutes = (time.perf_counter() - started) / 60
            accuracy = zero_shot(model, settings.seed)
            print(
                f"step {step + 1}/{settings.steps}  loss {running:.3f}  "
                f"zero-shot {accuracy:.1f} %  {minutes:.1f} min",
                flush=True,
            )
    return model.eval().requires_grad_(False)


def main() -> None:
    process.keep_freed_memory()
    defaults = Settings()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path, help="the weights that pretraining wrote")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where the weights go")
    parser.add_argument("--steps", type=int, default=defaults.steps)
    parser.add_argument("--large", type=float, default=defaults.large)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    options = parser.parse_args()
    settings = Settings(steps=options.steps, large=options.large, seed=options.seed)
    model, _, _ = load(options.first)
    save(smooth(model, settings), options.out)
    print(f"weights written to {options.out}")


if __name__ == "__main__":
    main()
