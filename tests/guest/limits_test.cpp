// SPDX-License-Identifier: MIT
// What a user may have of everything, over all of its processes.
#include <sys/stat.h>

#include <memory>

#include "process.hpp"

namespace flexsc_guest {
namespace {

constexpr uid_t kOther = 4711;

class Limits : public GuestTest {
 protected:
  void SetUp() override {
    GuestTest::SetUp();
    if (!IsSkipped() && ::geteuid() != 0) GTEST_SKIP() << "needs root: changes parameters";
  }

  /// A parameter of the module, for as long as it lives.
  class Limit {
   public:
    Limit(const std::string& name, const std::string& value)
        : path_("/sys/module/flexsc/parameters/" + name), before_(read_file(path_)) {
      REQUIRE(write_file(path_, value));
    }
    Limit(const Limit&) = delete;
    Limit& operator=(const Limit&) = delete;
    ~Limit() { write_file(path_, before_); }

   private:
    std::string path_, before_;
  };

  static long open_group() {
    const long fd = direct(SYS_openat, AT_FDCWD, FLEXSC_DEVICE, O_RDWR | O_CLOEXEC, 0);
    if (fd >= 0) ::close(static_cast<int>(fd));
    return fd >= 0 ? 0 : fd;
  }
  static long create_client(const Group& group, unsigned pages) {
    flexsc_client_params params{};
    params.size = sizeof params;
    params.nr_pages = pages;
    const long fd = control(group.fd(), FLEXSC_IOC_CLIENT_CREATE, &params);
    if (fd >= 0) ::close(static_cast<int>(fd));
    return fd >= 0 ? 0 : fd;
  }
};

// The groups of tests before may take a moment to go: their workers hold them.
TEST_F(Limits, Groups) {
  const Limit limit("user_groups", "2");
  const Group first;
  EXPECT_TRUE(eventually([] { return open_group() == 0; }));
  {
    const Group second;
    EXPECT_EQ(open_group(), -EUSERS);
    EXPECT_EQ(in_child([] { REQUIRE_EQ(open_group(), -EUSERS); }), "exit 0") << "one user";
  }
  EXPECT_TRUE(eventually([] { return open_group() == 0; })) << "one was closed";
}

TEST_F(Limits, OtherUsersHaveTheirOwn) {
  struct stat node {};
  ASSERT_EQ(::stat(FLEXSC_DEVICE, &node), 0);
  ASSERT_EQ(::chmod(FLEXSC_DEVICE, 0666), 0);
  const Limit limit("user_groups", "1");
  const Group first;
  EXPECT_EQ(open_group(), -EUSERS);
  EXPECT_EQ(in_child([] {
              REQUIRE_EQ(::setresuid(kOther, kOther, kOther), 0);
              const Group own;
              REQUIRE_EQ(open_group(), -EUSERS);
            }),
            "exit 0");
  // It is the real user that counts: another effective one is no way around.
  EXPECT_EQ(in_child([] {
              REQUIRE_EQ(::setresuid(-1U, kOther, -1U), 0);
              REQUIRE_EQ(open_group(), -EUSERS);
            }),
            "exit 0");
  ::chmod(FLEXSC_DEVICE, node.st_mode & 07777);
}

TEST_F(Limits, ClientsAndTheirPages) {
  constexpr unsigned kHeaderPages = FLEXSC_HEADER_BYTES / FLEXSC_PAGE_BYTES;
  const Group group;
  {
    const Limit limit("user_clients", "1");
    EXPECT_TRUE(eventually([&] { return create_client(group, 1) == 0; }));
    auto client = std::make_unique<Client>(group);
    EXPECT_EQ(create_client(group, 1), -EUSERS);
    client.reset();
    EXPECT_EQ(create_client(group, 1), 0);
  }
  const Limit limit("user_pages", std::to_string(kHeaderPages + 3));
  EXPECT_EQ(create_client(group, 4), -EUSERS);
  EXPECT_EQ(create_client(group, 3), 0);
  auto client = std::make_unique<Client>(group);
  EXPECT_EQ(create_client(group, 1), -EUSERS);
  client.reset();
  EXPECT_EQ(create_client(group, 3), 0) << "all were given back";
}

TEST_F(Limits, Workers) {
  const Limit limit("user_workers", "1");
  const Group group;
  flexsc_pool_params params = pool_params({.spin_us = 0});
  ASSERT_TRUE(
      eventually([&] { return control(group.fd(), FLEXSC_IOC_POOL_CREATE, &params) == 0; }));
  EXPECT_EQ(control(group.fd(), FLEXSC_IOC_POOL_CREATE, &params), -EAGAIN);
  EXPECT_EQ(group.stats().workers, 1U);
  // One worker without a spare: what it sleeps in is awaited, and then it goes on.
  const Client client(group);
  const timespec nap{0, 50'000'000};
  ASSERT_EQ(client.post(0, 0, call(SYS_nanosleep, &nap, nullptr)), 0);
  EXPECT_EQ(client.post(0, 1, call(SYS_getppid)), 0);
  EXPECT_EQ(client.await(0, 1), ::getppid());
  EXPECT_EQ(client.await(0, 0), 0);
  EXPECT_EQ(group.stats().workers, 1U);
}

// A user that may have nothing has nothing.
TEST_F(Limits, Zero) {
  const Limit limit("user_groups", "0");
  EXPECT_EQ(open_group(), -EUSERS);
}

}  // namespace
}  // namespace flexsc_guest
