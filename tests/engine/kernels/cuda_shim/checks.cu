// Kernels that check the shim: intrinsics whose answer is known, and mistakes that it must not let pass.
#include <intrinsics.cuh>

using namespace lynceus;

using Element = ELEMENT;

// out [16][8] = a [16][32] b [8][32]^T, by the layout of operands that the PTX manual gives for m16n8k32.
extern "C" __global__ void product(const i8* a, const i8* b, int* out) {
  const int group = lane_id() / 4, quad = lane_id() % 4 * 4;
  const auto word = [](const i8* from) { return *reinterpret_cast<const u32*>(from); };
  const u32 left[4] = {word(a + group * 32 + quad), word(a + (group + 8) * 32 + quad),
                       word(a + group * 32 + quad + 16), word(a + (group + 8) * 32 + quad + 16)};
  int sums[4] = {};
  multiply_add(sums, left, word(b + group * 32 + quad), word(b + group * 32 + quad + 16));
  for (int i = 0; i < 4; ++i) out[(group + i / 2 * 8) * 8 + lane_id() % 4 * 2 + i % 2] = sums[i];
}

extern "C" __global__ void convert(const float* in, Element* narrowed, float* widened, int length) {
  for (int i = threadIdx.x; i < length; i += blockDim.x) {
    narrowed[i] = narrow<Element>(in[i]);
    widened[i] = widen(narrowed[i]);
  }
}

extern "C" __global__ void overrun(int* out, int length) { out[length + threadIdx.x] = 0; }

extern "C" __global__ void shared_overrun(int* out, int length) {
  reinterpret_cast<int*>(shared_memory())[length] = 0;
  out[0] = 0;
}

extern "C" __global__ void leaves_early(int* out, int) {
  if (threadIdx.x == 7) return;
  sync_block();
  out[0] = 0;
}

extern "C" __global__ void splits_a_warp(int* out, int) {
  if (lane_id() < 16) sync_warp();
  sync_block();
  out[0] = 0;
}

// Reads what it copies `length` groups too early.
extern "C" __global__ void copies(int* out, int length) {
  int* shared = reinterpret_cast<int*>(shared_memory());
  copy_async<4>(shared + threadIdx.x, out + threadIdx.x);
  copy_async_commit();
  if (length == 0)
    copy_async_wait<0>();
  else
    copy_async_wait<1>();
  sync_block();
  out[threadIdx.x] = shared[threadIdx.x] + 1;
}
