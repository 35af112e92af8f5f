/* SPDX-License-Identifier: MIT */
/**
 * @file
 * The event loop of flexsc/loop.hpp for C: post system calls, and get their results by callback
 * or by token.
 *
 *     flexsc_engine *engine = flexsc_engine_open(NULL);
 *     flexsc_loop *loop = flexsc_loop_open(engine);
 *     flexsc_read(loop, fd, buffer, size, done, token);
 *     flexsc_run(loop);
 *
 * Functions that return an int return 0 or -errno. Those that return a pointer or an id return
 * NULL or 0 when they fail, with errno set. flexsc_error() then says more.
 *
 * Threads: an engine can be used by all threads; a loop by one at a time, but for flexsc_stop()
 * and flexsc_dispatch(). The thread that opens engine `kernel` must live as long as the engine is
 * used. After fork() the child must not use what the parent opened.
 */
#ifndef FLEXSC_LOOP_H
#define FLEXSC_LOOP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct flexsc_engine flexsc_engine;
typedef struct flexsc_loop flexsc_loop;
/** Names a call in flight or a timer; never 0. */
typedef uint64_t flexsc_id;

/** Gets what the call returned: a value or -errno. Runs in flexsc_run() and flexsc_run_once(). */
typedef void flexsc_callback(flexsc_loop* loop, void* token, long result);

/** One sentence on the last failure in this thread; valid until its next failure. */
const char* flexsc_error(void);

/** Zero everywhere is the default; see EngineOptions in flexsc/engine.hpp. */
struct flexsc_engine_options {
  /** "kernel", "uring", "threads", "direct", or "auto" for the best that there is; NULL: "auto" */
  const char* kind;
  const int* worker_cpus; /**< CPUs of the workers; NULL: those on which the caller may run */
  size_t nr_worker_cpus;
  unsigned concurrency; /**< workers running at a time; 0: one per worker CPU */
  unsigned standby_max; /**< workers that take over while others block; 0: the most there can be */
  unsigned spin_us;     /**< how long an idle worker polls; 0: 50 */
  unsigned pages;       /**< system-call pages of each loop, 1 to 256; 0: 8 */
};

/** Opens an engine; options may be NULL. */
flexsc_engine* flexsc_engine_open(const struct flexsc_engine_options* options);
/** Its kind, say "kernel". */
const char* flexsc_engine_kind(const flexsc_engine* engine);
/** -EBUSY while a loop uses it. NULL is fine. */
int flexsc_engine_close(flexsc_engine* engine);

/** Opens a loop. Its engine must stay open as long. */
flexsc_loop* flexsc_loop_open(flexsc_engine* engine);
/** -EBUSY while calls or timers are pending, or in one of its callbacks. NULL is fine. */
int flexsc_loop_close(flexsc_loop* loop);

/** A system call: its number and its arguments; pointers are cast. */
struct flexsc_call {
  long nr;
  long args[6];
};

/** How a call is posted; zero everywhere is the default. */
struct flexsc_post_options {
  unsigned pool;      /**< who makes it */
  int64_t timeout_ns; /**< if not 0: the call ends with -ETIME so long after posting */
};

/**
 * Posts a call; options may be NULL. What it points to must stay valid until its result is there.
 * With `done` NULL the result is for flexsc_reap(). Never blocks, except on engine `direct`.
 */
flexsc_id flexsc_post(flexsc_loop* loop, const struct flexsc_call* call,
                      const struct flexsc_post_options* options, flexsc_callback* done,
                      void* token);

/** A member of a chain, with flags FLEXSC_ENTRY_* of flexsc/uapi.h (but _LINK and _DEADLINE). */
struct flexsc_chain_call {
  struct flexsc_call call;
  uint16_t flags;
  uint16_t from; /**< bit i: args[i] is the position of an earlier member whose result is passed */
};

/**
 * Posts `count` calls that are made one after the other without coming back in between. One
 * result comes, of the last member; `results` has a place for each.
 */
flexsc_id flexsc_post_chain(flexsc_loop* loop, const struct flexsc_chain_call* calls, size_t count,
                            long* results, const struct flexsc_post_options* options,
                            flexsc_callback* done, void* token);

/** Calls `done`, with 0, after so many nanoseconds. */
flexsc_id flexsc_after(flexsc_loop* loop, int64_t ns, flexsc_callback* done, void* token);

/** Asks it to end, with -ECANCELED unless it has a result of its own. -ENOENT: it is over. */
int flexsc_cancel(flexsc_loop* loop, flexsc_id id);
/** Asks all calls on a descriptor to end, say before it is closed; returns how many. */
size_t flexsc_cancel_descriptor(flexsc_loop* loop, int fd);

/** Runs callbacks until flexsc_stop(), or until nothing is pending. -EDEADLK: in a callback. */
int flexsc_run(flexsc_loop* loop);
/**
 * Waits for something to end, at most so long (negative: for ever), and runs the callbacks.
 * Returns how many results there were, with those for flexsc_reap(), or -errno (-EDEADLK: in a
 * callback).
 */
long flexsc_run_once(flexsc_loop* loop, int64_t timeout_ns);
/** Makes flexsc_run() return, or the next one. From any thread. */
int flexsc_stop(flexsc_loop* loop);
/** Calls `work(loop, token, 0)` in the loop's thread. From any thread. */
int flexsc_dispatch(flexsc_loop* loop, flexsc_callback* work, void* token);
/** Calls and timers whose results are still to come. */
size_t flexsc_pending(const flexsc_loop* loop);

/** What became of a call that was posted without a callback. */
struct flexsc_completion {
  void* token;
  long result;
};
/** Takes at most `count` of them; returns how many. Does not wait: flexsc_run_once() does. */
size_t flexsc_reap(flexsc_loop* loop, struct flexsc_completion* out, size_t count);

/* The most used calls. */

static inline flexsc_id flexsc_read(flexsc_loop* loop, int fd, void* buffer, size_t size,
                                    flexsc_callback* done, void* token) {
  const struct flexsc_call call = {SYS_read, {fd, (long)buffer, (long)size, 0, 0, 0}};
  return flexsc_post(loop, &call, NULL, done, token);
}
static inline flexsc_id flexsc_write(flexsc_loop* loop, int fd, const void* buffer, size_t size,
                                     flexsc_callback* done, void* token) {
  const struct flexsc_call call = {SYS_write, {fd, (long)buffer, (long)size, 0, 0, 0}};
  return flexsc_post(loop, &call, NULL, done, token);
}
static inline flexsc_id flexsc_recv(flexsc_loop* loop, int fd, void* buffer, size_t size, int flags,
                                    flexsc_callback* done, void* token) {
  const struct flexsc_call call = {SYS_recvfrom, {fd, (long)buffer, (long)size, flags, 0, 0}};
  return flexsc_post(loop, &call, NULL, done, token);
}
static inline flexsc_id flexsc_send(flexsc_loop* loop, int fd, const void* buffer, size_t size,
                                    int flags, flexsc_callback* done, void* token) {
  const struct flexsc_call call = {SYS_sendto, {fd, (long)buffer, (long)size, flags, 0, 0}};
  return flexsc_post(loop, &call, NULL, done, token);
}
static inline flexsc_id flexsc_accept(flexsc_loop* loop, int fd, int flags, flexsc_callback* done,
                                      void* token) {
  const struct flexsc_call call = {SYS_accept4, {fd, 0, 0, flags, 0, 0}};
  return flexsc_post(loop, &call, NULL, done, token);
}
static inline flexsc_id flexsc_openat(flexsc_loop* loop, int dir, const char* path, int flags,
                                      unsigned mode, flexsc_callback* done, void* token) {
  const struct flexsc_call call = {SYS_openat, {dir, (long)path, flags, (long)mode, 0, 0}};
  return flexsc_post(loop, &call, NULL, done, token);
}
static inline flexsc_id flexsc_close(flexsc_loop* loop, int fd, flexsc_callback* done,
                                     void* token) {
  const struct flexsc_call call = {SYS_close, {fd, 0, 0, 0, 0, 0}};
  return flexsc_post(loop, &call, NULL, done, token);
}

#ifdef __cplusplus
}
#endif

#endif /* FLEXSC_LOOP_H */
