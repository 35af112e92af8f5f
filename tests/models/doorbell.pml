/* SPDX-License-Identifier: MIT
 *
 * The sleeping handshake between the poster of calls and a pool of workers
 * (kmod/park.c, "The sleeping handshake"; poster: libflexsc's submit), together
 * with the number running, a worker that sleeps inside a call, and the hand-back
 * of what it has claimed and not begun.
 *
 * Checked: when nothing can move any more, every posted call was completed
 * (none lost because everybody sleeps), and each exactly once.
 *
 * Variants that must fail, so that the check is seen to be able to:
 *   -DBROKEN=1  the poster reads need_doorbell before it sets the bit (its full
 *               barrier is missing: the load overtakes the store)
 *   -DBROKEN=2  the worker looks at the words before it sets need_doorbell
 *   -DBROKEN=3  a worker that sleeps in a call keeps its claim and wakes nobody,
 *               and never wakes up itself
 *   -DBROKEN=4  the claim is a read and a write instead of an exchange
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#define WORKERS 2
#define CONCURRENCY 1
#define CALLS 3
#define ALL 7 /* bits of the calls */

byte submission = 0;      /* the shared word */
bit need_doorbell = 1;
byte completed[CALLS] = 0;

bit lock = 0;             /* group->lock */
bit asleep = 1;           /* under lock from here */
byte running = 0;
bit parked[WORKERS] = 0;
bit posted_all = 0;

inline acquire() { atomic { lock == 0 -> lock = 1 } }
inline release() { lock = 0 }

inline unpark(w) {
  parked[w] = 0;
  running++;
  if
  :: asleep -> asleep = 0; need_doorbell = 0
  :: else
  fi
}

/* flexsc_pool_kick() */
inline kick() {
  acquire();
  if
  :: running < CONCURRENCY && parked[0] -> unpark(0)
  :: running < CONCURRENCY && !parked[0] && parked[1] -> unpark(1)
  :: else
  fi;
  release()
}

active proctype poster() {
  byte i = 0;
  bit need;
  do
  :: i < CALLS ->
#if BROKEN == 1
    need = need_doorbell;
    atomic { submission = submission | (1 << i) };
#else
    atomic { submission = submission | (1 << i) };
    need = need_doorbell;
#endif
    if
    :: need -> kick()
    :: else
    fi;
    i++
  :: else -> break
  od;
  posted_all = 1
}

active [WORKERS] proctype worker() {
  byte me = _pid - 1;
  byte claim = 0, bit_no;
  bit pending, started = 0;

park:
  acquire();
  if
  :: started -> atomic { running-- }
  :: else -> started = 1
  fi;
  parked[me] = 1;
#if BROKEN == 2
  pending = (submission != 0);
#endif
  if
  :: running == 0 && !asleep -> asleep = 1; need_doorbell = 1
  :: else
  fi;
  /* full barrier */
#if BROKEN != 2
  pending = (submission != 0);
#endif
  if
  :: running < CONCURRENCY && pending -> unpark(me)
  :: else
  fi;
  release();
end_parked:
  parked[me] == 0;

serve:
  if
  :: running > CONCURRENCY -> goto park
  :: else
  fi;
  if
  :: asleep -> acquire();
    if
    :: asleep -> asleep = 0; need_doorbell = 0
    :: else
    fi;
    release()
  :: else
  fi;
#if BROKEN == 4
  claim = submission;
  submission = submission & (255 - claim);
#else
  atomic { claim = submission; submission = 0 };
#endif
  if
  :: claim == 0 -> goto park
  :: else
  fi;
  do
  :: claim != 0 ->
    if
    :: claim & 1 -> bit_no = 0
    :: !(claim & 1) && (claim & 2) -> bit_no = 1
    :: !(claim & 3) -> bit_no = 2
    fi;
    claim = claim & (255 - (1 << bit_no));
    if
    :: skip /* the call does not sleep */
    :: true -> /* it does: sched_out, then the irq_work */
#if BROKEN == 3
      false;
#else
      atomic { submission = submission | claim };
      claim = 0;
      atomic { running-- };
      kick();
      /* sched_in, whenever that is */
      atomic { running++ }
#endif
    fi;
    atomic {
      completed[bit_no]++;
      assert(completed[bit_no] == 1)
    }
  :: else -> break
  od;
  goto serve
}

/* When nothing else can move. */
active proctype monitor() {
  timeout ->
  assert(posted_all);
  assert(completed[0] == 1 && completed[1] == 1 && completed[2] == 1)
}
