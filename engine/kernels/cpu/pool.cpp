#include "pool.h"

#include <unistd.h>

#include <exception>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lynceus {
namespace {

constexpr int kSpins = 2000;  // about as long as the gap between two operations of one layer
constexpr uint64_t kOneJob = uint64_t{1} << 32;

inline void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

uint64_t job_of(uint64_t ticket) { return ticket / kOneJob; }

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
  for (int spins = 0; done_ < count; ++spins) {
    if (spins < kSpins)
      relax();
    else
      std::this_thread::yield();
  }
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
    for (int spins = 0; job_of(ticket_) == seen && spins < kSpins && !closing_; ++spins) relax();
    if (job_of(ticket_) == seen) {
      std::unique_lock<std::mutex> lock(mutex_);
      ++sleepers_;
      wake_.wait(lock, [&] { return job_of(ticket_) != seen || closing_; });
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
