// Products with weights of 8 bits (one scale for each channel) and of 4 bits (one for each channel and 64 input rows)
// for many tokens, on the tensor cores.
#include <tensor_cores.cuh>

namespace lynceus {

using Element = ELEMENT;

constexpr int kGroup = 64;    // input rows that share one scale of a 4-bit weight, half a block
constexpr int kZero = 8;      // the nibble of a weight of zero
constexpr int kOctets = kBlock / 8;
constexpr int kOctetBytes = kTile * kQuad;  // of 8 input rows of a tile of 4-bit weights: [kTile][kQuad]
constexpr int kBytes8 = kTile * kBlock;
constexpr int kBytes4 = kOctets * kOctetBytes;
constexpr int kGroupScaleBytes = kHalves * kTile * static_cast<int>(sizeof(u16));

static_assert(kGroup * kHalves == kBlock, "a half has one scale");
static_assert(kStages * (kBytes4 + kGroupScaleBytes + kActivationBytes) >=
                  kTokens * kResultRow * static_cast<int>(sizeof(float)),
              "results take the place of the stages");

// Channels g and g + 8 of the warp, g = lane / 4, are the same rows of the products.
__device__ inline int channel_of(int upper) { return lane_id() / 4 + 8 * upper; }

__device__ inline int own_channel(int upper) { return warp_id() * kWarpChannels + channel_of(upper); }

// The weights of an 8-bit matrix.
struct Rows {
  const i8* codes;
  int channels;
  int rows;
};

// Starts copying 16 weights of a channel; beyond a row's end they are zero, beyond the last channel that one's again.
__device__ inline void stage_row(i8* to, const Rows& matrix, int channel, int first) {
  const i8* row = matrix.codes + static_cast<u64>(channel < matrix.channels ? channel : matrix.channels - 1) * matrix.rows;
  if (matrix.rows % 16 == 0 && first < matrix.rows) {
    copy_async<16>(to, row + first);
    return;
  }
  for (int i = 0; i < 16; ++i) to[i] = first + i < matrix.rows ? row[first + i] : static_cast<i8>(0);
}

__device__ inline void stage_rows(u8* memory, const Rows& matrix, int block) {
  for (int i = threadIdx.x; i < kTile * kRowChunks; i += kThreads) {
    const int channel = i / kRowChunks, chunk = i % kRowChunks;
    stage_row(reinterpret_cast<i8*>(memory) + swizzled(channel, chunk), matrix, blockIdx.x * kTile + channel,
              block * kBlock + chunk * 16);
  }
}

__device__ inline Operand load_half8(const u8* memory, int half) {
  const int chunk = 4 * half + lane_id() % 4;
  const uint4 lower = *reinterpret_cast<const uint4*>(memory + swizzled(own_channel(0), chunk));
  const uint4 upper = *reinterpret_cast<const uint4*>(memory + swizzled(own_channel(1), chunk));
  return {{{lower.x, upper.x, lower.y, upper.y}, {lower.z, upper.z, lower.w, upper.w}}};
}

// Where four channels of eight input rows lie in shared memory: the octets that a lane's neighbours read lie in
// different banks.
__device__ inline int octet_address(int octet, int chunk) {
  return octet * kOctetBytes + (chunk ^ (octet / 2 & 3) << 1) * 16;
}

__device__ inline void stage_octets(u8* memory, const u8* codes, const u16* group_scales, int blocks, int block) {
  constexpr int kChunks = kOctetBytes / 16;
  const u64 part = static_cast<u64>(blockIdx.x) * blocks + block;
  for (int i = threadIdx.x; i < kOctets * kChunks; i += kThreads)
    copy_async<16>(memory + octet_address(i / kChunks, i % kChunks), codes + part * kBytes4 + i * 16);
  const u8* scales = reinterpret_cast<const u8*>(group_scales) + part * kGroupScaleBytes;
  if (threadIdx.x < kGroupScaleBytes / 16)
    copy_async<16>(memory + kBytes4 + threadIdx.x * 16, scales + threadIdx.x * 16);
}

// Nibbles as signed bytes around 0, without a carry from byte to byte.
__device__ inline u32 centred4(u32 nibbles) {
  constexpr u32 kEveryByte = 0x01010101u, kTop = 0x80 * kEveryByte;
  return ((nibbles & 0x0f * kEveryByte) + (kTop - kZero * kEveryByte)) ^ kTop;
}

__device__ inline Operand load_half4(const u8* memory, int half) {
  Operand weights;
#pragma unroll
  for (int product = 0; product < 2; ++product) {
    const int octet = half * (kOctets / kHalves) + lane_id() % 4 * 2 + product;
#pragma unroll
    for (int upper = 0; upper < 2; ++upper) {
      const int channel = own_channel(upper);
      const u32 word =
          *reinterpret_cast<const u32*>(memory + octet_address(octet, channel / 4) + channel % 4 * kQuad);
      weights.v[product][upper] = centred4(word);
      weights.v[product][2 + upper] = centred4(word >> 4);
    }
  }
  return weights;
}

// Adds a block of 4-bit weights to the totals, half after half, because each has scales of its own.
__device__ inline void multiply_groups(const u8* memory, const ActivationStage& stage, int count, Totals& totals) {
  const u16* scales = reinterpret_cast<const u16*>(memory + kBytes4);
#pragma unroll
  for (int half_of_block = 0; half_of_block < kHalves; ++half_of_block) {
    const Operand weights = load_half4(memory, half_of_block);
    const float lower = widen(half{scales[half_of_block * kTile + own_channel(0)]});
    const float upper = widen(half{scales[half_of_block * kTile + own_channel(1)]});
#pragma unroll
    for (int group = 0; group < kGroupsOfTokens; ++group) {
      if (group * kColumns >= count) break;
      const float2 own = token_scales(stage, group);
      int sums[4] = {kRounderBits, kRounderBits, kRounderBits, kRounderBits};
      multiply_half(sums, weights, token_words(stage, group, half_of_block));
      add_scaled(sums, {lower * own.x, lower * own.y, upper * own.x, upper * own.y}, totals.v[group]);
    }
  }
}

// The tokens of this thread block.
struct Tokens {
  int first;
  int count;

  __device__ int row(int token) const { return first + (token < count ? token : count - 1); }
};

__device__ inline Tokens tokens_of_block(int tokens) {
  const int first = blockIdx.y * kTokens, left = tokens - first;
  return {first, left < kTokens ? left : kTokens};
}

// Writes totals times the channels' scales, where there are any, plus the bias.
__device__ inline void store_tile(const Totals& totals, const Tokens& tokens, const float* channel_scales,
                                  const float* bias, Element* out, int channels) {
  float* results = reinterpret_cast<float*>(shared_memory());
  store_results(results, totals, channel_of);
  sync_block();
  for (int t = warp_id(); t < tokens.count; t += kThreads / kWarp)
    for (int c = lane_id(); c < kTile && blockIdx.x * kTile + c < channels; c += kWarp) {
      const int channel = blockIdx.x * kTile + c;
      float value = results[t * kResultRow + c];
      if (channel_scales != nullptr) value = value * channel_scales[channel];
      if (bias != nullptr) value = value + bias[channel];
      out[static_cast<u64>(tokens.first + t) * channels + channel] = narrow<Element>(value);
    }
}

}  // namespace lynceus

using namespace lynceus;

extern "C" __global__ void __launch_bounds__(kThreads)
    linear8_many(const i8* values, const float* scales, const i8* codes, const float* channel_scales, const float* bias,
                 Element* out, int tokens, int channels, int rows) {
  const Rows matrix{codes, channels, rows};
  const Tokens own = tokens_of_block(tokens);
  const int blocks = (rows + kBlock - 1) / kBlock;
  const auto memory = [](int slot) { return shared_memory() + slot * (kBytes8 + kActivationBytes); };
  Totals totals[1] = {};
  pipeline(
      blocks,
      [&](int block, int slot) {
        stage_rows(memory(slot), matrix, block);
        stage_activations(activation_stage(memory(slot) + kBytes8), values, scales, blocks, block,
                          [&](int token) { return own.row(token); });
      },
      [&](int slot) {
        const Operand weights[1][kHalves] = {{load_half8(memory(slot), 0), load_half8(memory(slot), 1)}};
        multiply_block(activation_stage(memory(slot) + kBytes8), weights, own.count, totals);
      });
  store_tile(totals[0], own, channel_scales, bias, out, channels);
}

extern "C" __global__ void __launch_bounds__(kThreads)
    linear4_many(const i8* values, const float* scales, const u8* codes, const u16* group_scales, const float* bias,
                 Element* out, int tokens, int channels, int rows) {
  constexpr int kWeightBytes = kBytes4 + kGroupScaleBytes;
  const Tokens own = tokens_of_block(tokens);
  const int blocks = rows / kBlock;
  const auto memory = [](int slot) { return shared_memory() + slot * (kWeightBytes + kActivationBytes); };
  Totals totals = {};
  pipeline(
      blocks,
      [&](int block, int slot) {
        stage_octets(memory(slot), codes, group_scales, blocks, block);
        stage_activations(activation_stage(memory(slot) + kWeightBytes), values, scales, blocks, block,
                          [&](int token) { return own.row(token); });
      },
      [&](int slot) {
        multiply_groups(memory(slot), activation_stage(memory(slot) + kWeightBytes), own.count, totals);
      });
  store_tile(totals, own, nullptr, bias, out, channels);
}
