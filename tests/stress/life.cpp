// SPDX-License-Identifier: MIT
#include "life.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <string>

#include "passing.hpp"

namespace flexsc_stress {

using flexsc_guest::arg;
using flexsc_guest::call;
using flexsc_guest::Call;
using flexsc_guest::Client;
using flexsc_guest::Failure;
using flexsc_guest::Group;
using namespace std::chrono_literals;

namespace {

constexpr unsigned kMaxGroups = 3;
constexpr unsigned kMaxClients = 4;
constexpr unsigned kMaxPages = 3;

/// Only these can end a call that was posted and not made, or cut it off.
bool may_fail_with(long error) {
  return error == -ECANCELED || error == -ETIME || error == -EINTR || error == -ENOMEM ||
         error == -FLEXSC_E_STOPPED;
}

std::size_t count_in(const char* folder) {
  DIR* const entries = ::opendir(folder);
  if (entries == nullptr) return 0;
  std::size_t count = 0;
  while (const dirent* entry = ::readdir(entries)) count += entry->d_name[0] != '.' ? 1 : 0;
  ::closedir(entries);
  return count - (std::strcmp(folder, "/proc/self/fd") == 0 ? 1 : 0);
}

}  // namespace

std::size_t workers() {
  std::size_t count = 0;
  DIR* const threads = ::opendir("/proc/self/task");
  if (threads == nullptr) return 0;
  while (const dirent* entry = ::readdir(threads)) {
    if (entry->d_name[0] == '.') continue;
    std::ifstream name(std::string("/proc/self/task/") + entry->d_name + "/comm");
    std::string text;
    std::getline(name, text);
    count += text.rfind("flexsc-w", 0) == 0 ? 1 : 0;
  }
  ::closedir(threads);
  return count;
}

std::size_t open_descriptors() {
  return count_in("/proc/self/fd");
}

Life::Life(std::uint64_t seed, bool faulty)
    : random_(seed),
      company_seed_(seed ^ 0x5deece66dULL),
      faulty_(faulty),
      sink_(flexsc_guest::make_pipe()),
      source_(flexsc_guest::make_pipe()),
      never_(flexsc_guest::make_pipe(O_NONBLOCK)),
      buffer_(1 << 16),
      descriptors_(open_descriptors()) {}

Life::~Life() = default;

void Life::live(unsigned operations) {
  company_ = std::jthread([this](const std::stop_token& stop) { keep_company(stop); });
  for (unsigned i = 0; i < operations; ++i) {
    try {
      step();
    } catch (const Failure&) {
      // The module said no to a set-up: a signal, a limit, no memory. Nothing else throws it.
    }
    if (i % 64 == 63) settle();
  }
  settle();
  // Most ends leave the clearing up to the kernel.
  switch (random_.below(6)) {
    case 0:
      post();
      ::_exit(0);
    case 1:
      post();
      ::execl("/proc/self/exe", "flexsc-stress", "--nothing", nullptr);
      ::_exit(faulty_ ? 0 : 1);
    case 2:
      post();
      ::raise(SIGSEGV);
      break;
    case 3:
      // The last thread of the program leaves, and not the process.
      company_.request_stop();
      company_.join();
      post();
      flexsc_guest::direct(SYS_exit, 0);
      break;
    default:
      clean_end();
  }
}

void Life::step() {
  if (groups_.empty()) return make_group();
  if (mine_.empty()) return make_client();
  switch (random_.below(40)) {
    case 0:
      return make_group();
    case 1:
      return make_client();
    case 2:
      return drop_client();
    case 3:
    case 4:
      return change_pool();
    case 5:
    case 6:
      return cancel();
    case 7:
      return protect();
    case 8:
      return random_.one_in(8) ? fork_and_try() : post();
    case 9:
      return random_.one_in(4) ? leave_in_flight() : post();
    case 10:
    case 11:
    case 12:
      return post_illegal();
    case 13:
    case 14:
      return feed();
    default:
      post();
  }
  if (Mine* mine = any()) {
    switch (random_.below(8)) {
      case 0:
        mine->client->flush();
        break;
      case 1:
        mine->client->notify();
        break;
      case 2:
        mine->client->doorbell(random_.below(FLEXSC_MAX_POOLS + 1));
        break;
      case 3:
        mine->client->wait(random_.below(3), std::chrono::microseconds(random_.below(500)),
                           random_.below(4));
        break;
      default:
        reap(*mine);
    }
  }
}

void Life::make_group() {
  if (groups_.size() == kMaxGroups) {
    // The oldest goes, with everything that is on its way.
    const std::size_t gone = random_.below(static_cast<unsigned>(groups_.size()));
    if (!groups_[gone]) return;
    groups_[gone]->close();
    return;
  }
  groups_.push_back(std::make_unique<Group>());
  pools_.push_back(0);
  const unsigned pools = random_.below(3) + 1;
  for (unsigned i = 0; i < pools; ++i) {
    const long made = groups_.back()->create_pool({.concurrency = random_.below(3) + 1,
                                                   .standby_max = random_.below(16),
                                                   .spin_us = random_.below(2) * 50});
    if (made >= 0) ++pools_.back();
  }
}

void Life::make_client() {
  if (mine_.size() == kMaxClients) return;
  const std::size_t group = random_.below(static_cast<unsigned>(groups_.size()));
  const unsigned pages = random_.below(kMaxPages) + 1;
  Mine mine;
  mine.client = std::make_shared<Client>(*groups_[group], pages);
  mine.group = group;
  mine.kinds.resize(pages);
  for (auto& page : mine.kinds) page.fill(Kind::kFree);
  mine_.push_back(std::move(mine));
  share();
}

/// Its pages go under the workers, or its descriptor, or first one and then the other. What was on
/// its way cannot be looked at any more; it may have been written or not, so all is settled before.
void Life::drop_client() {
  settle();
  if (mine_.empty()) return;
  const std::size_t at = random_.below(static_cast<unsigned>(mine_.size()));
  const std::shared_ptr<Client> client = mine_[at].client;
  mine_.erase(mine_.begin() + static_cast<std::ptrdiff_t>(at));
  share();
  static char bytes[8];
  client->fill(0, 0, call(SYS_read, source_.reader.get(), bytes, 1));
  client->fill(0, 1, call(SYS_getppid));
  client->submit(0, 3);
  if (random_.one_in(2)) {
    client->unmap();
  } else {
    ::mprotect(client->base(), client->bytes(), PROT_NONE);
  }
  client->close();
  feed();
}

void Life::change_pool() {
  const std::size_t group = random_.below(static_cast<unsigned>(groups_.size()));
  const std::vector<unsigned char> cpus{static_cast<unsigned char>(random_.below(4))};
  flexsc_guest::PoolChange change{.concurrency = random_.below(4),
                                  .standby_max = random_.below(8),
                                  .spin_us = random_.below(2) * 100};
  if (random_.one_in(3)) change.cpus = cpus;
  if (random_.one_in(4)) change.sched = {random_.below(6), static_cast<int>(random_.below(30)) - 5};
  (void)groups_[group]->update_pool(random_.below(4), change);
}

Life::Mine* Life::any() {
  if (mine_.empty()) return nullptr;
  return &mine_[random_.below(static_cast<unsigned>(mine_.size()))];
}

/// Consecutive free entries.
bool Life::place(Mine& mine, unsigned count, unsigned& page, unsigned& bit) {
  page = random_.below(mine.client->pages());
  bit = random_.below(FLEXSC_PAGE_ENTRIES - count + 1);
  for (unsigned i = 0; i < count; ++i) {
    if (mine.kinds[page][bit + i] != Kind::kFree) return false;
  }
  return true;
}

Call Life::random_call(Kind& kind) {
  static constexpr timespec kNap{0, 300'000};
  static pollfd watched{-1, POLLIN, 0};
  kind = Kind::kPlain;
  switch (random_.below(14)) {
    case 0:
    case 1:
    case 2:
      kind = Kind::kSink;
      return call(SYS_write, sink_.writer.get(), buffer_.data(), 1);
    case 3:
      return call(SYS_read, source_.reader.get(), buffer_.data(), 1);
    case 4:
      return call(SYS_read, never_.reader.get(), buffer_.data(), 1);
    case 5:
      return call(SYS_nanosleep, &kNap, nullptr);
    case 6:
      kind = Kind::kOpens;
      return call(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0);
    case 7:
      kind = Kind::kCloses;
      return call(SYS_close, ::fcntl(never_.reader.get(), F_DUPFD_CLOEXEC, 200));
    case 8:
      return call(SYS_poll, &watched, 1, random_.below(2));
    case 9:
      return call(SYS_fcntl, sink_.reader.get(), F_GETFL);
    case 10:
      return call(SYS_munmap, ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
                  4096);
    case 11:
      return call(SYS_gettid);
    default:
      return call(SYS_getppid);
  }
}

void Life::post() {
  Mine* const mine = any();
  if (mine == nullptr) return;
  const unsigned length = random_.one_in(4) ? random_.below(5) + 1 : 1;
  unsigned page = 0;
  unsigned bit = 0;
  if (!place(*mine, length, page, bit)) return;
  std::vector<Call> calls;
  for (unsigned i = 0; i < length; ++i) {
    calls.push_back(random_call(mine->kinds[page][bit + i]));
    if (length > 1 && random_.one_in(4)) calls.back() = calls.back().with(FLEXSC_ENTRY_GO_ON);
  }
  if (random_.one_in(8)) {
    calls[0] =
        calls[0].until(flexsc_guest::from_now(std::chrono::microseconds(random_.below(3000))));
  }
  mine->client->fill_chain(page, bit, calls);
  const unsigned pools = pools_[mine->group];
  // Without a pool, there is the flush.
  const unsigned queue =
      pools == 0 || random_.one_in(5) ? unsigned{FLEXSC_QUEUE_FLUSH} : random_.below(pools);
  const __u64 head = __u64{1} << bit;
  if (random_.one_in(4)) {
    mine->client->set(page, head, queue);  // whoever looks finds it
  } else {
    mine->client->submit(page, head, queue);
  }
}

/// What breaks a rule gets an error of its own, and is not made.
void Life::post_illegal() {
  static constexpr std::array<long, 8> kRefused{SYS_exit_group, SYS_fork,    SYS_execve,
                                                SYS_setuid,     SYS_unshare, SYS_rt_sigreturn,
                                                SYS_seccomp,    511};
  Mine* const mine = any();
  unsigned page = 0;
  unsigned bit = 0;
  if (mine == nullptr || pools_[mine->group] == 0 || !place(*mine, 1, page, bit)) return;
  Call bad = call(kRefused[random_.below(kRefused.size())], 0, 0, 0);
  switch (random_.below(4)) {
    case 0:
      bad.flags = static_cast<__u16>(FLEXSC_ENTRY_FLAGS + 1) << random_.below(8);
      break;
    case 1:
      bad = call(SYS_getppid);
      bad.from = static_cast<__u16>(1 + random_.below(0xffff));
      break;
    case 2:
      bad.nr = 512 + random_.below(1U << 30);
      break;
    default:
      break;
  }
  mine->kinds[page][bit] = Kind::kPlain;
  mine->client->fill(page, bit, bad);
  mine->client->submit(page, __u64{1} << bit, random_.below(pools_[mine->group]));
  // An ioctl of random bytes.
  std::array<__u32, 16> bytes{};
  for (auto& word : bytes) word = random_.one_in(2) ? random_.below(64) : random_.below(0xffffffff);
  const unsigned number = random_.below(20);
  // POOL_CREATE and CLIENT_CREATE with such bytes would leave things that are not ours to follow.
  if (number != 2 && number != 3) {
    const int fd = random_.one_in(2) ? mine->client->fd() : groups_[mine->group]->fd();
    if (number != 16) flexsc_guest::control(fd, _IO(FLEXSC_IOC_MAGIC, number), bytes.data());
    flexsc_guest::direct(SYS_lseek, mine->client->fd(),
                         static_cast<long>(FLEXSC_CMD(5 + random_.below(100), random_.below(9))),
                         SEEK_SET);
  }
}

void Life::cancel() {
  Mine* const mine = any();
  if (mine == nullptr) return;
  if (random_.one_in(4)) {
    (void)mine->client->cancel_fd(source_.reader.get());
  } else {
    (void)mine->client->cancel(random_.below(mine->client->pages()), random_.below(64));
  }
}

void Life::protect() {
  Mine* const mine = any();
  if (mine == nullptr) return;
  // The company only makes commands. Whatever happens to the mapping, the kernel has its own.
  ::mprotect(mine->client->base(), mine->client->bytes(), PROT_READ);
  mine->client->doorbell(0);
  ::mprotect(mine->client->base(), mine->client->bytes(), PROT_READ | PROT_WRITE);
}

/// A child has neither the pages nor a descriptor that works.
void Life::fork_and_try() {
  Mine* const mine = any();
  if (mine == nullptr) return;
  const pid_t child = ::fork();
  if (child == 0) {
    unsigned char resident = 0;
    if (mine->client->flush() != -EPERM || mine->client->cancel(0, 0) != -EPERM) ::_exit(1);
    if (::mincore(mine->client->base(), 1, &resident) != -1) ::_exit(2);
    flexsc_query query{};
    query.size = sizeof query;
    const long asked = flexsc_guest::control(groups_[mine->group]->fd(), FLEXSC_IOC_QUERY, &query);
    ::_exit(asked == -EPERM || asked == -EBADF ? 0 : 3);
  }
  if (child < 0) return;
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
    throw Violation("a child could use its parent's group: " + std::to_string(WEXITSTATUS(status)));
  }
}

/// The descriptor of a client, in a message that nobody will receive: with it goes the socket that
/// would receive it, so that only the kernel's search for such circles frees them.
void Life::leave_in_flight() {
  Mine* const mine = any();
  if (mine == nullptr) return;
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return;
  flexsc_guest::send_fds(ends[0], std::array{mine->client->fd(), ends[1]},
                         MSG_DONTWAIT | MSG_NOSIGNAL);
  ::close(ends[0]);
  ::close(ends[1]);
}

void Life::feed() {
  if (flexsc_guest::readable(source_.reader) < 1000) {
    [[maybe_unused]] const auto n = ::write(source_.writer.get(), buffer_.data(), 16);
  }
}

/// Takes what is complete, and judges it.
void Life::reap(Mine& mine) {
  for (unsigned page = 0; page < mine.client->pages(); ++page) {
    __u64 bits = mine.client->completed(page);
    while (bits != 0) {
      const auto bit = static_cast<unsigned>(std::countr_zero(bits));
      bits &= bits - 1;
      Kind& kind = mine.kinds[page][bit];
      const std::string where = "entry (" + std::to_string(page) + ", " + std::to_string(bit) + ")";
      if (kind == Kind::kFree) throw Violation(where + " is complete and was not posted");
      const long result = mine.client->take(page, bit);
      if (result <= -512 && result >= -516) throw Violation(where + " got a restart code");
      if (result == 0x5e5e5e5e5e5e5e5e) throw Violation(where + " is complete without a result");
      if (kind == Kind::kSink) {
        if (result == 1) {
          ++written_;
        } else if (!may_fail_with(result) && result != -FLEXSC_E_CALLER_ONLY) {
          throw Violation(where + ": write returned " + std::to_string(result));
        }
      } else if (kind == Kind::kOpens && result >= 0) {
        ::close(static_cast<int>(result));
      } else if (kind == Kind::kCloses && result != 0) {
        ::close(static_cast<int>(mine.client->entry(page, bit).args[0]));  // it was not made
      }
      kind = Kind::kFree;
    }
  }
}

unsigned Life::in_flight(const Mine& mine) const {
  unsigned count = 0;
  for (const auto& page : mine.kinds) {
    for (const Kind kind : page) count += kind != Kind::kFree ? 1U : 0U;
  }
  return count;
}

/// A stopped group leaves posted what it has not claimed. Entries of a chain go with their head.
void Life::take_back(Mine& mine) {
  for (unsigned queue = 0; queue < FLEXSC_QUEUES; ++queue) {
    for (unsigned page = 0; page < mine.client->pages(); ++page) {
      __u64 bits = std::atomic_ref(mine.client->header().submission[queue].page[page]).exchange(0);
      while (bits != 0) {
        auto bit = static_cast<unsigned>(std::countr_zero(bits));
        bits &= bits - 1;
        bool linked = true;
        for (; linked && bit < FLEXSC_PAGE_ENTRIES; ++bit) {
          linked = (mine.client->entry(page, bit).flags & FLEXSC_ENTRY_LINK) != 0;
          if (mine.kinds[page][bit] == Kind::kCloses) {
            ::close(static_cast<int>(mine.client->entry(page, bit).args[0]));
          }
          mine.kinds[page][bit] = Kind::kFree;
        }
      }
    }
  }
}

/// Everything that is on its way comes to its end, once; what the sink got is what was reported.
void Life::settle() {
  const auto end = std::chrono::steady_clock::now() + flexsc_guest::kLong;
  for (bool all = false; !all;) {
    all = true;
    feed();
    for (Mine& mine : mine_) {
      for (unsigned pool = 0; pool < pools_[mine.group]; ++pool) mine.client->doorbell(pool);
      mine.client->flush();
      if (mine.client->state() != FLEXSC_STATE_OPEN) take_back(mine);
      reap(mine);
      const unsigned left = in_flight(mine);
      if (left == 0) continue;
      all = false;
      mine.client->wait(1, 1ms);
      if (std::chrono::steady_clock::now() > end) {
        throw Violation(std::to_string(left) + " entries are not completed, state " +
                        std::to_string(mine.client->state()));
      }
    }
  }
  const auto got = static_cast<long>(flexsc_guest::drain(sink_).size());
  if (got != written_) {
    throw Violation("the sink got " + std::to_string(got) + " bytes, results say " +
                    std::to_string(written_));
  }
  written_ = 0;
  // Groups that were closed are of no use any more.
  for (std::size_t i = 0; i < mine_.size();) {
    if (mine_[i].client->state() == FLEXSC_STATE_OPEN) {
      ++i;
    } else {
      mine_.erase(mine_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  share();
  if (mine_.empty() && groups_.size() == kMaxGroups) {
    groups_.clear();
    pools_.clear();
  }
}

void Life::clean_end() {
  company_.request_stop();
  company_.join();
  mine_.clear();
  shared_.clear();
  groups_.clear();
  if (!flexsc_guest::eventually([] { return workers() == 0; })) {
    throw Violation(std::to_string(workers()) + " workers are left");
  }
  // Task work and the collection of descriptors in flight take a moment.
  if (!flexsc_guest::eventually([&] { return open_descriptors() <= descriptors_; })) {
    throw Violation(std::to_string(open_descriptors()) + " descriptors are open, there were " +
                    std::to_string(descriptors_));
  }
}

void Life::share() {
  const std::lock_guard lock(mutex_);
  shared_.assign(mine_.begin(), mine_.end());
}

/// Another thread, which makes commands and never looks at entries.
void Life::keep_company(const std::stop_token& stop) {
  Random random(company_seed_);
  while (!stop.stop_requested()) {
    Shared with;
    {
      const std::lock_guard lock(mutex_);
      if (!shared_.empty()) with = shared_[random.below(static_cast<unsigned>(shared_.size()))];
    }
    if (with.client) {
      switch (random.below(6)) {
        case 0:
          with.client->flush();
          break;
        case 1:
          with.client->notify();
          break;
        case 2:
          (void)with.client->cancel(0, random.below(64));
          break;
        case 3:
          with.client->doorbell(random.below(3));
          break;
        default:
          with.client->wait(random.below(4), std::chrono::microseconds(random.below(800)),
                            random.below(4));
      }
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random.below(400)));
  }
}

}  // namespace flexsc_stress
