"""Recurrent networks over the rows that were seen, as BC-RNN has them (Mandlekar et al. 2021, arXiv:2108.03298)."""

from torch import Tensor, nn

from robot_stack.types import ConfigError

CELLS = {"gru": nn.GRU, "lstm": nn.LSTM}


class Recurrent(nn.Module):
    """(B, inputs) -> (B, outputs): the rows of the input go in one after the other, the last state comes out.

    rows: of the input. cell: `gru`, or `lstm`. Each call starts from nothing with the oldest row: robomimic carries the
    state from call to call and forgets it every `rows` calls, so that what it knows depends on when it was last asked.
    """

    def __init__(
        self, inputs: int, outputs: int, rows: int, cell: str = "gru", width: int = 256, layers: int = 1
    ) -> None:
        super().__init__()
        if cell not in CELLS:
            raise ConfigError(f"cell={cell!r}: choose one of {', '.join(CELLS)}")
        self.rows = rows
        self.cells = CELLS[cell](inputs // rows, width, layers, batch_first=True)
        self.out = nn.Linear(width, outputs)

    def forward(self, condition: Tensor) -> Tensor:
        """(B, inputs) -> (B, outputs)."""
        states, _ = self.cells(condition.unflatten(1, (self.rows, -1)))  # (B, rows, width)
        return self.out(states[:, -1])
