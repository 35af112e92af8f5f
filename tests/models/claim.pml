/* SPDX-License-Identifier: MIT
 *
 * Claim, completion and hand-back (kmod/execute.c: flexsc_serve_claim(),
 * show_done(); kmod/exec.c: exec_sched_out(); kmod/run.h: flexsc_run(); poster and
 * reaper: uapi.h). Workers take all bits of a word, make the calls in order, write the
 * results and set completion bits for several of them together. One that falls
 * asleep in a call shows what it has done, hands back what it has not begun, and
 * keeps the one call.
 *
 * Checked: each post is executed once and completed once, and who sees a
 * completion bit finds the result of that post.
 *
 * Variants that must fail:
 *   -DBROKEN=1  the completion bit is set before the result is written
 *   -DBROKEN=2  the hand-back includes the call that runs
 *   -DBROKEN=3  a worker that wakes up goes on with what it had claimed before
 *   -DBROKEN=4  the hand-back stores the word instead of adding to it
 *   -DBROKEN=5  the claim is a read and a write instead of an exchange
 *   -DBROKEN=6  a worker that falls asleep does not show what it has done, and
 *               forgets that it has it
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#define WORKERS 2
#define CALLS 3
#define NOTHING 0

byte submission = 0;
byte completion = 0;
byte argument[CALLS];
byte result[CALLS];
byte executed[CALLS];
byte finished = 0;

#define BIT(n) (1 << (n))
#define BELOW(n) ((1 << (n)) - 1)

/* One entry: posted, reaped and, the first one, posted again. */
active [CALLS] proctype poster() {
  byte me = _pid;
  byte round = 1;
  byte rounds;

  rounds = (me == 0 -> 2 : 1);
  do
  :: round <= rounds ->
    argument[me] = round;
    result[me] = NOTHING;
    atomic { submission = submission | BIT(me) };
    atomic { completion & BIT(me) -> completion = completion & (255 - BIT(me)) };
    assert(result[me] == round);
    round++
  :: else -> break
  od;
  finished++
}

inline show_done(bits) {
  atomic { completion = completion | (bits) };
  claim = claim & (255 - (bits))
}

active [WORKERS] proctype worker() {
  byte claim = 0, was, at, read;

end_idle:
  do
#if BROKEN == 5
  :: submission != 0 -> claim = submission; submission = submission & (255 - claim);
#else
  :: atomic { submission != 0 -> claim = submission; submission = 0 };
#endif
    do
    :: claim != 0 ->
      was = claim;
      at = 0;
      /* flexsc_run(): from the lowest bit on, as long as nothing changes. */
      do
      :: at < CALLS && (was & BIT(at)) ->
        read = argument[at];
        executed[at]++;
        if
        :: skip
        :: true -> /* it sleeps: exec_sched_out() */
#if BROKEN == 2
          atomic { completion = completion | (claim & BELOW(at)) };
          atomic { submission = submission | (claim & (255 - BELOW(at))) };
#elif BROKEN == 4
          atomic { completion = completion | (claim & BELOW(at)) };
          if
          :: claim & (255 - BELOW(at + 1)) -> submission = claim & (255 - BELOW(at + 1))
          :: else
          fi;
#elif BROKEN == 6
          atomic { submission = submission | (claim & (255 - BELOW(at + 1))) };
#else
          atomic { completion = completion | (claim & BELOW(at)) };
          atomic { submission = submission | (claim & (255 - BELOW(at + 1))) };
#endif
          claim = claim & BIT(at)
        fi;
#if BROKEN == 1
        show_done(claim & BIT(at));
        result[at] = read;
        break;
#else
        result[at] = read;
#endif
        at++;
#if BROKEN == 3
        claim = was
#else
        if
        :: claim != was -> break
        :: else
        fi
#endif
      :: at < CALLS && !(was & BIT(at)) -> at++
      :: at >= CALLS -> break
      od;
      show_done(claim & BELOW(at))
    :: else -> break
    od
  od
}

/* When nothing else can move. */
active proctype monitor() {
  timeout ->
  assert(finished == CALLS);
  assert(executed[0] == 2 && executed[1] == 1 && executed[2] == 1);
  assert(submission == 0 && completion == 0)
}
