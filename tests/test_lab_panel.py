"""The lab's widgets: as a page presses them, and in a real kernel, with somebody in front of it or nobody."""

import re
import sys
import threading
from pathlib import Path

import nbformat
import pytest
import traitlets
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

from fromage_edu.experiments.alone import Alone
from fromage_edu.lab import DepthLab, Record, Session, Setting, depth_lab, face
from fromage_edu.lab.face import Face

SMALL = {"depth": 2, "width": 8, "epochs": 2}


# --- widgets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting",
    [
        Setting(),
        Setting(2, 8, "Adam", 1e-5, 1e-30, "he", 0, 1),
        Setting(50, 256, "Normalized SGD", 1.0, 1e-4, "orthogonal", 9999, 100),
        Setting(optimizer="SGD", lr=0.0123456789),
    ],
)
def test_the_controls_hold_every_setting(setting):
    assert Face(setting).setting == setting


def test_the_controls_hold_nothing_that_a_setting_refuses():
    panel = Face(Setting())
    for name in ("depth", "seed", "epochs", "lr", "eps"):
        for value in (-1e9, 1e9):
            panel.controls[name].value = int(value) if name in ("depth", "seed", "epochs") else value
            assert panel.setting  # the widget has put it into its range
    for name in ("width", "optimizer", "init"):
        with pytest.raises(traitlets.TraitError):
            panel.controls[name].value = 3


def test_every_optimizer_finds_its_learning_rate_again():
    panel = Face(Setting(lr=0.02))
    optimizer, lr, eps = (panel.controls[name] for name in ("optimizer", "lr", "eps"))
    assert eps.disabled
    optimizer.value = "Adam"
    assert lr.value == 0.001 and not eps.disabled
    lr.value = 0.1
    optimizer.value = "Fromage"
    assert lr.value == 0.02 and eps.disabled
    optimizer.value = "Adam"
    assert lr.value == pytest.approx(0.1)


def test_a_record_without_a_step_can_be_shown():
    panel = Face(Setting())
    panel.show([Record(Setting())])
    assert panel.progress.value == 0 and panel.epoch.value == "epoch 1 of 30"


def test_without_ipywidgets_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'fromage-edu[explorers]'")):
        DepthLab().widget  # noqa: B018
    assert DepthLab(**SMALL).train().state == "done"


# --- the lab as a page drives it --------------------------------------------------------------------------


class Page:
    """A front end: it copies the pulse to the echo, as the link does in a browser, and presses buttons."""

    def __init__(self, lab):
        lab.widget  # noqa: B018
        self.lab, self.face = lab, lab._face
        self.echo()

    def echo(self, number=None):
        self.face.echo.set_state({"value": self.face.pulse.value if number is None else number})

    def press(self, name):
        getattr(self.face, name)._handle_custom_msg({"event": "click"}, [])

    def to_the_end(self):
        while self.lab._session:
            self.echo()

    @property
    def text(self):
        return re.sub("<[^>]*>", "", self.face.message.value)


@pytest.fixture
def page(monkeypatch):
    monkeypatch.setattr(depth_lab, "SLICE", 0)  # one step for every echo
    made = Page(DepthLab(**SMALL))
    yield made
    made.lab.stop()


def test_train_trains_a_slice_for_every_echo(page):
    page.press("train")
    record = page.lab.records[0]
    assert record.steps == 0 and page.text == "Run 1, Fromage at depth 2, is training."
    assert not page.face.stop.disabled
    for steps in range(1, 60):
        page.echo()
        assert record.steps == steps
    assert page.face.epoch.value == "epoch 2 of 2" and page.face.progress.value == 59 / 88
    page.to_the_end()
    assert record == Session(Setting(**SMALL)).finish()
    assert page.face.stop.disabled and page.face.progress.value == 1 and page.text == record.sentence


def test_echoes_that_come_late_or_twice_change_nothing(page):
    page.press("train")
    record = page.lab.records[0]
    page.echo(page.face.pulse.value - 1)
    assert record.steps == 0
    number = page.face.pulse.value
    page.echo(number)
    page.echo(number)
    assert record.steps == 1
    page.press("stop")
    page.echo()
    assert (record.steps, record.state) == (1, "stopped")


def test_stop_comes_between_two_slices(page):
    page.press("train")
    page.echo()
    page.press("stop")
    assert page.lab.records[0].state == "stopped" and "stopped in epoch 1" in page.text
    page.press("stop")  # nothing to stop
    page.press("train")
    page.to_the_end()
    assert [record.state for record in page.lab.records] == ["stopped", "done"]


def test_a_second_train_stops_the_first(page):
    page.press("train")
    page.echo()
    page.face.controls["optimizer"].value = "Adam"
    page.press("train")
    first, second = page.lab.records
    assert first.state == "stopped" and second.state == "training"
    page.to_the_end()
    assert first.steps == 1 and second.state == "done" and second.setting.optimizer == "Adam"


def test_one_lab_trains_at_a_time(page):
    other = Page(DepthLab(**SMALL))
    page.press("train")
    other.press("train")
    assert page.lab.records[0].state == "stopped" and "stopped" in page.text
    page.echo()
    assert page.lab.records[0].steps == 0
    other.to_the_end()
    assert other.lab.records[0].state == "done" and DepthLab._training is None


def test_clear_stops_and_forgets(page):
    page.press("train")
    page.press("clear")
    assert page.lab.records == [] and page.lab._session is None and page.text == ""
    assert "No run yet" in page.face.table.value
    page.press("train")
    assert page.lab.records[0].number == 1


def test_only_the_newest_runs_are_kept(page):
    for _ in range(depth_lab.KEPT + 2):
        page.press("train")
    assert [record.number for record in page.lab.records] == list(range(3, depth_lab.KEPT + 3))


def test_an_error_is_shown_and_the_lab_goes_on(page, monkeypatch):
    def fail(self, seconds):
        raise RuntimeError("no <memory>")

    page.press("train")
    with monkeypatch.context() as patch:
        patch.setattr(Session, "advance", fail)
        page.echo()
    assert page.text.startswith("This went wrong: RuntimeError: no &lt;memory&gt;")
    assert "Traceback" in page.text and 'role="alert"' in page.face.message.value
    assert page.lab.records[0].state == "broken" and "broke off in epoch 1" in page.lab.records[0].sentence
    assert page.face.stop.disabled and DepthLab._training is None
    page.press("train")
    page.to_the_end()
    assert page.lab.records[-1].state == "done"


def test_an_error_in_a_cell_reaches_the_cell_and_the_run_counts_as_broken(page, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(Alone, "step", fail)
        with pytest.raises(RuntimeError, match="no memory"):
            page.lab.train()
    assert page.lab.records[0].state == "broken" and "broke off" in page.text
    assert DepthLab._training is None and page.face.stop.disabled


def test_a_run_that_cannot_be_stopped_does_not_stand_in_the_way(page, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("no memory")

    other = Page(DepthLab(**SMALL))
    page.press("train")
    with monkeypatch.context() as patch:
        patch.setattr(Alone, "accuracies", fail)
        other.press("train")
    assert "no memory" in other.text and "broke off" in page.text and page.face.stop.disabled
    other.press("train")
    other.to_the_end()
    assert other.lab.records[-1].state == "done"


def test_an_error_at_the_start_is_shown_too(page, monkeypatch):
    def fail(*arguments, **options):
        raise ImportError("digits() needs scikit-learn")

    monkeypatch.setattr(depth_lab, "Session", fail)
    page.press("train")
    assert "digits() needs scikit-learn" in page.text and page.lab.records == []


def test_interrupting_the_kernel_stops(page, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(depth_lab, "Session", interrupt)
        page.press("train")
    assert page.text == "", "nothing is starting any more"

    page.press("train")
    monkeypatch.setattr(Session, "advance", interrupt)
    page.echo()
    assert page.lab.records[0].state == "stopped" and "stopped" in page.text
    with pytest.raises(KeyboardInterrupt):
        page.lab.train()  # in a cell, the cell is interrupted too
    assert page.lab.records[1].state == "stopped"


def test_where_no_page_echoes_train_trains_to_the_end(monkeypatch):
    lab, texts = DepthLab(**SMALL), []
    lab.widget  # noqa: B018
    lab._face.message.observe(lambda change: texts.append(change["new"]), "value")
    monkeypatch.setattr(depth_lab, "SLICE", 0.02)
    lab._face.train.click()
    assert lab.records[0].state == "done"
    assert any("is training. To stop it, interrupt the kernel." in text for text in texts)
    assert "interrupt" not in texts[-1]


def test_a_cell_can_train_and_another_thread_stops_it(monkeypatch):
    monkeypatch.setattr(depth_lab, "SLICE", 0)
    lab = DepthLab(depth=2, width=8, epochs=100)
    stopper = threading.Timer(0.3, lab.stop)
    stopper.start()
    record = lab.train()
    stopper.join()
    assert record.state == "stopped" and 0 < record.steps < record.all_steps
    assert lab.records == [record]


def test_nothing_runs_behind_the_back(page):
    before = threading.active_count()
    page.press("train")
    page.echo()
    assert threading.active_count() == before


def test_the_lab_begins_where_its_arguments_say():
    lab = DepthLab(depth=7, optimizer="Adam", lr=0.01, seed=5)
    assert lab.setting == Setting(depth=7, optimizer="Adam", lr=0.01, seed=5)
    lab.widget  # noqa: B018
    assert lab.setting == Setting(depth=7, optimizer="Adam", lr=0.01, seed=5)


def test_only_what_a_page_changes_is_sent(page):
    """A redraw without news sends nothing: traits that keep their value are not sent again."""
    page.press("train")
    page.echo()
    sent = []
    for widget in (page.face.message, *page.face.pictures, page.face.table):
        widget.observe(lambda change: sent.append(change["owner"]), "value")
    page.echo()
    assert sent == []  # the epoch is not over: only the progress bar has moved


def test_the_widgets_are_those_that_ipywidgets_7_has():
    known = "Box VBox HTML Button FloatProgress Label IntText Dropdown IntSlider FloatLogSlider"
    known += " SelectionSlider BoundedIntText jsdlink"
    used = set(re.findall(r"widgets\.([A-Za-z]+)\(", Path(face.__file__).read_text(encoding="utf-8")))
    assert used <= set(known.split())


# --- in a real kernel -------------------------------------------------------------------------------------

LINE = "DepthLab: run this cell in Jupyter or Colab to train networks here"
VIEW = "application/vnd.jupyter.widget-view+json"
CELL = "from fromage_edu.lab import DepthLab\nlab = DepthLab(depth=50, width=8, epochs=100)\nlab"


class FrontEnd:
    """What a browser does, over the wires: run cells, keep the widgets' states, answer pulses."""

    def __init__(self, client):
        self.client, self.states, self.linked = client, {}, {}

    def ask(self, kind, content):
        """Send a request; return what the kernel publishes until it is done. Nothing may come unasked."""
        message = self.client.session.msg(kind, content)
        self.client.shell_channel.send(message)
        heard = []
        while True:
            answer = self.client.get_iopub_msg(timeout=60)
            assert answer["parent_header"].get("msg_id") == message["header"]["msg_id"], (
                "Colab shows only what answers a request of the page"
            )
            heard.append(answer)
            if answer["msg_type"] == "comm_open":
                self.states[answer["content"]["comm_id"]] = answer["content"]["data"]["state"]
            elif answer["msg_type"] == "comm_msg" and answer["content"]["data"]["method"] == "update":
                self.states[answer["content"]["comm_id"]].update(answer["content"]["data"]["state"])
            elif answer["content"].get("execution_state") == "idle":
                if kind == "execute_request":
                    self.client.get_shell_msg(timeout=60)
                return heard

    def run(self, code, allow_stdin):
        """Run a cell; its results by MIME type."""
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
        heard = self.ask("execute_request", {**content, "allow_stdin": allow_stdin, "stop_on_error": True})
        assert not [message["content"] for message in heard if message["msg_type"] == "error"]
        (result,) = [one["content"]["data"] for one in heard if one["msg_type"] == "execute_result"]
        return result

    def send(self, model, **data):
        return self.ask("comm_msg", {"comm_id": model, "data": data})

    def model(self, **traits):
        (found,) = [id for id, state in self.states.items() if traits.items() <= state.items()]
        return found

    def press(self, description):
        self.send(self.model(description=description), method="custom", content={"event": "click"})

    def slide(self, description, value):
        state = {"value": value}
        self.send(self.model(description=description), method="update", state=state, buffer_paths=[])

    def echo(self):
        """What the link between pulse and echo does in a browser."""
        link = self.states[self.model(_model_name="DirectionalLinkModel")]
        pulse, echo = (link[end][0].removeprefix("IPY_MODEL_") for end in ("source", "target"))
        value = self.states[pulse]["value"]
        self.send(echo, method="update", state={"value": value}, buffer_paths=[])

    @property
    def texts(self):
        return [state["value"] for state in self.states.values() if state["_model_name"] == "HTMLModel"]

    def says(self, words):
        return any(words in text for text in self.texts)


# What the kernel's client says about ports and event loops is not about the lab.
@pytest.mark.filterwarnings("ignore")
def test_a_front_end_trains_watches_and_stops_over_the_wires():
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        page = FrontEnd(client)
        assert page.run(CELL, allow_stdin=False) == {"text/plain": LINE} and page.states == {}
        shown = page.run(CELL, allow_stdin=True)
        assert shown["text/plain"] == LINE and shown[VIEW]["model_id"] in page.states
        page.echo()  # on opening, as a browser does
        page.press("Train")
        assert page.says("Run 1, Fromage at depth 50, is training.")
        page.echo()
        page.echo()
        page.press("Stop")  # long before it could end, on any machine
        assert page.says("Run 1, Fromage at depth 50") and page.says("stopped in epoch")
        page.slide("depth", 2)
        page.slide("epochs", 2)
        page.press("Train")
        for _ in range(500):
            if not page.says("is training"):
                break
            page.echo()
        # Whether run 1 came to the end of an epoch depends on how fast the machine is.
        assert page.says("after 2 epochs") and page.says("run 2, Fromage, lr 0.01, depth 2: ")
        told = page.run("[record.state for record in lab.records]", allow_stdin=True)
        assert told["text/plain"] == "['stopped', 'done']"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.mark.filterwarnings("ignore")
def test_without_a_front_end_a_notebook_shows_a_line_and_can_train(tmp_path):
    train = "lab = DepthLab(depth=2, width=8, epochs=1)\nlab.widget\nprint(lab.train().sentence)"
    cells = [nbformat.v4.new_code_cell(code) for code in (CELL, train)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    (shown,), (printed,) = (cell.outputs for cell in notebook.cells)
    assert shown.data == {"text/plain": LINE}, "no view that a page could not bring to life"
    expected = Session(Setting(depth=2, width=8, epochs=1)).finish().sentence
    assert printed.text.strip() == expected
