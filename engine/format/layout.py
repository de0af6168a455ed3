"""The 2-bit code: every bit position, constant and order in one place (see docs/two_bit_format.md).

One byte codes four weights: the input rows 4q..4q+3 of one output channel n. Along the output channels the
bytes form a tail-biting convolutional code: the value of byte n depends on the bytes before it, inside a
segment of 128.

    window(q, n) = c[q, n] | c[q, n-1] << 8 | c[q, n-2] << 16          the lowest WINDOW_BITS of it
    t            = window * MULTIPLIER          mod 2^32
    t            = t ^ (t >> FOLD)
    u            = (t & NIBBLES) + ((t >> 4) & NIBBLES)                four bytes, each 0..30
    weight[4q+i, n] = scale[n] * (u_i - CENTRE)                        u_i: byte i of u, lowest first

Stored order of the bytes: [N / SEGMENT][K / ROWS_PER_BYTE][SEGMENT], so that a kernel reads one stream.
"""

VERSION = 1

ROWS_PER_BYTE = 4
SEGMENT = 128
WINDOW_BITS = (16, 18, 20)

MULTIPLIER = 0x6C353ACF
FOLD = 19
NIBBLES = 0x0F0F0F0F
CENTRE = 15
LARGEST_VALUE = 2 * 15

SPREAD = 42.5**0.5
"""Standard deviation of u: two uniform nibbles of variance (16^2 - 1) / 12 each."""

HADAMARD_BLOCK = 128
"""Input rows that are rotated together, so that a channel's weights look Gaussian along them."""
