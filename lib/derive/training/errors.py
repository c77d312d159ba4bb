"""What training reports when it cannot go on."""


class Diverged(ArithmeticError):
    """The loss, or a weight, is no longer a finite number."""


class CheckpointError(RuntimeError):
    """A checkpoint could not be written, is damaged, or belongs to another training."""
