"""The frozen backbone: images and prompts to features in the joint space of a CLIP."""

from fplbench.clip.backbone import Backbone, freeze
from fplbench.clip.image import ImageFeatures
from fplbench.clip.load import load, method_defaults, training_defaults
from fplbench.clip.prompts import PromptTokens
from fplbench.clip.text import TextTower

__all__ = [
    "Backbone",
    "ImageFeatures",
    "PromptTokens",
    "TextTower",
    "freeze",
    "load",
    "method_defaults",
    "training_defaults",
]
