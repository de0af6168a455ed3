"""Products with 8-bit and 4-bit weights."""

from torch import Tensor

from engine.kernels.cuda import launches
from engine.kernels.cuda.activations import quantize
from engine.kernels.cuda.arguments import ELEMENTS, Value
from engine.kernels.cuda.handles import Groups4, Rows8
from engine.kernels.cuda.launches import FEW


def linear(matrix: Rows8 | Groups4, channels: int, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """`[T, K] -> [T, N]`."""
    assert x.ndim == 2, f"tokens of shape {tuple(x.shape)}"
    tokens, rows = x.shape
    out = x.new_empty(tokens, channels)
    if tokens == 0:
        return out
    launcher, (values, scales) = matrix.launcher, quantize(matrix.launcher, x)
    arguments: dict[str, Value] = {
        "values": values,
        "scales": scales,
        "codes": matrix.codes,
        "bias": None if bias is None else bias.detach().float().contiguous(),
        "out": out,
        "tokens": tokens,
        "channels": channels,
        "rows": rows,
    }
    few, element = tokens <= FEW[-1], ELEMENTS[x.dtype]
    if isinstance(matrix, Rows8):
        assert matrix.codes.shape == (channels, rows), f"codes {tuple(matrix.codes.shape)} for {rows} rows"
        launch = launches.linear8 if few else launches.linear8_many
        launcher.launch(launch(element, tokens, channels), arguments | {"channel_scales": matrix.scales})
    else:
        assert matrix.scales.shape[1] * 64 == rows, f"scales {tuple(matrix.scales.shape)} for {rows} rows"
        launch = launches.linear4 if few else launches.linear4_many
        launcher.launch(launch(element, tokens, channels), arguments | {"group_scales": matrix.scales})
    return out
