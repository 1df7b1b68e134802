import io

from robot_stack import progress


def test_without_a_terminal_progress_is_a_line_every_period_and_one_at_the_end(monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_PERIOD", 0.0)
    out = io.StringIO()
    with progress.bar("train", 20, out) as bar:
        bar.update(10, "loss 0.5")
        bar.update(20, "loss 0.1")
    first, second, last = out.getvalue().splitlines()
    assert (first, second) == ("train 10/20  loss 0.5", "train 20/20  loss 0.1")
    assert last.startswith("train 20/20  loss 0.1  in ")


def test_lines_are_not_more_frequent_than_the_period():
    out = io.StringIO()
    with progress.bar("import", 100, out) as bar:
        for done in range(100):
            bar.update(done)
    assert len(out.getvalue().splitlines()) == 1


def test_a_terminal_gets_a_bar_with_the_note():
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    with progress.bar("eval", 4, out) as bar:
        bar.update(4, "success 3/4")
    assert "success 3/4" in out.getvalue()
