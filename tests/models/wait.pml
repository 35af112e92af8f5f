/* SPDX-License-Identifier: MIT
 *
 * The other sleeping handshake: a carrier that goes to wait for completions
 * (sleep_for_completions() in kmod/wait.c) and workers that complete entries
 * (flexsc_complete(), flexsc_client_completed()), with a notification from a
 * third thread. The Parker of libflexsc is the same.
 *
 * Checked: the carrier never sleeps for ever while what it waits for is there.
 *
 * Variants that must fail:
 *   -DBROKEN=1  the carrier looks at the bits before it says that it waits
 *   -DBROKEN=2  the worker looks for a waiter before it sets the bit
 *   -DBROKEN=3  notify does not stick: it wakes whoever waits and no more
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#define WORKERS 2

byte bits = 0;     /* completion bits set */
bit waiter = 0;
bit sleeping = 0;  /* task state: 1 is TASK_INTERRUPTIBLE */
bit notified = 0;
byte wanted = 0;   /* min_complete */
bit finished = 0;

inline wake() { sleeping = 0 }

active [WORKERS] proctype worker() {
  bit seen;
#if BROKEN == 2
  seen = waiter;
  atomic { bits++ };
#else
  atomic { bits++ };
  /* full barrier */
  seen = waiter;
#endif
  if
  :: seen ->
    atomic { /* under group->lock */
      if
      :: waiter && bits >= wanted -> wake()
      :: else
      fi
    }
  :: else
  fi
}

active proctype notifier() {
  atomic { /* under group->lock */
#if BROKEN != 3
    notified = 1;
#endif
    if
    :: waiter -> wake()
    :: else
    fi
  }
}

active proctype carrier() {
  bit enough;
  bit for_notify;

  /* Either for both completions, or for the notification alone. */
  if
  :: wanted = WORKERS; for_notify = 0
  :: wanted = WORKERS + 1; for_notify = 1
  fi;

  again:
#if BROKEN == 1
  enough = (bits >= wanted || notified);
  atomic { waiter = 1 };
  sleeping = 1;
#else
  atomic { waiter = 1 };
  sleeping = 1; /* set_current_state(): full barrier */
  enough = (bits >= wanted || notified);
#endif
  if
  :: enough -> sleeping = 0
  :: else -> sleeping == 0 /* schedule() */
  fi;
  atomic { waiter = 0 };
  if
  :: bits >= wanted -> finished = 1
  :: bits < wanted && for_notify && (notified || BROKEN == 3) -> finished = 1
  :: else -> notified = 0; goto again
  fi
}

active proctype monitor() {
  timeout -> assert(finished)
}
