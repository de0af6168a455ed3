// Compressed matrices and their product with activations.
#pragma once
#include "activations.h"
#include "kernels.h"

namespace lynceus {

enum class Format { kTwoBit, kRows8, kGroups4 };

// N output channels, K input rows. The memory belongs to whoever made the matrix.
//   kTwoBit   codes [N/128][K/4][128],               scales half [N]
//   kRows8    codes int8 [N][K],                     scales float [N]
//   kGroups4  codes [ceil(N/128)][K/8][128][4],      scales half [ceil(N/128)][K/64][128]
struct Matrix {
  Format format;
  const uint8_t* codes;
  const void* scales;
  int channels;
  int rows;
  uint32_t window_mask = 0;

  int tiles() const { return (channels + kTile - 1) / kTile; }
  int blocks() const { return (rows + kBlock - 1) / kBlock; }
};

// Scratch of one worker.
struct Scratch {
  alignas(64) uint8_t panel[kPanel];
  alignas(64) float scale[kTile];
};

// What a worker needs for a tile of `count` tokens: scratch, and space for the results of two matrices [count][kTile].
struct WorkerSpace {
  Scratch scratch;
  std::vector<float> gate, up;
};

// This thread's, kept for the next tile.
WorkerSpace& worker_space(int count);

// out [count][kTile] = tile of the matrix times the listed tokens. The products of a block are summed exactly, then
// block after block is added in fp32: out += sum * scale of the activation (times that of the group, for 4 bits);
// at the end the channel's scale is multiplied in. This order is the same on every path and in the reference.
void multiply_tile(const Kernels& kernels, const Matrix& matrix, int tile, Activations& activations,
                   const int* tokens, int count, Scratch& scratch, float* out);

// Splits tokens so that a worker's results stay in its cache: how many tokens a part has at most.
int tokens_per_part(int tokens);

// A matrix with what is added to its product, [N] or null, and where the product goes, [T][N].
struct Product {
  const Matrix* matrix;
  const float* bias;
  float* out;
};

// out = activations W^T + bias, of several matrices with the same input rows.
void multiply(const Kernels& kernels, const Pool& pool, const std::vector<Product>& products, Activations& activations);

// The same for x [T][K]; `signs` [K] rotate x first, or are null.
void linear(const Kernels& kernels, const Pool& pool, const std::vector<Product>& products, const int8_t* signs,
            const float* x, int tokens);

}  // namespace lynceus
