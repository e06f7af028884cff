"""The frozen backbone: images and prompts to features in the joint space of a CLIP."""
