// SPDX-License-Identifier: MIT
// /sys/kernel/debug/flexsc/groups: what is in it, for whom, and reading it while groups come and
// go.
#include <sys/prctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <map>
#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

/// One line: its first word, and its keys.
struct Record {
  std::string kind;
  std::map<std::string, std::string> keys;

  [[nodiscard]] const std::string& at(const std::string& key) const {
    const auto found = keys.find(key);
    if (found == keys.end()) throw Failure(kind + " has no " + key);
    return found->second;
  }
  [[nodiscard]] __u64 number(const std::string& key) const { return std::stoull(at(key)); }
};

std::vector<Record> parse(const std::string& text) {
  REQUIRE(text.ends_with('\n'));
  std::vector<Record> records;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    Record record;
    words >> record.kind;
    for (std::string word; words >> word;) {
      const auto equals = word.find('=');
      if (equals == std::string::npos) throw Failure("not a key and its value: " + word);
      REQUIRE(record.keys.emplace(word.substr(0, equals), word.substr(equals + 1)).second);
    }
    records.push_back(std::move(record));
  }
  REQUIRE(!records.empty());
  REQUIRE_EQ(records[0].kind, "flexsc");
  return records;
}

std::string read_some(const Fd& fd, std::size_t bytes) {
  std::string text(bytes, '\0');
  const ssize_t got = ::read(fd.get(), text.data(), text.size());
  REQUIRE(got >= 0);
  text.resize(static_cast<std::size_t>(got));
  return text;
}

Fd open_groups() {
  Fd fd(::open(kGroups, O_RDONLY | O_CLOEXEC));
  REQUIRE(fd.get() >= 0);
  return fd;
}

std::string read_rest(const Fd& fd, std::size_t step) {
  std::string all;
  for (;;) {
    const std::string some = read_some(fd, step);
    if (some.empty()) return all;
    all += some;
  }
}

std::vector<Record> groups(std::size_t step = 4096) {
  return parse(read_rest(open_groups(), step));
}

std::vector<Record> of_kind(const std::vector<Record>& records, const std::string& kind) {
  std::vector<Record> found;
  std::copy_if(records.begin(), records.end(), std::back_inserter(found),
               [&](const Record& record) { return record.kind == kind; });
  return found;
}

std::vector<Record> groups_of(const std::vector<Record>& records, pid_t process) {
  std::vector<Record> found = of_kind(records, "group");
  std::erase_if(found, [&](const Record& record) {
    return record.number("process") != static_cast<__u64>(process);
  });
  return found;
}

/// The records of pools or clients of a group.
std::vector<Record> parts_of(const std::vector<Record>& records, const std::string& kind,
                             const std::string& group) {
  std::vector<Record> found = of_kind(records, kind);
  std::erase_if(found, [&](const Record& record) { return record.at("group") != group; });
  return found;
}

class Debugfs : public GuestTest {
 protected:
  void SetUp() override {
    GuestTest::SetUp();
    if (IsSkipped()) return;
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    if (::access("/sys/kernel/debug/tracing", F_OK) != 0) GTEST_SKIP() << "debugfs is not mounted";
  }
};

TEST_F(Debugfs, NoGroupsNoRecords) {
  const std::vector<Record> records = groups();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].number("format"), 1U);
  EXPECT_EQ(records[0].number("abi"), __u64{FLEXSC_ABI_VERSION});
}

TEST_F(Debugfs, ForRootOnly) {
  struct stat file {};
  ASSERT_EQ(::stat(kGroups, &file), 0);
  EXPECT_EQ(file.st_mode, mode_t{S_IFREG | 0400});
  EXPECT_EQ(file.st_uid, 0U);
  EXPECT_EQ(in_child([] {
              REQUIRE_EQ(::setresuid(kNobody, kNobody, kNobody), 0);
              REQUIRE_EQ(::open(kGroups, O_RDONLY), -1);
              REQUIRE_EQ(errno, EACCES);
            }),
            "exit 0");
}

void expect_counters(const Record& record, const flexsc_stats& stats) {
  const std::pair<const char*, __u64> counters[] = {{"executed", stats.executed},
                                                    {"helped", stats.helped},
                                                    {"flushed", stats.flushed},
                                                    {"refused", stats.refused},
                                                    {"stopped", stats.stopped},
                                                    {"cancelled", stats.cancelled},
                                                    {"timed_out", stats.timed_out},
                                                    {"batches", stats.batches},
                                                    {"armed", stats.armed},
                                                    {"blocked", stats.blocked},
                                                    {"handed_back", stats.handed_back},
                                                    {"parks", stats.parks},
                                                    {"doorbells", stats.doorbells},
                                                    {"wakes", stats.wakes},
                                                    {"waits", stats.waits},
                                                    {"flushes", stats.flushes},
                                                    {"waiting", stats.waiting}};
  for (const auto& [key, value] : counters) {
    EXPECT_EQ(record.number(key), value) << record.kind << " " << key;
  }
  const auto histogram = [](std::span<const __u64> buckets) {
    std::string text;
    for (std::size_t i = 0; i < buckets.size(); ++i) {
      if (buckets[i] == 0) continue;
      text +=
          (text.empty() ? "" : ",") + std::to_string(1ULL << i) + ":" + std::to_string(buckets[i]);
    }
    return text;
  };
  EXPECT_EQ(record.at("batch_size"), histogram(stats.batch_size)) << record.kind;
  EXPECT_EQ(record.at("latency_ns"), histogram(stats.latency)) << record.kind;
}

// The owner sees the same numbers by the ioctl.
TEST_F(Debugfs, RecordsSayWhatTheIoctlSays) {
  Rig rig = sleeping_rig({.concurrency = 3,
                          .standby_max = 7,
                          .spin_us = 0,
                          .sched = Scheduling{SCHED_BATCH, 5},
                          .cpus = CpuMask{1}});
  const Client second(rig.group, 2);
  const Pipe pipe = make_pipe();
  char byte = 0;
  wait_in_read(rig.client, 0, 9, pipe, &byte);
  ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
  ASSERT_EQ(rig.client.run_flushed(call(SYS_getppid)), ::getppid());
  ASSERT_EQ(second.run(SYS_fork), -FLEXSC_E_REFUSED);
  // Idle, so that nothing is counted between the two looks.
  ASSERT_TRUE(
      eventually([&] { return groups_of(groups(), ::getpid())[0].number("running") == 0; }));

  const std::vector<Record> records = groups();
  const std::vector<Record> mine = groups_of(records, ::getpid());
  ASSERT_EQ(mine.size(), 1U);
  const Record& group = mine[0];
  EXPECT_EQ(group.number("thread"), static_cast<__u64>(::gettid()));
  EXPECT_EQ(group.at("state"), "open");
  EXPECT_EQ(group.number("pools"), 1U);
  EXPECT_EQ(group.number("clients"), 2U);
  expect_counters(group, rig.group.stats());
  EXPECT_EQ(group.number("waiting"), 1U);
  EXPECT_EQ(group.number("flushed"), 1U);
  EXPECT_GE(group.number("refused"), 1U);

  const std::vector<Record> pools = parts_of(records, "pool", group.at("id"));
  ASSERT_EQ(pools.size(), 1U);
  const Record& pool = pools[0];
  EXPECT_EQ(pool.number("index"), 0U);
  EXPECT_EQ(pool.at("cpus"), "0");
  EXPECT_EQ(pool.at("policy"), "batch");
  EXPECT_EQ(pool.at("priority"), "5");
  EXPECT_EQ(pool.number("concurrency"), 3U);
  EXPECT_EQ(pool.number("max_workers"), 10U);
  EXPECT_EQ(pool.number("spin_us"), 0U);
  EXPECT_EQ(pool.number("asleep"), 1U);
  EXPECT_EQ(pool.number("workers"), workers_of(::getpid()).size());
  EXPECT_EQ(pool.number("parked"), pool.number("workers"));
  EXPECT_EQ(pool.number("blocked_now"), 0U);
  expect_counters(pool, rig.group.stats(FLEXSC_STATS_POOL, 0));

  const std::vector<Record> clients = parts_of(records, "client", group.at("id"));
  ASSERT_EQ(clients.size(), 2U);
  EXPECT_EQ(clients[0].number("pages"), 1U);
  EXPECT_EQ(clients[1].number("pages"), 2U);
  expect_counters(clients[0],
                  rig.group.stats(FLEXSC_STATS_CLIENT, static_cast<__u32>(rig.client.fd())));
  expect_counters(clients[1],
                  rig.group.stats(FLEXSC_STATS_CLIENT, static_cast<__u32>(second.fd())));

  ASSERT_EQ(rig.group.update_pool(0, {.spin_us = 30}), 0);
  EXPECT_EQ(of_kind(groups(), "pool")[0].number("spin_us"), 30U);
  put(pipe.writer, "x");
  EXPECT_EQ(rig.client.await(0, 9), 1);
}

TEST_F(Debugfs, BlockedWorkersAreToldApart) {
  const Rig rig({.concurrency = 1, .spin_us = 0});
  const Pipe pipe = make_pipe();
  pollfd watched{};
  block_in_poll(rig.client, 0, 3, pipe, &watched);
  EXPECT_TRUE(eventually([] { return of_kind(groups(), "pool")[0].number("blocked_now") == 1; }));
  put(pipe.writer, "x");
  EXPECT_EQ(rig.client.await(0, 3), 1);
  EXPECT_TRUE(eventually([] { return of_kind(groups(), "pool")[0].number("blocked_now") == 0; }));
}

// A process that names itself after a record must not be able to make one up.
TEST_F(Debugfs, NamesAreEscaped) {
  EXPECT_EQ(in_child([] {
              REQUIRE_EQ(::prctl(PR_SET_NAME, "a b\ngroup\\\033x\xe9"), 0);
              const Rig rig;
              const std::vector<Record> mine = groups_of(groups(), ::getpid());
              REQUIRE_EQ(mine.size(), 1U);
              REQUIRE_EQ(mine[0].at("name"), "a\\040b\\012group\\134\\033x\\351");
            }),
            "exit 0");
}

TEST_F(Debugfs, StatesHaveNames) {
  EXPECT_EQ(in_child([] {
              const Rig rig;
              REQUIRE_EQ(rig.client.run(SYS_getppid), ::getppid());
              REQUIRE_EQ(::setresgid(100, 100, 100), 0);
              rig.client.fill(0, 0, call(SYS_getppid));
              rig.client.submit(0, 1);
              REQUIRE(eventually([&] { return rig.client.state() != FLEXSC_STATE_OPEN; }));
              const std::vector<Record> mine = groups_of(groups(), ::getpid());
              REQUIRE_EQ(mine.size(), 1U);
              REQUIRE_EQ(mine[0].at("state"), "credentials");
            }),
            "exit 0");
}

// With every size of read and with gaps among the clients, each record is there once, in order.
TEST_F(Debugfs, AnyStepGivesTheSameText) {
  const Rig first, second;
  std::vector<std::unique_ptr<Client>> clients;
  clients.reserve(40);
  for (int i = 0; i < 40; ++i) clients.push_back(std::make_unique<Client>(first.group));
  for (unsigned i = 0; i < clients.size(); i += 2) clients[i].reset();
  const auto shape = [](const std::vector<Record>& records) {
    std::string text;
    for (const Record& record : records) {
      text += record.kind;
      for (const char* key : {"id", "group", "index"}) {
        if (record.keys.contains(key)) text += " " + record.at(key);
      }
      text += "\n";
    }
    return text;
  };
  const std::vector<Record> whole = groups(1 << 20);
  EXPECT_EQ(of_kind(whole, "client").size(), 22U);
  EXPECT_EQ(of_kind(whole, "group").size(), 2U);
  EXPECT_EQ(of_kind(whole, "pool").size(), 2U);
  for (const std::size_t step : {1U, 100U, 5000U}) {
    EXPECT_EQ(shape(groups(step)), shape(whole)) << "step " << step;
  }
  // And again from the start, on the same descriptor.
  const Fd fd = open_groups();
  const std::string once = read_rest(fd, 4096);
  ASSERT_EQ(::lseek(fd.get(), 0, SEEK_SET), 0);
  EXPECT_EQ(shape(parse(read_rest(fd, 4096))), shape(parse(once)));
}

// What is read ends, whatever is opened meanwhile.
TEST_F(Debugfs, AReadingEndsWithTheGroupsThereWereAtItsStart) {
  const Group old;
  const Fd fd = open_groups();
  std::string text = read_some(fd, 1);
  std::vector<std::unique_ptr<Group>> later;
  for (;;) {
    later.push_back(std::make_unique<Group>());
    const std::string some = read_some(fd, 100);
    if (some.empty()) break;
    text += some;
    ASSERT_LT(later.size(), 1000U);
  }
  EXPECT_EQ(of_kind(parse(text), "group").size(), 1U);
  EXPECT_EQ(of_kind(groups(), "group").size(), 1 + later.size());
}

// The reader may be anywhere in the records of a process that is killed, and hold the last
// reference to what it has just shown.
TEST_F(Debugfs, KilledInTheMiddleOfAReading) {
  const Rig mine;
  for (std::size_t part = 1; part < 6000; part += 450) {
    const SharedBoard board;
    Child child([&] {
      const Rig rig({.concurrency = 2});
      const Waiters waiters(rig.client, 0, 4);
      const Client second(rig.group);
      board->stage = 1;
      ::pause();
    });
    ASSERT_TRUE(eventually([&] { return board->stage == 1; }));
    const pid_t process = child.pid();
    ASSERT_EQ(groups_of(groups(), process).size(), 1U);
    const Fd fd = open_groups();
    std::string text = read_some(fd, part);
    child.kill(SIGKILL);
    ASSERT_EQ(child.join(), "signal 9");
    text += read_rest(fd, 512);
    const std::vector<Record> records = parse(text);
    ASSERT_EQ(groups_of(records, ::getpid()).size(), 1U);
    EXPECT_TRUE(groups_of(groups(), process).empty());
  }
}

// Two processes open, use, close and die as fast as they can; what stays is in every reading once.
TEST_F(Debugfs, ReadWhileGroupsComeAndGo) {
  const SharedBoard board;
  const Rig mine;
  const std::string name = groups_of(groups(), ::getpid())[0].at("id");
  Child opener([&] {
    while (board->stage == 0) {
      const Rig rig({.concurrency = 2, .spin_us = 0}, 2);
      std::vector<std::unique_ptr<Client>> clients;
      clients.reserve(5);
      for (int i = 0; i < 5; ++i) clients.push_back(std::make_unique<Client>(rig.group));
      REQUIRE_EQ(rig.client.run(SYS_getppid), ::getppid());
      clients.erase(clients.begin() + 1);
      ++board->count;
    }
  });
  Child forker([&] {
    while (board->stage == 0) {
      REQUIRE_EQ(in_child([] {
                   const Rig rig;
                   const Waiters waiters(rig.client, 0, 2);
                   ::kill(::getpid(), SIGKILL);
                 }),
                 "signal 9");
      ++board->value;
    }
  });
  bool seen_others = false;
  for (int round = 0; round < 200 || board->count < 20 || board->value < 5; ++round) {
    const std::vector<Record> records = groups(static_cast<std::size_t>(64 + round * 37 % 4096));
    ASSERT_EQ(groups_of(records, ::getpid()).size(), 1U);
    ASSERT_EQ(parts_of(records, "pool", name).size(), 1U);
    ASSERT_EQ(parts_of(records, "client", name).size(), 1U);
    seen_others = seen_others || of_kind(records, "group").size() > 1;
    ASSERT_LT(round, 100000) << "nobody comes and goes";
  }
  EXPECT_TRUE(seen_others);
  board->stage = 1;
  EXPECT_EQ(opener.join(), "exit 0");
  EXPECT_EQ(forker.join(), "exit 0");
  EXPECT_EQ(of_kind(groups(), "group").size(), 1U);
}

}  // namespace
}  // namespace flexsc_guest
