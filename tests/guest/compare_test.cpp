// SPDX-License-Identifier: MIT
// FLEXSC_NR_COMPARE: the condition under which a chain goes on.
#include <sys/mman.h>
#include <sys/stat.h>

#include "modes.hpp"

namespace flexsc_guest {
namespace {

constexpr __u64 kAll = ~__u64{0};
constexpr std::size_t kPage = 4096;

class Compare : public ModesTest {
 protected:
  void SetUp() override {
    ModesTest::SetUp();
    // One page that can be read, and one behind it that cannot.
    void* room =
        ::mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(room, MAP_FAILED);
    pages_ = static_cast<std::byte*>(room);
    ASSERT_EQ(::mprotect(pages_ + kPage, kPage, PROT_NONE), 0);
  }
  void TearDown() override { ::munmap(pages_, 2 * kPage); }

  std::byte* pages_ = nullptr;
  std::array<__u64, 64> a_{};
  std::array<__u64, 64> b_{};
};
FLEXSC_IN_ALL_MODES(Compare);

TEST_P(Compare, ChainGoesOnIfAllWordsThatCountAreTheSame) {
  const Rig rig = make_rig();
  const auto goes_on = [&](__u64 words) {
    return run(rig, {call(FLEXSC_NR_COMPARE, a_.data(), b_.data(), words), call(SYS_getppid)});
  };
  const Results same{0, ::getppid()};
  const Results other{-ESTALE, -ECANCELED};
  EXPECT_EQ(goes_on(kAll), same);
  for (unsigned word = 0; word < 64; ++word) {
    b_[word] = __u64{1} << word;
    EXPECT_EQ(goes_on(kAll), other) << word;
    EXPECT_EQ(goes_on(__u64{1} << word), other) << word;
    EXPECT_EQ(goes_on(~(__u64{1} << word)), same) << word;
    a_[word] = b_[word];
  }
  EXPECT_EQ(goes_on(kAll), same);
}

// It sees what the call before it has written.
TEST_P(Compare, AnswersThatWerePreparedFollowWhatTheyAreFor) {
  const Rig rig = make_rig();
  const Fd file(static_cast<int>(direct(SYS_memfd_create, "compare", MFD_CLOEXEC)));
  struct stat status {};
  struct stat expected {};
  ASSERT_EQ(::fstat(file.get(), &expected), 0);
  constexpr __u64 kSize = __u64{1} << offsetof(struct stat, st_size) / 8;
  const auto chain = [&] {
    return run(rig, {call(SYS_fstat, file.get(), &status),
                     call(FLEXSC_NR_COMPARE, &status, &expected, kSize),
                     call(SYS_write, file.get(), "x", 1)});
  };
  EXPECT_EQ(chain(), (Results{0, 0, 1}));
  EXPECT_EQ(chain(), (Results{0, -ESTALE, -ECANCELED}));
  EXPECT_EQ(status.st_size, 1);
}

TEST_P(Compare, MemoryThatCannotBeReadIsAnError) {
  const Rig rig = make_rig();
  const auto compare = [&](__u64 a, __u64 b, __u64 words) {
    const long result = run_one(rig, call(FLEXSC_NR_COMPARE, a, b, words));
    EXPECT_EQ(run_one(rig, call(FLEXSC_NR_COMPARE, b, a, words)), result);
    return result;
  };
  const __u64 good = arg(a_.data());
  // Null, the kernel's, around the end of all addresses, and none at all.
  for (const __u64 bad : {__u64{0}, __u64{0xffffffff81000000}, __u64{0xffff888000000000}, kAll - 7,
                          kAll, __u64{1} << 47, __u64{1} << 62}) {
    EXPECT_EQ(compare(good, bad, 1), -EFAULT) << std::hex << bad;
    EXPECT_EQ(compare(good, bad, kAll), -EFAULT) << std::hex << bad;
  }
  const __u64 end = arg(pages_ + kPage);
  EXPECT_EQ(compare(good, end - 8, 1), 0);
  EXPECT_EQ(compare(good, end - 8, 2), -EFAULT);
  EXPECT_EQ(compare(good, end - 8, 3), -EFAULT);
  EXPECT_EQ(compare(good, end - 4, 1), -EFAULT);
  // Not aligned, and not there before it is looked at.
  EXPECT_EQ(compare(good, arg(pages_) + 3, kAll), 0);
}

TEST_P(Compare, NothingThatCountsIsTheSame) {
  const Rig rig = make_rig();
  EXPECT_EQ(run_one(rig, call(FLEXSC_NR_COMPARE, a_.data(), b_.data(), 0)), 0);
}

}  // namespace
}  // namespace flexsc_guest
