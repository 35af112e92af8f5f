// SPDX-License-Identifier: MIT
// The program flexsc on the real module: `flexsc stat` and `flexsc doctor`.
#include <sys/wait.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "process.hpp"

namespace flexsc_guest {
namespace {

using Json = nlohmann::json;

struct Ran {
  int status = -1;
  std::string output;
};

Ran run(const std::string& command) {
  Ran ran;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::array<char, 4096> some{};
  std::size_t got = 0;
  while ((got = std::fread(some.data(), 1, some.size(), pipe)) > 0)
    ran.output.append(some.data(), got);
  ran.status = WEXITSTATUS(::pclose(pipe));
  return ran;
}

class Tool : public GuestTest {
 protected:
  void SetUp() override {
    GuestTest::SetUp();
    if (IsSkipped()) return;
    if (module_file().empty()) GTEST_SKIP() << "the program is on the path in a guest only";
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  }
};

TEST_F(Tool, StatReportsRatesAsJson) {
  const SharedBoard board;
  Child busy([&] {
    const Rig rig;
    while (board->stage == 0) {
      REQUIRE_EQ(rig.client.run(SYS_getppid), ::getppid());
      ++board->count;
    }
  });
  const pid_t process = busy.pid();
  const Group other;
  ASSERT_TRUE(eventually([&] { return board->count > 0; }));
  const Ran ran =
      run("flexsc stat --json --count 5 --interval 0.5 --pid " + std::to_string(process));
  board->stage = 1;
  EXPECT_EQ(busy.join(), "exit 0");
  ASSERT_EQ(ran.status, 0) << ran.output;
  std::istringstream lines(ran.output);
  std::vector<Json> reports;
  for (std::string line; std::getline(lines, line);) reports.push_back(Json::parse(line));
  ASSERT_EQ(reports.size(), 5U);
  EXPECT_TRUE(reports[0]["interval_s"].is_null());
  for (const Json& report : reports) {
    ASSERT_EQ(report["groups"].size(), 1U) << "of the process that was named";
    const Json& group = report["groups"][0];
    EXPECT_EQ(group["process"], process);
    EXPECT_EQ(group["state"], "open");
    EXPECT_EQ(group["pools"].size(), 1U);
    EXPECT_EQ(group["clients"].size(), 1U);
  }
  double all = 0;  // on a busy machine the process may do nothing for half a second
  for (std::size_t i = 1; i < reports.size(); ++i) {
    const Json& now = reports[i]["groups"][0];
    const Json& before = reports[i - 1]["groups"][0];
    const double interval = reports[i]["interval_s"];
    EXPECT_GE(interval, 0.499) << "a rate of less than was asked for";
    const double executed = now["executed"].get<double>() - before["executed"].get<double>();
    all += executed;
    EXPECT_NEAR(now["per_second"]["executed"].get<double>() * interval, executed, 0.01);
    EXPECT_EQ(now["during"]["batch_size"].size(), executed > 0 ? 1U : 0U) << "one call at a time";
  }
  EXPECT_GT(all, 0);
}

TEST_F(Tool, StatForPeople) {
  const Rig rig({.cpus = CpuMask{1}});
  ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
  const Ran ran = run("flexsc stat --count 1 --clients");
  EXPECT_EQ(ran.status, 0);
  for (const char* part :
       {"counted since each was made", "run/all", "pool 0 on CPU 0", "client 0"}) {
    EXPECT_NE(ran.output.find(part), std::string::npos) << ran.output;
  }
  EXPECT_NE(ran.output.find("[" + std::to_string(::getpid()) + "] group "), std::string::npos)
      << ran.output;
}

TEST_F(Tool, StatIsForRoot) {
  EXPECT_EQ(in_child([&] {
              REQUIRE_EQ(::setresgid(kNobody, kNobody, kNobody), 0);
              REQUIRE_EQ(::setresuid(kNobody, kNobody, kNobody), 0);
              const Ran ran = run("flexsc stat --count 1");
              REQUIRE_EQ(ran.status, 1);
              REQUIRE(ran.output.find("as root") != std::string::npos);
            }),
            "exit 0");
}

TEST_F(Tool, DoctorIsContent) {
  const Ran ran = run("flexsc doctor");
  EXPECT_EQ(ran.status, 0) << ran.output;
  EXPECT_NE(ran.output.find("a call went through a kernel worker"), std::string::npos)
      << ran.output;
  EXPECT_EQ(ran.output.find("FAILED"), std::string::npos) << ran.output;
}

TEST_F(Tool, DoctorNamesAMissingPermission) {
  EXPECT_EQ(in_child([] {
              REQUIRE_EQ(::setresgid(kNobody, kNobody, kNobody), 0);
              REQUIRE_EQ(::setresuid(kNobody, kNobody, kNobody), 0);
              const Ran ran = run("flexsc doctor");
              REQUIRE_EQ(ran.status, 1);
              REQUIRE(ran.output.find("FAILED   permission") != std::string::npos);
              REQUIRE(ran.output.find("usermod -aG flexsc") != std::string::npos);
              REQUIRE(ran.output.find("ok       filter") != std::string::npos);
            }),
            "exit 0");
}

}  // namespace
}  // namespace flexsc_guest
