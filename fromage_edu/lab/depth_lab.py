"""The live lab: buttons on a session.

Who keeps the training going? A thread or a task in the kernel would train on, but Colab does not show what a
kernel sends while no request of the page is open. So the page asks. After every slice of training the lab
changes a number, the *pulse*; a link in the page copies it to another, the *echo*, which comes back to the
kernel as a message like that of a slider; and this message is handled by training the next slice. Between two
slices the kernel is free: Stop is one more message in the queue. There is no thread and no task, and when
the page is gone, so is the training. Where no page has ever echoed, Train trains to the end at once.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from typing import ClassVar

from fromage_edu.lab.face import Face
from fromage_edu.lab.session import Record, Session, Setting

__all__ = ["DepthLab"]

VIEW = "application/vnd.jupyter.widget-view+json"
#: Seconds of training between two looks: Stop waits this long, and pictures change about thrice a second.
SLICE = 0.3
#: Runs that are kept to be compared; the oldest goes first.
KEPT = 8


def someone_answers() -> bool:
    """Whether a person sits before the notebook in which this runs, as far as a kernel can tell.

    Programs that run notebooks (nbclient, papermill, nbval, the build of this book) say with every cell that
    nobody can answer a question of `input()`; Jupyter and editors say that somebody can.

    Returns:
        False also outside of a notebook.

    >>> someone_answers()
    False
    """
    if "google.colab" in sys.modules:
        return True
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if not hasattr(shell, "kernel"):
        return False
    return bool(shell.get_parent().get("content", {}).get("allow_stdin"))


class DepthLab:
    """A small laboratory in the notebook: choose a deep perceptron and an optimizer, train, compare.

    Shown by Jupyter or Colab, it is a panel of plain ipywidgets; elsewhere it is one line of text. Runs are
    those of the live race of chapter 09: 1,438 digits, batches of 32, float32. One lab trains at a time.

    Args:
        depth: hidden layers, 2 to 50.
        width: units of a hidden layer: 8, 16, 32, 64, 128 or 256.
        optimizer: "Fromage", "Adam", "SGD" (with momentum 0.9) or "Normalized SGD".
        lr: learning rate of the first epoch, 1e-5 to 1; None: the optimizer's usual one.
        eps: Adam's eps, 1e-30 to 1e-4.
        init: "default", "he" or "orthogonal".
        seed: of the weights and of the order of images, 0 to 9999.
        epochs: passes through the images, 1 to 100.

    Raises:
        ValueError: for anything else; the message names the value.

    >>> lab = DepthLab(depth=2, width=8, epochs=1, optimizer="Adam")
    >>> lab
    DepthLab: run this cell in Jupyter or Colab to train networks here
    >>> lab.train().state
    'done'
    """

    _training: ClassVar[DepthLab | None] = None
    # JupyterLab may handle messages of widgets in another thread than cells.
    _lock: ClassVar = threading.RLock()

    def __init__(
        self,
        depth: int = 30,
        width: int = 32,
        optimizer: str = "Fromage",
        lr: float | None = None,
        eps: float = 1e-8,
        init: str = "default",
        seed: int = 11,
        epochs: int = 30,
    ):
        """See the class; nothing trains yet."""
        self._opening = Setting(depth, width, optimizer, lr, eps, init, seed, epochs)
        self.records: list[Record] = []
        self._runs, self._hint = 0, ""
        self._session: Session | None = None
        self._face: Face | None = None

    @property
    def setting(self) -> Setting:
        """What Train would train now."""
        return self._face.setting if self._face else self._opening

    @property
    def widget(self):
        """The panel as an `ipywidgets.VBox`, to be shown where the lab does not notice that it could be.

        Raises:
            ImportError: without ipywidgets, with the command that installs it.
        """
        if self._face is None:
            face = self._face = Face(self._opening)
            face.train.on_click(lambda _: self._guarded(self._press_train))
            face.stop.on_click(lambda _: self._guarded(self.stop))
            face.clear.on_click(lambda _: self._guarded(self.clear))
            face.echo.observe(lambda change: self._guarded(self._hear, change["new"]), "value")
            face.show(self.records)
        return self._face.box

    def train(self) -> Record:
        """Train what is chosen to the end, in this cell; to stop it, interrupt the kernel.

        Returns:
            The record of the run; `.sentence` says how it ended.
        """
        self._hint = "To stop it, interrupt the kernel."
        try:
            session = self._begin()
            while self._slice(session):
                time.sleep(0.001)  # a thread that waits with Stop gets its turn
        except BaseException:
            self.stop()
            raise
        finally:
            self._hint = ""
        return session.record

    def stop(self) -> None:
        """Stop what is training, if anything is; its run stays to be compared."""
        with self._lock:
            try:
                if self._session:
                    self._session.stop()
            finally:  # A run that cannot even be stopped does not stand in the way of the next.
                self._rest()

    def clear(self) -> None:
        """Stop, and forget all runs."""
        with self._lock:
            self.stop()
            self.records.clear()
            self._runs = 0
            self._show()

    def _begin(self) -> Session:
        """Stop what trains, here or in another lab, and start what is chosen."""
        with self._lock:
            if DepthLab._training:
                DepthLab._training.stop()
            self._show(text="Starting …")  # reading the digits takes a second, the first time
            session = Session(self.setting, self._runs + 1)
            self._runs += 1
            self._session, DepthLab._training = session, self
            self.records[:] = [*self.records, session.record][-KEPT:]
            self._show()
            return session

    def _slice(self, session: Session) -> bool:
        """Train a little and show it; False when this is over."""
        with self._lock:
            # Stopped, or followed by another run, while this thread was waiting.
            if session is not self._session:
                return False
            if session.advance(SLICE):
                self._show()
                return True
            self._rest()
            return False

    def _rest(self) -> None:
        """Nothing trains any more."""
        self._session = None
        if DepthLab._training is self:
            DepthLab._training = None
        self._show()

    def _show(self, text: str = "", trouble: str = "") -> None:
        if self._face:
            if self._hint and self._session:
                text = f"{self._session.record.sentence} {self._hint}"
            self._face.show(self.records, text, trouble)

    def _press_train(self) -> None:
        with self._lock:
            if self._face.echo.value:
                self._begin()
                self._face.pulse.value += 1
                return
        # No page has echoed: nobody would ask for the next slice.
        self.train()

    def _hear(self, echo: int) -> None:
        """The page has seen the newest picture: train on. An echo of an older pulse comes too late."""
        with self._lock:
            if self._session and echo == self._face.pulse.value and self._slice(self._session):
                self._face.pulse.value += 1

    def _guarded(self, action, *arguments) -> None:
        """Do what a message of the page asks for; what goes wrong is shown in the lab."""
        try:
            action(*arguments)
        except KeyboardInterrupt:
            self.stop()
        except Exception as error:
            with self._lock:
                if self._session:
                    self._session.record.state = "broken"
                    self._rest()
                text = f"This went wrong: {type(error).__name__}: {error}"
                self._show(text=text, trouble=traceback.format_exc())

    def __repr__(self) -> str:
        """One line, the same everywhere: texts of notebooks are compared."""
        return "DepthLab: run this cell in Jupyter or Colab to train networks here"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        """What a notebook shows: the panel where somebody can press its buttons, else the line."""
        bundle = {"text/plain": repr(self)}
        if someone_answers():
            bundle[VIEW] = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        return bundle
