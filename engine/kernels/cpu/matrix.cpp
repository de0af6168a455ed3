#include "matrix.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace lynceus {
namespace {

constexpr int kCentre2 = layout::k_CENTRE, kCentre4 = 8, kCentre8 = 128;
constexpr int kMostTokens = 240;
constexpr int kMostByRows = 2;  // from three tokens on, turning the rows once is faster than summing lanes for each

int centre_of(Format format) {
  return format == Format::kTwoBit ? kCentre2 : format == Format::kRows8 ? kCentre8 : kCentre4;
}

int parts_of(const Matrix& m) { return m.format == Format::kGroups4 ? kBlock / kGroup : 1; }

Rows rows_of(Activations& activations, const int* tokens, int count, int block, int part, int parts, int centre) {
  Rows rows;
  for (int r = 0; r < count; ++r) {
    const int32_t* sums = activations.sums(tokens[r], block);
    rows.values[r] = activations.values(tokens[r], block) + part * kGroup;
    rows.start[r] = -centre * (parts == 1 ? sums[0] + sums[1] : sums[part]);
    rows.scale[r] = *activations.scale(tokens[r], block);
  }
  return rows;
}

// The bytes of a tile that hold one block of input rows.
const uint8_t* codes_of(const Matrix& m, int tile, int block) {
  const size_t blocks = m.rows / kBlock;
  if (m.format == Format::kTwoBit) return m.codes + (tile * blocks + block) * (kPanel / 4);
  if (m.format == Format::kGroups4) return m.codes + (tile * blocks + block) * (kPanel / 2);
  return m.codes + size_t(tile) * kTile * m.rows + size_t(block) * kBlock;
}

// Eight-bit rows at the matrix's lower or right edge: what lies beyond counts as zero.
void transpose_edge(const Kernels& kernels, const Matrix& m, int tile, int block, uint8_t* panel) {
  int8_t padded[kTile * kBlock] = {};
  const int channels = std::min(kTile, m.channels - tile * kTile), rows = std::min(kBlock, m.rows - block * kBlock);
  const uint8_t* from = codes_of(m, tile, block);
  for (int n = 0; n < channels; ++n) std::memcpy(padded + n * kBlock, from + size_t(n) * m.rows, rows);
  kernels.transpose(padded, kBlock, panel);
}

void unpack(const Kernels& kernels, const Matrix& m, int tile, int block, uint8_t* panel) {
  const uint8_t* codes = codes_of(m, tile, block);
  const bool whole = (tile + 1) * kTile <= m.channels && (block + 1) * kBlock <= m.rows;
  if (m.format == Format::kTwoBit)
    kernels.decode(codes, m.window_mask, panel);
  else if (m.format == Format::kGroups4)
    kernels.unpack(codes, panel);
  else if (whole)
    kernels.transpose(reinterpret_cast<const int8_t*>(codes), m.rows, panel);
  else
    transpose_edge(kernels, m, tile, block, panel);
}

const uint16_t* group_scales(const Matrix& m, int tile, int block, int part) {
  const size_t groups = m.rows / kGroup;
  return static_cast<const uint16_t*>(m.scales) + (tile * groups + block * (kBlock / kGroup) + part) * kTile;
}

void multiply_panel(const Kernels& kernels, const Matrix& m, int block, int part, Activations& activations,
                    const int* tokens, int count, Scratch& scratch, float* out) {
  const int parts = parts_of(m), quads = kQuads / parts;
  for (int first = 0; first < count; first += kernels.rows_at_once) {
    const int some = std::min(kernels.rows_at_once, count - first);
    const Rows rows = rows_of(activations, tokens + first, some, block, part, parts, centre_of(m.format));
    kernels.multiply(scratch.panel + part * quads * kTile * kQuad, quads, m.format == Format::kRows8, rows, some,
                     parts > 1 ? scratch.scale : nullptr, out + size_t(first) * kTile);
  }
}

void multiply_block(const Kernels& kernels, const Matrix& m, int tile, int block, Activations& activations,
                    const int* tokens, int count, Scratch& scratch, float* out) {
  const uint8_t* codes = codes_of(m, tile, block);
  const bool few = count <= kMaxRows;
  if (few && m.format == Format::kTwoBit && kernels.multiply_codes != nullptr) {
    const Rows rows = rows_of(activations, tokens, count, block, 0, 1, kCentre2);
    return kernels.multiply_codes(codes, m.window_mask, rows, count, out);
  }
  const bool fused = few && m.format == Format::kGroups4 && kernels.multiply_nibbles != nullptr;
  if (!fused) unpack(kernels, m, tile, block, scratch.panel);
  for (int part = 0; part < parts_of(m); ++part) {
    if (m.format == Format::kGroups4) kernels.widen(group_scales(m, tile, block, part), scratch.scale);
    if (fused) {
      const Rows rows = rows_of(activations, tokens, count, block, part, parts_of(m), kCentre4);
      kernels.multiply_nibbles(codes + part * (kTile * kGroup / 2), rows, count, scratch.scale, out);
    } else {
      multiply_panel(kernels, m, block, part, activations, tokens, count, scratch, out);
    }
  }
}

// Whether a tile of eight-bit rows is multiplied row by row: for few tokens, where neither edge cuts it.
bool by_rows(const Kernels& kernels, const Matrix& m, int tile, int count) {
  return m.format == Format::kRows8 && count <= kMostByRows && kernels.multiply_bytes != nullptr &&
         (tile + 1) * kTile <= m.channels && m.rows % kBlock == 0;
}

void multiply_rows(const Kernels& kernels, const Matrix& m, int tile, Activations& activations, const int* tokens,
                   int count, float* out) {
  const auto* weights = reinterpret_cast<const int8_t*>(codes_of(m, tile, 0));
  for (int i = 0; i < count; ++i) {
    const int token = tokens[i];
    const Token one{activations.values(token, 0), activations.scale(token, 0), activations.sums(token, 0), m.blocks()};
    kernels.multiply_bytes(weights, m.rows, one, out + size_t(i) * kTile);
  }
}

// The scales of a tile's channels, null where they are in the groups already.
const float* channel_scales(const Kernels& kernels, const Matrix& m, int tile, Scratch& scratch) {
  if (m.format == Format::kGroups4) return nullptr;
  if (m.format == Format::kTwoBit) {
    kernels.widen(static_cast<const uint16_t*>(m.scales) + tile * kTile, scratch.scale);
    return scratch.scale;
  }
  const float* scales = static_cast<const float*>(m.scales) + tile * kTile;
  std::copy_n(scales, std::min(kTile, m.channels - tile * kTile), scratch.scale);
  return scratch.scale;
}

// What one task computes of a product: a tile of the output channels, for some of the tokens.
struct Part {
  const Product* product;
  int tile, first, count;
};

void place(const Part& part, const float* results) {
  const Matrix& m = *part.product->matrix;
  const float* bias = part.product->bias;
  const int channels = std::min(kTile, m.channels - part.tile * kTile);
  for (int i = 0; i < part.count; ++i) {
    float* to = part.product->out + size_t(part.first + i) * m.channels + part.tile * kTile;
    const float* from = results + size_t(i) * kTile;
    if (bias == nullptr)
      std::copy_n(from, channels, to);
    else
      for (int n = 0; n < channels; ++n) to[n] = from[n] + bias[part.tile * kTile + n];
  }
}

}  // namespace

int tokens_per_part(int tokens) {
  const int parts = (tokens + kMostTokens - 1) / kMostTokens;
  return parts <= 1 ? tokens : (tokens + parts - 1) / parts;
}

WorkerSpace& worker_space(int count) {
  thread_local WorkerSpace space;
  const size_t wanted = std::max(space.up.size(), size_t(count) * kTile);
  space.gate.resize(wanted);
  space.up.resize(wanted);
  return space;
}

void multiply_tile(const Kernels& kernels, const Matrix& m, int tile, Activations& activations, const int* tokens,
                   int count, Scratch& scratch, float* out) {
  std::fill_n(out, size_t(count) * kTile, 0.0f);
  if (by_rows(kernels, m, tile, count))
    multiply_rows(kernels, m, tile, activations, tokens, count, out);
  else
    for (int block = 0; block < m.blocks(); ++block)
      multiply_block(kernels, m, tile, block, activations, tokens, count, scratch, out);
  const float* scales = channel_scales(kernels, m, tile, scratch);
  if (scales == nullptr) return;
  for (int i = 0; i < count; ++i)
    for (int n = 0; n < kTile; ++n) out[size_t(i) * kTile + n] *= scales[n];
}

void multiply(const Kernels& kernels, const Pool& pool, const std::vector<Product>& products, Activations& activations) {
  static std::vector<int> all;  // pools are leased to one operation at a time, and so is its scratch
  static std::vector<Part> parts;
  const int tokens = activations.tokens(), most = tokens_per_part(tokens);
  all.resize(tokens);
  std::iota(all.begin(), all.end(), 0);
  parts.clear();
  for (int first = 0; first < tokens; first += most)
    for (const Product& product : products)
      for (int tile = 0; tile < product.matrix->tiles(); ++tile)
        parts.push_back({&product, tile, first, std::min(most, tokens - first)});
  pool.run(static_cast<int>(parts.size()), [&](int task) {
    const Part& part = parts[task];
    WorkerSpace& own = worker_space(part.count);
    multiply_tile(kernels, *part.product->matrix, part.tile, activations, all.data() + part.first, part.count,
                  own.scratch, own.up.data());
    place(part, own.up.data());
  });
}

void linear(const Kernels& kernels, const Pool& pool, const std::vector<Product>& products, const int8_t* signs,
            const float* x, int tokens) {
  static Activations activations;  // as in `multiply`
  activations.quantize(kernels, pool, x, tokens, products.front().matrix->rows, signs);
  multiply(kernels, pool, products, activations);
}

}  // namespace lynceus
