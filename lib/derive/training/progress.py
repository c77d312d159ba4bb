"""A progress bar for people, and nothing where output is stored."""

import os
import sys
from typing import Any


def watched() -> bool:
    """Whether a person is looking: a terminal, or a notebook in a live Jupyter or Colab.

    A notebook that is executed in order to be stored or compared (nbclient, nbval, papermill)
    has a kernel but no server in front of it, and stays silent.
    """
    if "google.colab" in sys.modules:
        return True
    if "ipykernel" in sys.modules:
        return "JPY_SESSION_NAME" in os.environ  # set by a Jupyter server for its kernels
    return sys.stderr is not None and sys.stderr.isatty()


class Progress:
    """A bar over the steps, or nothing at all."""

    def __init__(self, *, steps: int, start: int, shown: bool) -> None:
        self.bar: Any = None
        if shown:
            from tqdm import tqdm

            # leave=False: what a person saw does not stay behind in a saved notebook.
            self.bar = tqdm(total=steps, initial=start, leave=False, unit="step", mininterval=0.3)

    def wants_loss(self) -> bool:
        """Whether the bar is about to be drawn: only then is the loss fetched from the device."""
        return self.bar is not None and self.bar.n % 20 == 0

    def advance(self, loss: float | None) -> None:
        if self.bar is not None:
            if loss is not None:
                self.bar.set_postfix_str(f"loss {loss:.4g}", refresh=False)
            self.bar.update()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
