// SPDX-License-Identifier: MIT
/// @file
/// The request handler, as plain blocking code. In a thread its calls block the thread,
/// in a fiber they park the fiber. Time limits are the socket's in a thread, and a DeadlineScope's
/// in a fiber.
#pragma once

#include <sys/socket.h>

#include <array>
#include <chrono>
#include <optional>
#include <string_view>
#include <utility>

#include "flexsc/chain.hpp"
#include "flexsc/fiber.hpp"
#include "request.hpp"
#include "service.hpp"
#include "site.hpp"

namespace flexsc::http {

/// One client connection (a blocking socket). One thread or fiber at a time.
class Connection {
 public:
  /// Calls of the longest chain.
  static constexpr std::size_t kChainCalls = 7;

  /// `chains`: calls that follow from each other are posted as one, in a fiber. The last of a chain
  /// waits for the next request, with all of the chain's entries, as long as no more than so many
  /// connections are open. Nothing: each call is made by itself.
  Connection(Service& service, OwnedFd socket, std::optional<std::size_t> chains = {});
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  /// Closes the socket and hands in the counters.
  ~Connection();

  /// Serves requests until the connection ends.
  void serve() {
    while (serve_one()) {
    }
  }

  /// Waits for one request and answers it. False when the connection is to be closed.
  [[nodiscard]] bool serve_one();

  /// Whether input has arrived that serve_one() can use without reading the socket.
  [[nodiscard]] bool has_input() const noexcept { return !unparsed_.empty(); }
  [[nodiscard]] int fd() const noexcept { return socket_.get(); }

 private:
  enum class Input { request, ended, timed_out };
  enum class Chained {
    sent,        ///< as far as it went; what is left of the answer is to be sent
    broken,      ///< the connection cannot go on
    unforeseen,  ///< the file is not as it was; nothing was sent
  };

  /// Whether each connection may hold the entries of a whole chain.
  [[nodiscard]] bool has_room() const noexcept {
    return service_.open_connections() <= waiting_chains_;
  }
  [[nodiscard]] Input read_request();
  [[nodiscard]] ssize_t receive();
  [[nodiscard]] bool send_answer(Answer answer);
  [[nodiscard]] Chained send_chained(Answer& answer, std::string_view& head,
                                     const Foreseen* foreseen);
  [[nodiscard]] bool send_rest(Answer& answer, std::string_view head);
  void linger() const;

  Service& service_;
  OwnedFd socket_;
  RequestParser parser_;
  std::array<char, 8192> buffer_;  // not initialised: only what recv() wrote is read
  std::string_view unparsed_;      // part of buffer_
  std::size_t waiting_chains_;
  std::optional<Chain> chain_;           // if calls are chained; here for its memory
  Foreseen foreseen_;                    // as well
  std::optional<long> received_;         // what the chain of the last answer got into buffer_
  std::chrono::milliseconds waited_{0};  // or how long it waited for nothing
  Tally tally_;
};

/// Accepts connections and gives each to `serve(OwnedFd)` until the listener is stopped.
/// For a thread or a fiber of its own.
template <class Serve>
void accept_loop(const Listener& listener, const Serve& serve) {
  for (;;) {
    Accepted accepted = accept_connection(listener, SOCK_CLOEXEC);
    switch (accepted.what) {
      case Accepted::What::connection:
        serve(std::move(accepted.socket));
        break;
      case Accepted::What::nothing:
        break;
      case Accepted::What::exhausted:
        this_fiber::sleep_for(kAcceptBackoff);
        break;
      case Accepted::What::stopped:
        return;
    }
  }
}

}  // namespace flexsc::http
