// SPDX-License-Identifier: MIT
#include "probe.hpp"

#include <cerrno>

#include "flexsc/uapi.h"
#include "kernel_device.hpp"
#include "ring.hpp"

namespace flexsc {

namespace detail {

namespace {

std::string open_failed(int error, const std::string& device) {
  switch (error) {
    case ENOENT:
      return "there is no " + device +
             ": load the module with `modprobe flexsc` or `insmod flexsc.ko` (see docs/)";
    case ENXIO:
    case ENODEV:
      return device + " exists but no module serves it: load the module with `modprobe flexsc`";
    case EACCES:
    case EPERM:
      return "no permission to open " + device +
             ": become a member of the group that owns it (`usermod -aG flexsc NAME`, then log in "
             "again)";
    case EMFILE:
    case ENFILE:
      return "no file descriptor is left to open " + device + ": raise `ulimit -n`";
    default:
      return "opening " + device + " failed (" + std::generic_category().message(error) +
             "): check that it is the device of the flexsc module";
  }
}

std::string purpose(Stage stage) {
  switch (stage) {
    case Stage::query:
      return "asking the module what it is";
    case Stage::policy:
      return "reading the module's policy";
    case Stage::make_pool:
      return "starting kernel workers";
    case Stage::make_client:
      return "making a channel";
    case Stage::map_pages:
      return "mapping the system-call pages";
    default:
      return "using the module";
  }
}

std::string request_failed(Stage stage, int error, const std::string& device) {
  const std::string failed = purpose(stage) + " failed";
  switch (error) {
    case EACCES:
      return "the module refuses this process because it is under a seccomp filter or its system "
             "calls are traced: run it without strace and without the container's seccomp profile";
    case EPERM:
      return failed +
             " because another process or thread opened the device, or a seccomp filter forbids "
             "ioctl: open the engine where it is used, outside such a filter";
    case ENOTTY:
      return device + " is not the device of the flexsc module: remove what is in its place";
    case EAGAIN:
      return failed + " at the limit of threads: raise `ulimit -u` or the pids limit of the cgroup";
    case ENOMEM:
      return failed + " for want of memory: raise `ulimit -l` or the memory limit of the cgroup";
    case EMFILE:
    case ENFILE:
      return failed + " because no file descriptor is left: raise `ulimit -n`";
    case ENOSPC:
    case EBUSY:
    case EUSERS:
      return failed + " because the module has no room for more: use fewer channels or engines";
    case EINVAL:
      if (stage == Stage::make_pool) {
        return "the module refuses these worker options: name CPUs on which this process may run "
               "(see `taskset -p`) and fewer workers";
      }
      break;
    case ESHUTDOWN:
      return failed +
             " because the engine has stopped (its process changed credentials, "
             "namespaces or its seccomp filter): open a new engine";
    default:
      break;
  }
  return failed + " (" + std::generic_category().message(error) +
         "): see the kernel's log (`dmesg`)";
}

}  // namespace

std::string explain(Stage stage, int error, const std::string& device, unsigned module_version) {
  if (stage == Stage::open_device) return open_failed(error, device);
  if (stage == Stage::version) {
    return "the module speaks ABI version " + std::to_string(module_version) +
           " and this library version " + std::to_string(FLEXSC_ABI_VERSION) +
           ": install module and library of the same release";
  }
  return request_failed(stage, error, device);
}

std::system_error failure(Stage stage, int error, const std::string& device,
                          unsigned module_version) {
  return {error != 0 ? error : EPROTO, std::generic_category(),
          explain(stage, error, device, module_version)};
}

Availability probe_kernel(const std::string& device) {
  try {
    const KernelDevice found(device);
    return {EngineKind::kernel, true,
            "found " + device + ", ABI version " + std::to_string(FLEXSC_ABI_VERSION) + ", up to " +
                std::to_string(found.query().max_workers) + " workers a pool"};
  } catch (const Unavailable& why) {
    return {EngineKind::kernel, false, why.sentence};
  } catch (const std::exception& error) {
    return {EngineKind::kernel, false,
            std::string("looking at the device failed (") + error.what() + "): try again"};
  }
}

Availability probe_uring() {
  const std::string missing = ring_missing();
  if (!missing.empty()) return {EngineKind::uring, false, missing};
  return {EngineKind::uring, true, "io_uring, and worker threads for what it has no operation for"};
}

}  // namespace detail

std::vector<Availability> probe() {
  return {detail::probe_kernel(FLEXSC_DEVICE),
          detail::probe_uring(),
          {EngineKind::threads, true, "worker threads of this process"},
          {EngineKind::direct, true, "plain system calls"}};
}

}  // namespace flexsc
