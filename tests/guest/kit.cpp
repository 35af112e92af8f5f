// SPDX-License-Identifier: MIT
#include "kit.hpp"

#include <sys/ioctl.h>
#include <sys/utsname.h>

#include <atomic>
#include <bit>
#include <thread>

namespace flexsc_guest {
namespace {

constexpr __u64 bit_of(unsigned bit) {
  return __u64{1} << bit;
}

long checked(long result, const char* what) {
  if (result < 0) {
    throw Failure(std::string(what) + ": error " + std::to_string(-result));
  }
  return result;
}

}  // namespace

std::chrono::seconds long_time() {
  utsname kernel{};
  const bool checks =
      ::uname(&kernel) == 0 && std::string(kernel.release).find("-flexsc-") != std::string::npos;
  return checks ? 600s : 60s;
}

bool eventually(const std::function<bool()>& condition, std::chrono::seconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return condition();
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

void fail(const char* file, int line, const std::string& what) {
  const std::string path = file;
  throw Failure(path.substr(path.rfind('/') + 1) + ":" + std::to_string(line) + ": " + what);
}

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void Fd::reset() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Pipe make_pipe(int flags) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), flags | O_CLOEXEC) < 0) throw Failure("pipe2");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

int readable(const Fd& fd) {
  int bytes = 0;
  REQUIRE_EQ(::ioctl(fd.get(), FIONREAD, &bytes), 0);
  return bytes;
}

void put(const Fd& fd, const std::string& bytes) {
  REQUIRE_EQ(::write(fd.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
}

std::string drain(const Pipe& pipe) {
  std::string bytes(static_cast<std::size_t>(readable(pipe.reader)), '\0');
  if (!bytes.empty()) {
    REQUIRE_EQ(::read(pipe.reader.get(), bytes.data(), bytes.size()),
               static_cast<ssize_t>(bytes.size()));
  }
  return bytes;
}

long direct(const Call& c) {
  const long result =
      ::syscall(c.nr, c.args[0], c.args[1], c.args[2], c.args[3], c.args[4], c.args[5]);
  return result == -1 ? -errno : result;
}

long control(int fd, unsigned long command, const void* argument) {
  const int result = ::ioctl(fd, command, argument);
  return result < 0 ? -errno : result;
}

long control(int fd, unsigned long command, unsigned long argument) {
  const int result = ::ioctl(fd, command, argument);
  return result < 0 ? -errno : result;
}

long command(int fd, unsigned op, __u64 argument) {
  return direct(SYS_lseek, fd, FLEXSC_CMD(op, argument), SEEK_SET);
}

Call Call::with(int more) const {
  Call changed = *this;
  changed.flags = static_cast<__u16>(flags | more);
  return changed;
}

Call Call::until(__s64 when) const {
  Call changed = with(FLEXSC_ENTRY_DEADLINE);
  changed.deadline = when;
  return changed;
}

__s64 from_now(std::chrono::nanoseconds delay) {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec + delay.count();
}

Group::Group(int open_flags) : fd_(::open(FLEXSC_DEVICE, open_flags)) {
  if (fd_.get() < 0) checked(-errno, "open " FLEXSC_DEVICE);
}

flexsc_pool_params pool_params(const PoolChange& settings) {
  flexsc_pool_params params{};
  params.size = sizeof params;
  if (settings.concurrency) {
    params.set |= FLEXSC_POOL_CONCURRENCY;
    params.concurrency = *settings.concurrency;
  }
  if (settings.standby_max) {
    params.set |= FLEXSC_POOL_STANDBY_MAX;
    params.standby_max = *settings.standby_max;
  }
  if (settings.spin_us) {
    params.set |= FLEXSC_POOL_SPIN;
    params.spin_us = *settings.spin_us;
  }
  if (settings.sched) {
    params.set |= FLEXSC_POOL_SCHED;
    params.policy = settings.sched->policy;
    params.priority = settings.sched->priority;
  }
  if (settings.cpus) {
    params.set |= FLEXSC_POOL_CPUMASK;
    params.cpumask = arg(settings.cpus->data());
    params.cpumask_bytes = static_cast<__u32>(settings.cpus->size());
  }
  return params;
}

long Group::create_pool(const PoolOptions& options) const {
  const PoolChange settings = options;
  const flexsc_pool_params params = pool_params(settings);
  return control(fd(), FLEXSC_IOC_POOL_CREATE, &params);
}

long Group::update_pool(unsigned pool, const PoolChange& change) const {
  flexsc_pool_params params = pool_params(change);
  params.pool = pool;
  return control(fd(), FLEXSC_IOC_POOL_UPDATE, &params);
}

flexsc_stats Group::stats(__u32 scope, __u32 index) const {
  flexsc_stats stats{};
  stats.size = sizeof stats;
  stats.scope = scope;
  stats.index = index;
  checked(control(fd(), FLEXSC_IOC_STATS, &stats), "STATS");
  return stats;
}

bool Group::has_executed(long calls) const {
  return settled([&] { return stats().executed; }, static_cast<__u64>(calls)) ==
         static_cast<__u64>(calls);
}

Client::Client(const Group& group, unsigned pages) : pages_(pages) {
  flexsc_client_params params{};
  params.size = sizeof params;
  params.nr_pages = pages;
  fd_ = Fd(static_cast<int>(
      checked(control(group.fd(), FLEXSC_IOC_CLIENT_CREATE, &params), "CLIENT_CREATE")));
  void* base = ::mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (base == MAP_FAILED) checked(-errno, "mmap of a client");
  header_ = static_cast<flexsc_client_header*>(base);
}

Client::Client(Client&& other) noexcept
    : fd_(std::move(other.fd_)),
      pages_(other.pages_),
      header_(std::exchange(other.header_, nullptr)) {}

Client::~Client() {
  unmap();
}

void Client::unmap() {
  if (header_ != nullptr) ::munmap(std::exchange(header_, nullptr), bytes());
}

std::size_t Client::bytes() const {
  return FLEXSC_HEADER_BYTES + std::size_t{pages_} * FLEXSC_PAGE_BYTES;
}

flexsc_entry& Client::entry(unsigned page, unsigned bit) const {
  auto* entries = reinterpret_cast<flexsc_entry*>(reinterpret_cast<unsigned char*>(header_) +
                                                  FLEXSC_HEADER_BYTES);
  return entries[page * FLEXSC_PAGE_ENTRIES + bit];
}

__u32 Client::state() const {
  return std::atomic_ref(header_->state.value).load(std::memory_order_acquire);
}

void Client::fill(unsigned page, unsigned bit, const Call& c) const {
  flexsc_entry& e = entry(page, bit);
  e.nr = c.nr;
  e.flags = c.flags;
  e.from = c.from;
  for (unsigned i = 0; i < c.args.size(); ++i) e.args[i] = c.args[i];
  // So that a result which was never written is noticed.
  e.result = c.deadline.value_or(0x5e5e5e5e5e5e5e5e);
}

__u64 Client::fill_chain(unsigned page, unsigned bit, std::span<const Call> calls) const {
  __u64 bits = 0;
  for (std::size_t i = 0; i < calls.size(); ++i, ++bit) {
    fill(page, bit, i + 1 < calls.size() ? calls[i].with(FLEXSC_ENTRY_LINK) : calls[i]);
    bits |= bit_of(bit);
  }
  return bits;
}

void Client::set(unsigned page, __u64 bits, unsigned queue) const {
  std::atomic_ref(header_->submission[queue].page[page]).fetch_or(bits, std::memory_order_release);
}

long Client::submit(unsigned page, __u64 bits, unsigned queue) const {
  set(page, bits, queue);
  if (queue >= FLEXSC_MAX_POOLS) return 0;
  // Pairs with the barrier between the kernel's store to need_doorbell and its last look at the
  // submission words: either it sees the bits, or we see that it wants to be woken.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const auto need =
      std::atomic_ref(header_->need_doorbell[queue].value).load(std::memory_order_relaxed);
  return need != 0 ? doorbell(queue) : 0;
}

long Client::post(unsigned page, unsigned bit, const Call& c, unsigned queue) const {
  fill(page, bit, c);
  return submit(page, bit_of(bit), queue);
}

__u64 Client::submitted(unsigned page, unsigned queue) const {
  return std::atomic_ref(header_->submission[queue].page[page]).load(std::memory_order_acquire);
}

__u64 Client::completed(unsigned page) const {
  return std::atomic_ref(header_->completion.page[page]).load(std::memory_order_acquire);
}

bool Client::done(unsigned page, unsigned bit) const {
  return (completed(page) & bit_of(bit)) != 0;
}

unsigned Client::completions() const {
  int count = 0;
  for (unsigned page = 0; page < pages_; ++page) count += std::popcount(completed(page));
  return static_cast<unsigned>(count);
}

long Client::take(unsigned page, unsigned bit) const {
  const __u64 before = std::atomic_ref(header_->completion.page[page])
                           .fetch_and(~bit_of(bit), std::memory_order_acquire);
  if ((before & bit_of(bit)) == 0) throw Failure("took an entry that is not complete");
  return static_cast<long>(entry(page, bit).result);
}

long Client::await(unsigned page, unsigned bit, unsigned flags) const {
  const auto end = std::chrono::steady_clock::now() + kLong;
  while (!done(page, bit)) {
    // One more than there are already: others may be complete and not taken.
    const long result = wait(completions() + 1, 1s, flags);
    if (result < 0 && result != -EINTR && !done(page, bit)) checked(result, "WAIT");
    if (std::chrono::steady_clock::now() > end && !done(page, bit)) {
      throw Failure("entry (" + std::to_string(page) + ", " + std::to_string(bit) +
                    ") was not completed");
    }
  }
  return take(page, bit);
}

long Client::run(const Call& c) const {
  checked(post(0, 0, c), "DOORBELL");
  return await(0, 0);
}

long Client::run_flushed(const Call& c) const {
  checked(post(0, 0, c, FLEXSC_QUEUE_FLUSH), "post");
  REQUIRE_EQ(flush(), 1);
  return take(0, 0);
}

long Client::wait(unsigned min, std::chrono::nanoseconds timeout, unsigned flags) const {
  const auto us = std::chrono::ceil<std::chrono::microseconds>(timeout).count();
  const bool forever = timeout < 0ns || us >= static_cast<long>(FLEXSC_WAIT_FOREVER);
  return command(fd(), FLEXSC_CMD_WAIT,
                 FLEXSC_WAIT(flags, min, forever ? FLEXSC_WAIT_FOREVER : static_cast<__u64>(us)));
}

long Client::cancel(unsigned page, unsigned bit) const {
  flexsc_cancel cancel{};
  cancel.size = sizeof cancel;
  cancel.page = page;
  cancel.bit = bit;
  return control(fd(), FLEXSC_IOC_CANCEL, &cancel);
}

long Client::cancel_fd(int of) const {
  flexsc_cancel cancel{};
  cancel.size = sizeof cancel;
  cancel.flags = FLEXSC_CANCEL_FD;
  cancel.fd = of;
  return control(fd(), FLEXSC_IOC_CANCEL, &cancel);
}

std::string name_of(By by) {
  return by == By::kWorker ? "Worker" : by == By::kHelp ? "Help" : "Flush";
}

void execute(const Client& client, By by, unsigned page, __u64 heads, __u64 all) {
  const auto missing = [&] { return std::popcount(all & ~client.completed(page)); };
  if (by == By::kFlush) {
    client.set(page, heads, FLEXSC_QUEUE_FLUSH);
    REQUIRE_EQ(client.flush(), std::popcount(heads));
    REQUIRE_EQ(missing(), 0);
    return;
  }
  const auto end = std::chrono::steady_clock::now() + kLong;
  const unsigned flags = by == By::kHelp ? FLEXSC_WAIT_HELP : 0;
  if (by == By::kHelp) {
    client.set(page, heads);
  } else {
    checked(client.submit(page, heads), "DOORBELL");
  }
  while (missing() != 0) {
    const auto wanted = client.completions() + static_cast<unsigned>(missing());
    const long result = client.wait(wanted, 1s, flags);
    if (result < 0 && result != -EINTR) checked(result, "WAIT");
    if (std::chrono::steady_clock::now() > end && missing() != 0) {
      throw Failure(std::to_string(missing()) + " entries were not completed");
    }
  }
}

std::vector<long> run_chain(const Client& client, By by, std::span<const Call> calls, unsigned page,
                            unsigned bit) {
  const __u64 all = client.fill_chain(page, bit, calls);
  execute(client, by, page, bit_of(bit), all);
  std::vector<long> results;
  for (unsigned i = 0; i < calls.size(); ++i) results.push_back(client.take(page, bit + i));
  return results;
}

Rig::Rig(const PoolOptions& options, unsigned pages)
    : client((checked(group.create_pool(options), "POOL_CREATE"), group), pages) {}

}  // namespace flexsc_guest
