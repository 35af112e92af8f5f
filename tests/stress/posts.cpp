// SPDX-License-Identifier: MIT
// What a process posts, and what must hold of it when it is complete.
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>
#include <string>

#include "life.hpp"

namespace flexsc_stress {

using flexsc_guest::call;
using flexsc_guest::Call;
using namespace std::chrono_literals;

namespace {

/// Only these can end a call that was posted and not made, or cut it off.
bool may_fail_with(long error) {
  return error == -ECANCELED || error == -ETIME || error == -EINTR || error == -ENOMEM ||
         error == -FLEXSC_E_STOPPED;
}

}  // namespace

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

}  // namespace flexsc_stress
