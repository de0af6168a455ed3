#include "fibers.h"

#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace shim {

Index thread_index, block_index, block_size, grid_size;

namespace {

constexpr unsigned kWarp = 32;
constexpr unsigned kAll = 0xffffffffu;
constexpr size_t kStack = 256 << 10;
constexpr long kMostRelaxes = 4'000'000;

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
};

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack{new char[kStack]};
  void* fake_stack = nullptr;
  std::deque<std::vector<Copy>> closed;
  std::vector<Copy> open;
};

struct Warp {
  unsigned runnable = kAll;
  unsigned arrived = 0;
  unsigned finished = 0;
  unsigned meetings = 0;
  Slot slots[2][kWarp];
};

std::vector<Fiber> fibers;
std::vector<Warp> warps;
ucontext_t main_context;
void* main_fake_stack;
const void* main_stack;
size_t main_stack_size;
unsigned current, block_arrived, finished_threads;
long relaxes;
void (*body)();
void* shared;

void start_switch([[maybe_unused]] void** fake, [[maybe_unused]] const void* stack, [[maybe_unused]] size_t size) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(fake, stack, size);
#endif
}

void finish_switch([[maybe_unused]] void* fake, [[maybe_unused]] const void** stack, [[maybe_unused]] size_t* size) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, stack, size);
#endif
}

// A fiber that can run: the next of the same warp, else the first of the next warp that has one; none if all wait.
int next_runnable() {
  const unsigned warp = current / kWarp, lane = current % kWarp;
  const unsigned later = lane == kWarp - 1 ? 0 : warps[warp].runnable & kAll << (lane + 1);
  if (later != 0) return static_cast<int>(warp * kWarp + __builtin_ctz(later));
  for (unsigned i = 1; i <= warps.size(); ++i) {
    const unsigned other = (warp + i) % warps.size();
    if (warps[other].runnable != 0) return static_cast<int>(other * kWarp + __builtin_ctz(warps[other].runnable));
  }
  return -1;
}

void switch_to(int next, bool leaving) {
  Fiber& own = fibers[current];
  if (next == static_cast<int>(current)) return;
  if (next < 0) {
    if (finished_threads != fibers.size()) refuse("the threads of a block wait for each other for ever");
    start_switch(leaving ? nullptr : &own.fake_stack, main_stack, main_stack_size);
    setcontext(&main_context);
  }
  current = static_cast<unsigned>(next);
  thread_index = {current, 0, 0};
  start_switch(leaving ? nullptr : &own.fake_stack, fibers[current].stack.get(), kStack);
  if (leaving) setcontext(&fibers[current].context);
  swapcontext(&own.context, &fibers[current].context);
  finish_switch(own.fake_stack, nullptr, nullptr);
}

void run_fiber() {
  finish_switch(nullptr, main_stack == nullptr ? &main_stack : nullptr, main_stack_size == 0 ? &main_stack_size : nullptr);
  body();
  Warp& warp = warps[current / kWarp];
  warp.runnable &= ~(1u << current % kWarp);
  ++warp.finished;
  ++finished_threads;
  if (warp.arrived != 0) refuse("a lane left while others of its warp wait for it");
  if (block_arrived != 0) refuse("a thread left while others of its block wait for it");
  switch_to(next_runnable(), true);
}

void run_block(unsigned threads) {
  warps.assign(threads / kWarp, Warp{});
  current = block_arrived = finished_threads = 0;
  for (Fiber& fiber : fibers) {
    getcontext(&fiber.context);
    fiber.context.uc_stack = {};
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = nullptr;
    fiber.open.clear();
    fiber.closed.clear();
    makecontext(&fiber.context, run_fiber, 0);
  }
  thread_index = {0, 0, 0};
  start_switch(&main_fake_stack, fibers[0].stack.get(), kStack);
  swapcontext(&main_context, &fibers[0].context);
  finish_switch(main_fake_stack, nullptr, nullptr);
}

void make(const std::vector<Copy>& copies) {
  for (const Copy& copy : copies) std::memcpy(copy.to, copy.from, copy.bytes);
}

void wait_here(unsigned lane_bit) {
  warps[current / kWarp].runnable &= ~lane_bit;
  switch_to(next_runnable(), false);
}

}  // namespace

void refuse(const char* why) {
  std::fprintf(stderr, "refused: %s (block %u,%u thread %u)\n", why, block_index.x, block_index.y, thread_index.x);
  std::_Exit(3);
}

void launch(Index grid, unsigned threads, size_t shared_bytes, void (*kernel)()) {
  if (threads == 0 || threads > 1024 || threads % kWarp != 0) refuse("a block has 32 to 1024 threads, in whole warps");
  body = kernel;
  grid_size = grid;
  block_size = {threads, 1, 1};
  fibers = std::vector<Fiber>(threads);
  for (block_index.y = 0; block_index.y < grid.y; ++block_index.y)
    for (block_index.x = 0; block_index.x < grid.x; ++block_index.x) {
      if (posix_memalign(&shared, 128, shared_bytes == 0 ? 1 : shared_bytes) != 0) refuse("there is no memory");
      std::memset(shared, 0xa5, shared_bytes);
      run_block(threads);
      std::free(shared);
    }
}

unsigned char* shared_memory() { return static_cast<unsigned char*>(shared); }

void sync_block() {
  if (finished_threads != 0) refuse("a thread has left before its block met");
  if (++block_arrived < fibers.size()) return wait_here(1u << current % kWarp);
  block_arrived = 0;
  for (Warp& warp : warps) warp.runnable = kAll;
}

const Slot* meet_warp(const Slot& own) {
  Warp& warp = warps[current / kWarp];
  if (warp.finished != 0) refuse("a lane has left before its warp met");
  const Slot* slots = warp.slots[warp.meetings % 2];
  warp.slots[warp.meetings % 2][current % kWarp] = own;
  if (++warp.arrived < kWarp) {
    wait_here(1u << current % kWarp);
    return slots;
  }
  warp.arrived = 0;
  ++warp.meetings;
  warp.runnable = kAll;
  return slots;
}

void relax() {
  if (++relaxes > kMostRelaxes) refuse("a thread waits for ever");
  switch_to(next_runnable(), false);
}

void copy_later(void* to, const void* from, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(to) % bytes != 0 || reinterpret_cast<uintptr_t>(from) % bytes != 0)
    refuse("an asynchronous copy is not aligned to its size");
  fibers[current].open.push_back({to, from, bytes});
}

void close_copies() {
  Fiber& own = fibers[current];
  own.closed.push_back(std::move(own.open));
  own.open.clear();
}

void wait_copies(size_t pending) {
  auto& closed = fibers[current].closed;
  for (; closed.size() > pending; closed.pop_front()) make(closed.front());
}

}  // namespace shim
