// SPDX-License-Identifier: MIT
// Checksums (CRC-32, as of gzip and zip) of all files under a folder, many at a time. Usage:
// flexsc-hasher FOLDER [ENGINE [FILES AT A TIME]]
//
// A fiber per file reads in plain blocking style; a semaphore bounds how many are open at a time.
// While some wait for the disk the others compute.
#include <fcntl.h>
#include <sys/stat.h>

#include <boost/crc.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "flexsc/fiber.hpp"
#include "flexsc/posix.hpp"
#include "flexsc/scope.hpp"
#include "flexsc/semaphore.hpp"

namespace {

constexpr std::size_t kBlock = std::size_t{64} * 1024;

struct Hashed {
  std::filesystem::path path;
  std::uint32_t checksum = 0;
  int error = 0;
};

void hash(Hashed& file) {
  const int fd = flexsc::open(file.path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    file.error = errno;
    return;
  }
  boost::crc_32_type crc;
  std::vector<char> block(kBlock);
  for (;;) {
    const ssize_t got = flexsc::read(fd, block.data(), block.size());
    if (got < 0) file.error = errno;
    if (got <= 0) break;
    crc.process_bytes(block.data(), static_cast<std::size_t>(got));
    flexsc::this_fiber::checkpoint();  // others may have something to read by now
  }
  flexsc::close(fd);
  file.checksum = crc.checksum();
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) {
    std::fprintf(stderr, "usage: flexsc-hasher FOLDER [ENGINE [FILES AT A TIME]]\n");
    return 2;
  }
  flexsc::RuntimeOptions options;
  options.engine.kind = flexsc::engine_named(argc > 2 ? argv[2] : "threads");
  flexsc::CountingSemaphore places(argc > 3 ? std::atoi(argv[3]) : 64);

  std::vector<Hashed> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[1])) {
    if (entry.is_regular_file()) files.push_back({entry.path()});
  }
  flexsc::Runtime runtime(options);
  runtime
      .spawn([&] {
        flexsc::Scope scope(runtime);
        for (Hashed& file : files) {
          places.acquire();
          scope.spawn([&] {
            hash(file);
            places.release();
          });
        }
        scope.join();
      })
      .join();

  int failed = 0;
  for (const Hashed& file : files) {
    if (file.error == 0) {
      std::printf("%08x  %s\n", file.checksum, file.path.c_str());
    } else {
      std::fprintf(stderr, "%s: %s\n", file.path.c_str(), std::strerror(file.error));
      ++failed;
    }
  }
  return failed == 0 ? 0 : 1;
} catch (const std::system_error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
