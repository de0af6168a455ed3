import numpy as np
import numpy.typing as npt

def encode(
    values: npt.NDArray[np.uint8],
    targets: npt.NDArray[np.int8],
    codes: npt.NDArray[np.uint8],
    *,
    window_bits: int,
    centre: int,
    target_steps: int,
    beam: int,
    threads: int,
    portable: bool,
) -> None: ...
