#include "pool.h"

#include <unistd.h>

#include <chrono>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lynceus {
namespace {

// Longer than what a layer does between two operations, so that a helper is awake for the next.
constexpr auto kPatience = std::chrono::microseconds(200);
constexpr int kSpins = 64;  // between two looks at the clock
constexpr uint64_t kOneJob = uint64_t{1} << 32;

inline void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

uint64_t job_of(uint64_t ticket) { return ticket / kOneJob; }

// Waits without sleeping until something holds, for as long as patience lasts; whether it holds.
template <class Condition>
bool spin_until(Condition holds) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  do {
    for (int i = 0; i < kSpins; ++i) {
      if (holds()) return true;
      relax();
    }
  } while (std::chrono::steady_clock::now() < end);
  return holds();
}

}  // namespace

Pool::Pool(int threads) {
  for (int i = 1; i < threads; ++i) helpers_.emplace_back([this, i] { help(i); });
}

Pool::~Pool() {
  closing_ = true;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    wake_.notify_all();
  }
  for (auto& helper : helpers_) helper.join();
}

void Pool::run(int count, const Task& task) {
  if (count <= 1 || helpers_.empty()) {
    for (int i = 0; i < count; ++i) task(i, 0);
    return;
  }
  const uint64_t job = job_of(ticket_) + 1;
  done_ = 0;
  count_ = count;
  task_ = &task;
  ticket_ = job * kOneJob;
  if (sleepers_ > 0) {
    const std::lock_guard<std::mutex> lock(mutex_);
    wake_.notify_all();
  }
  while (take(job, 0)) {
  }
  const auto all_done = [&] { return done_ >= count; };
  while (!spin_until(all_done)) std::this_thread::yield();
}

bool Pool::take(uint64_t job, int worker) {
  uint64_t ticket = ticket_;
  do {
    if (job_of(ticket) != job || static_cast<int>(ticket % kOneJob) >= count_) return false;
  } while (!ticket_.compare_exchange_weak(ticket, ticket + 1));
  (*task_.load())(static_cast<int>(ticket % kOneJob), worker);
  ++done_;
  return true;
}

void Pool::help(int worker) {
  uint64_t seen = 0;
  while (!closing_) {
    const auto called = [&] { return job_of(ticket_) != seen || closing_; };
    if (!spin_until(called)) {
      std::unique_lock<std::mutex> lock(mutex_);
      ++sleepers_;
      wake_.wait(lock, called);
      --sleepers_;
    }
    seen = job_of(ticket_);
    while (take(seen, worker)) {
    }
  }
}

namespace {

struct Shared {
  std::mutex mutex;
  std::unique_ptr<Pool> pool;
  pid_t owner = 0;
};

Shared& shared() {
  static Shared* only = new Shared;  // never destroyed: helpers may still wait when the process ends
  return *only;
}

}  // namespace

PoolLease::PoolLease(int threads) : held_(shared().mutex) {
  Shared& all = shared();
  if (all.owner != getpid()) {
    static_cast<void>(all.pool.release());  // a forked child has none of its parent's threads to join
    all.owner = getpid();
  }
  if (all.pool == nullptr || all.pool->threads() != threads) {
    all.pool.reset();
    all.pool = std::make_unique<Pool>(threads);
  }
}

Pool* PoolLease::operator->() const { return shared().pool.get(); }
Pool& PoolLease::operator*() const { return *shared().pool; }

}  // namespace lynceus
