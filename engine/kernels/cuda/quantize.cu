// Activations to int8, with one scale for each token and block of 128: as they are, or after SwiGLU (Shazeer 2020);
// rotated first where signs are given.
#include <activations.cuh>

namespace lynceus {

using Element = ELEMENT;

// A lane's four values of a block that may end early; what lies beyond counts as zero.
__device__ inline Four load_edge(const Element* row, int block, int rows) {
  const int first = block * kBlock + kQuad * lane_id();
  Four x = {};
  for (int i = 0; i < kQuad; ++i)
    if (first + i < rows) x.v[i] = widen(row[first + i]);
  return x;
}

__device__ inline int blocks_of(int rows) { return (rows + kBlock - 1) / kBlock; }

__device__ inline void store_quantized(const Four& x, const i8* signs, i8* values, float* scales, int part, int block) {
  quantize_block(x, signs == nullptr ? nullptr : signs + block * kBlock, values + static_cast<u64>(part) * kBlock,
                 scales + part);
}

// The warp's number in the grid, which is the token times its blocks plus the block.
__device__ inline int global_warp() { return blockIdx.x * warps() + warp_id(); }

}  // namespace lynceus

using namespace lynceus;

extern "C" __global__ void quantize(const Element* x, const i8* signs, i8* values, float* scales, int tokens,
                                    int rows) {
  const int blocks = blocks_of(rows), part = global_warp();
  if (part >= tokens * blocks) return;
  const Four four = load_edge(x + static_cast<u64>(part / blocks) * rows, part % blocks, rows);
  store_quantized(four, signs, values, scales, part, part % blocks);
}

extern "C" __global__ void swiglu_quantize(const Element* gate, const Element* up, const i8* signs, i8* values,
                                           float* scales, int tokens, int rows) {
  const int blocks = blocks_of(rows), part = global_warp();
  if (part >= tokens * blocks) return;
  const u64 row = static_cast<u64>(part / blocks) * rows;
  const int block = part % blocks;
  const Four four = swiglu(load_edge(gate + row, block, rows), load_edge(up + row, block, rows));
  store_quantized(four, signs, values, scales, part, block);
}
