/* SPDX-License-Identifier: MIT
 *
 * Arming (kmod/arm.c, kmod/op.c): a call that would wait is put into the wait
 * queue of its file. The file reports, a CANCEL or a deadline ends it, the client
 * is closed: whoever comes first makes it ready, and one worker goes on with it.
 *
 * Checked: the operation ends, once; it never waits for ever when its file is
 * ready, or after it was cancelled or its client closed; nobody touches it after
 * it was freed.
 *
 * Variants that must fail:
 *   -DBROKEN=1  the file is asked before the operation is in its queue
 *   -DBROKEN=2  what the file reports while the operation is being armed is lost
 *   -DBROKEN=3  a report makes an operation ready that is ready or runs already
 *   -DBROKEN=4  arming does not look whether the client was closed
 *   -DBROKEN=5  the operation leaves the queue without the queue's lock
 *   -DBROKEN=6  arming does not look at end
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#define WORKERS 2

mtype = { RUNNING, ARMING, FIRED, ARMED, READY };

mtype state = RUNNING;
bit file_ready = 0;
bit queued = 0;    /* in the file's wait queue */
bit listed = 0;    /* in client->ops */
bit end = 0;
bit closed = 0;
byte in_list = 0;  /* client->ready */
byte published = 0;
bit freed = 0;

bit head_lock = 0; /* of the wait queue */
bit ops_lock = 0;

inline acquire(lock) { atomic { lock == 0 -> lock = 1 } }
inline release(lock) { lock = 0 }

/* flexsc_op_fire_locked() */
inline fire() {
  if
#if BROKEN == 3
  :: state != ARMING -> state = READY; in_list++
#else
  :: state == ARMED -> state = READY; in_list++
#endif
#if BROKEN == 2
  :: state == ARMING -> skip
#else
  :: state == ARMING -> state = FIRED
#endif
  :: else
  fi
}

/* flexsc_op_unarm() */
inline unarm() {
#if BROKEN == 5
  queued = 0
#else
  acquire(head_lock);
  queued = 0;
  release(head_lock)
#endif
}

inline publish() {
  published++;
  assert(published == 1);
  acquire(ops_lock);
  listed = 0;
  release(ops_lock);
  freed = 1
}

/* flexsc_op_run(): the owner goes on. own is 0 when it is not the owner any more. */
inline go_on() {
  do
  :: end -> publish(); break
  :: !end && file_ready -> publish(); break
  :: !end && !file_ready ->
    /* flexsc_op_arm() */
    acquire(ops_lock);
    state = ARMING;
    release(ops_lock);
#if BROKEN == 1
    mask = file_ready;
    acquire(head_lock); queued = 1; release(head_lock);
#else
    acquire(head_lock); queued = 1; release(head_lock);
    mask = file_ready;
#endif
    acquire(ops_lock);
    if
#if BROKEN == 6
    :: mask || state == FIRED -> how = 1
#else
    :: mask || state == FIRED || end -> how = 1
#endif
#if BROKEN == 4
    :: else -> how = 0; state = ARMED
#elif BROKEN == 6
    :: !(mask || state == FIRED) && closed -> how = 2
    :: !(mask || state == FIRED) && !closed -> how = 0; state = ARMED
#else
    :: !(mask || state == FIRED || end) && closed -> how = 2
    :: !(mask || state == FIRED || end) && !closed -> how = 0; state = ARMED
#endif
    fi;
    if
    :: how != 0 -> state = RUNNING
    :: else
    fi;
    release(ops_lock);
    if
    :: how == 0 -> break
    :: how == 1 -> unarm()
    :: how == 2 -> unarm(); publish(); break /* nobody would come: the call itself waits */
    fi
  od
}

/* Claims the entry, and is then a worker like the other one. */
active [WORKERS] proctype worker() {
  bit mask, mine = 0;
  byte how;

  if
  :: _pid == 0 ->
    acquire(ops_lock);
    listed = 1; /* perhaps after the client was closed: workers hold it */
    release(ops_lock);
    go_on()
  :: else
  fi;
end_idle:
  do
  :: in_list > 0 ->
    acquire(ops_lock);
    if
    :: in_list > 0 -> in_list--; assert(!freed); state = RUNNING; mine = 1
    :: else -> mine = 0
    fi;
    release(ops_lock);
    if
    :: mine -> unarm(); go_on()
    :: else
    fi
  od
}

/* It becomes ready, somebody else takes it, and it does so again; or it never does. */
active proctype file() {
  byte n = 0;
  do
  :: n == 0 -> break
  :: n < 2 ->
    file_ready = 1;
    acquire(head_lock);
    if
    :: queued -> /* op_wake() */
      assert(!freed);
      acquire(ops_lock);
      assert(!freed);
      fire();
      release(ops_lock)
    :: else
    fi;
    release(head_lock);
    if
    :: n == 0 -> file_ready = 0
    :: else
    fi;
    n++
  :: else -> break
  od
}

/* It may come, or not. */
active proctype canceller() {
  if
  :: true ->
    acquire(ops_lock);
    if
    :: listed -> end = 1; fire()
    :: else
    fi;
    release(ops_lock)
  :: true
  fi
}

/* flexsc_ops_close() */
active proctype closer() {
  bit mine = 0;
  if
  :: true ->
    acquire(ops_lock);
    closed = 1;
    if
    :: listed -> end = 1; fire()
    :: else
    fi;
    release(ops_lock);
    acquire(ops_lock);
    if
    :: in_list > 0 -> in_list--; assert(!freed); state = RUNNING; mine = 1
    :: else
    fi;
    release(ops_lock);
    if
    :: mine -> unarm(); publish()
    :: else
    fi
  :: true
  fi
}

active proctype monitor() {
  timeout -> assert(published == 1 || (state == ARMED && !file_ready && !end && !closed))
}
