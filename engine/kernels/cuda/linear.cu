// Products with weights of 8 bits (one scale for each channel) and of 4 bits (one for each channel and 64 input rows)
// for few tokens: limited by the stream of weights. A thread block has 32 channels; in each round its warps take one
// part of the input rows each, and then the parts are added up in their order.
#include <activations.cuh>

namespace lynceus {

using Element = ELEMENT;

constexpr int kTokens = TOKENS;
constexpr int kWarps = 8;
constexpr int kChannels = 32;
constexpr int kGroup = 64;    // input rows that share one scale of a 4-bit weight
constexpr int kZero = 8;      // the nibble of a weight of zero
constexpr int kOctetBytes = kTile * kQuad;  // of 8 input rows of a tile of 4-bit weights: [kTile][kQuad]
constexpr u32 kNibbles = 0x0f0f0f0fu;
constexpr u32 kZeros = kZero * 0x01010101u;

struct Input {
  const i8* values;
  const float* scales;
  int tokens;
  int blocks;

  // The token of this thread block; the last one again where there are fewer.
  __device__ int token(int t) const {
    const int wanted = blockIdx.y * kTokens + t;
    return wanted < tokens ? wanted : tokens - 1;
  }
  __device__ const i8* at(int t, int block) const {
    return values + (static_cast<u64>(token(t)) * blocks + block) * kBlock;
  }
  __device__ float scale(int t, int block) const { return scales[static_cast<u64>(token(t)) * blocks + block]; }
};

// Adds up over lanes that differ in bits below or equal `top`, kHave values each, until a lane keeps one of them.
template <int kHave>
__device__ inline int add_over_lanes(int (&sum)[kHave], int top) {
#pragma unroll
  for (int lanes = top, half = kHave / 2; half > 0; lanes /= 2, half /= 2) {
    const bool upper = lane_id() & lanes;
#pragma unroll
    for (int i = 0; i < half; ++i) {
      const int kept = upper ? sum[i + half] : sum[i], given = upper ? sum[i] : sum[i + half];
      sum[i] = kept + shuffle_xor(given, lanes);
    }
  }
  return sum[0];
}

// 16 weights of a row, zero beyond its end; rows need not be aligned.
__device__ inline uint4 load_row(const i8* row, int first, int rows) {
  if (rows % 16 == 0) return first < rows ? load_stream(row + first) : uint4{0, 0, 0, 0};
  u32 words[4] = {};
#pragma unroll
  for (int i = 0; i < 16; ++i)
    if (first + i < rows) words[i / 4] |= static_cast<u32>(static_cast<u8>(row[first + i])) << 8 * (i % 4);
  return {words[0], words[1], words[2], words[3]};
}

__device__ inline int dot16(const uint4& a, const uint4& b, int sum) {
  return dp4a(a.w, b.w, dp4a(a.z, b.z, dp4a(a.y, b.y, dp4a(a.x, b.x, sum))));
}

// products [kTokens][kChannels] of a block of 8-bit weights: eight lanes have a channel, so a load takes four channels.
__device__ inline void multiply8(const Input& input, const i8* codes, int channels, int rows, int block,
                                 float* products) {
  constexpr int kLoads = 8;
  const int part = lane_id() % 8, group = lane_id() / 8;
  uint4 weights[kLoads];
#pragma unroll
  for (int i = 0; i < kLoads; ++i) {
    const int channel = blockIdx.x * kChannels + 4 * i + group;
    weights[i] = channel < channels
                     ? load_row(codes + static_cast<u64>(channel) * rows, block * kBlock + 16 * part, rows)
                     : uint4{0, 0, 0, 0};
  }
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    const uint4 a = reinterpret_cast<const uint4*>(input.at(t, block))[part];
    int sum[kLoads];
#pragma unroll
    for (int i = 0; i < kLoads; ++i) sum[i] = dot16(weights[i], a, 0);
    const float product = static_cast<float>(add_over_lanes(sum, 4)) * input.scale(t, block);
    products[t * kChannels + 4 * part + group] = product;
  }
}

// products [kTokens][kChannels] of a group of 4-bit weights: a lane has four channels of eight input rows.
__device__ inline void multiply4(const Input& input, const u8* codes, const u16* group_scales, int group,
                                 float* products) {
  constexpr int kOctets = kGroup / 8, kLoads = kOctets / 4;
  const int tile = blockIdx.x / (kTile / kChannels), groups = input.blocks * (kBlock / kGroup);
  const int first = blockIdx.x % (kTile / kChannels) * kChannels, own = lane_id() % 8 * 4;
  const u8* from = codes + (static_cast<u64>(tile) * groups + group) * kOctets * kOctetBytes + (first + own) * kQuad;
  const int kept = own + (lane_id() >> 4) * 2 + (lane_id() >> 3 & 1);
  const float channel_scale =
      widen(half{group_scales[(static_cast<u64>(tile) * groups + group) * kTile + first + kept]});
  uint4 weights[kLoads];
#pragma unroll
  for (int i = 0; i < kLoads; ++i) weights[i] = load_stream(from + (lane_id() / 8 + 4 * i) * kOctetBytes);
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    const int block = group / (kBlock / kGroup), half_of_block = group % (kBlock / kGroup);
    int sum[4] = {};
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const i8* a = input.at(t, block) + half_of_block * kGroup + (lane_id() / 8 + 4 * i) * 8;
      const uint2 rows = *reinterpret_cast<const uint2*>(a);
      const int zero = dp4a(kZeros, rows.x, dp4a(kZeros, rows.y, 0));
      const u32 words[4] = {weights[i].x, weights[i].y, weights[i].z, weights[i].w};
      for (int c = 0; c < 4; ++c)
        sum[c] += dp4a(words[c] & kNibbles, rows.x, dp4a(words[c] >> 4 & kNibbles, rows.y, -zero));
    }
    const float scale = channel_scale * input.scale(t, block);
    products[t * kChannels + kept] = static_cast<float>(add_over_lanes(sum, 16)) * scale;
  }
}

// The sum over all parts in their order for this thread's token and channel, which are its warp and lane.
template <class Multiply>
__device__ inline float add_parts(int parts, Multiply multiply) {
  constexpr int kProducts = kTokens * kChannels;
  float* shared = reinterpret_cast<float*>(shared_memory());
  float total = 0;
  for (int first = 0, round = 0; first < parts; first += kWarps, ++round) {
    float* products = shared + round % 2 * kWarps * kProducts;
    if (first + warp_id() < parts) multiply(first + warp_id(), products + warp_id() * kProducts);
    sync_block();
    const int count = parts - first < kWarps ? parts - first : kWarps;
    if (warp_id() < kTokens)
      for (int i = 0; i < count; ++i) total = total + products[i * kProducts + threadIdx.x];
  }
  return total;
}

struct Output {
  int token;
  int channel;
  bool there;
};

__device__ inline Output output_of_thread(int tokens, int channels) {
  const int token = blockIdx.y * kTokens + warp_id(), channel = blockIdx.x * kChannels + lane_id();
  return {token, channel, warp_id() < kTokens && token < tokens && channel < channels};
}

__device__ inline void store_output(Element* out, const Output& to, const float* bias, int channels, float value) {
  if (bias != nullptr) value = value + bias[to.channel];
  out[static_cast<u64>(to.token) * channels + to.channel] = narrow<Element>(value);
}

}  // namespace lynceus

using namespace lynceus;

extern "C" __global__ void __launch_bounds__(256)
    linear8(const i8* values, const float* scales, const i8* codes, const float* channel_scales, const float* bias,
            Element* out, int tokens, int channels, int rows) {
  const Input input{values, scales, tokens, (rows + kBlock - 1) / kBlock};
  const float total = add_parts(input.blocks, [&](int block, float* products) {
    multiply8(input, codes, channels, rows, block, products);
  });
  const Output to = output_of_thread(tokens, channels);
  if (to.there) store_output(out, to, bias, channels, total * channel_scales[to.channel]);
}

extern "C" __global__ void __launch_bounds__(256)
    linear4(const i8* values, const float* scales, const u8* codes, const u16* group_scales, const float* bias,
            Element* out, int tokens, int channels, int rows) {
  const Input input{values, scales, tokens, rows / kBlock};
  const float total = add_parts(rows / kGroup, [&](int group, float* products) {
    multiply4(input, codes, group_scales, group, products);
  });
  const Output to = output_of_thread(tokens, channels);
  if (to.there) store_output(out, to, bias, channels, total);
}
