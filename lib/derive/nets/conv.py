"""A small convolutional classifier for small images."""

from jaxtyping import Float
from torch import Generator, Tensor, nn

from derive._typing import typed
from derive.nets.seeded import seeded


class ConvNet(nn.Module):
    """Two convolutions, each followed by ReLU and halving of the image, and a linear map.

    Args:
        channels: Of the image.
        num_classes: How many logits it gives.
        image_size: Side of the square image, a multiple of 4.
        width: Channels after the first convolution; the second has twice as many.
        generator: Where the weights are drawn from.

    Raises:
        ValueError: If a size is out of range.

    Example:
        >>> import torch
        >>> ConvNet(1, 10, image_size=8)(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """

    @typed
    def __init__(
        self,
        channels: int,
        num_classes: int,
        *,
        image_size: int,
        width: int = 16,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        self.channels, self.image_size = channels, image_size
        if min(channels, num_classes, width) < 1 or image_size < 4 or image_size % 4:
            raise ValueError(
                "ConvNet needs channels, num_classes, width >= 1 and an image_size that is a "
                f"multiple of 4, got {channels}, {num_classes}, {width}, {image_size}."
            )
        with seeded(generator):
            self.features = nn.Sequential(
                nn.Conv2d(channels, width, 3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(width, 2 * width, 3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(2),
            )
            self.classify = nn.Linear(2 * width * (image_size // 4) ** 2, num_classes)

    @typed
    def forward(
        self, images: Float[Tensor, "b {self.channels} {self.image_size} {self.image_size}"]
    ) -> Float[Tensor, "b classes"]:
        """One row of logits an image."""
        return self.classify(self.features(images).flatten(1))
