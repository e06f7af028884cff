"""IVLP (Rasheed et al., CVPR 2023; Khattak et al., 2023): independent prompts in both towers."""

from __future__ import annotations

from typing import ClassVar

from fplbench.methods._independent import IndependentPrompts


class IVLP(IndependentPrompts):
    """Text   [SOS][ctx_0][CLASS]. ;  ctx_i in ctx_0's place at the input of layer i < J
    image  [CLS, patches, P_0];    P_i in P_0's place at the input of layer i < J_v

    All prompts are free. logits_k = s v(P) . t_k(ctx), cross-entropy.
    """

    name = "ivlp"
    title = "IVLP"
    source = (
        "Rasheed et al., Fine-tuned CLIP Models are Efficient Video Learners, CVPR 2023; the "
        "baseline of Khattak et al., MaPLe, CVPR 2023"
    )
    variants: ClassVar = {"shallow": {"depth": 1, "depth_vision": 1, "fixed_words": "of a"}}
