/* SPDX-License-Identifier: MIT
 *
 * Cancelling an entry (kmod/cancel.c; flexsc_put_back(), flexsc_op_listed() and
 * flexsc_exec_resume()). An entry is posted, claimed, perhaps put back before it
 * began, and then run, perhaps interrupted and run again, or it becomes an
 * operation that waits for a file and that nothing but a CANCEL ends. A CANCEL
 * looks for it meanwhile. What a worker says of itself waits in a store buffer
 * until that drains by itself, at a locked instruction, or at the barrier that
 * CANCEL makes its CPU pass.
 *
 * Checked: CANCEL returns, and then the entry is neither posted nor about to
 * begin; it completes, once, so no operation waits that CANCEL should have ended.
 *
 * Variants that must fail:
 *   -DBROKEN=1  CANCEL looks at what is claimed only before it looks at what is
 *               posted
 *   -DBROKEN=2  CANCEL looks at what is claimed only after
 *   -DBROKEN=3  a worker does not say what it is taking (claiming)
 *   -DBROKEN=4  entries that are put back are not counted: one can be posted
 *               when CANCEL looks at claims, and claimed when it looks at posts
 *   -DBROKEN=5  a worker says that its entry is an operation before it is listed
 *   -DBROKEN=6  what is marked as running becomes an operation that does not know
 *   -DBROKEN=7  a call that was interrupted and will be made again is not looked
 *               for while its worker sees to signals
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#define WORKERS 2

bit posted = 0;
bit nr_cancels = 0;
bit returned = 0;      /* CANCEL has */
byte completed = 0;
bit late = 0;          /* it began after CANCEL had returned and found nothing */
bit found = 0;
bit put_back = 0;      /* group->put_backs changed since CANCEL read it */
bit listed = 0;        /* in client->ops, armed */
bit end = 0;           /* op->end */

bit claiming[WORKERS];
bit claim[WORKERS];
bit running[WORKERS];  /* exec->bit is the entry's */
bit in_op[WORKERS];
bit late_running[WORKERS], late_in_op[WORKERS]; /* still in the store buffer */
bit resumes[WORKERS];  /* in_call is 0, although an entry has begun */
bit marked[WORKERS];   /* worker->cancel names its call */
bit lock = 0;          /* group->lock */

inline acquire() { atomic { lock == 0 -> lock = 1 } }
inline release() { lock = 0 }
inline drain(w) {
  running[w] = running[w] || late_running[w];
  in_op[w] = in_op[w] || late_in_op[w];
  late_running[w] = 0;
  late_in_op[w] = 0
}

inline complete(w) {
  atomic { completed++; drain(w) };
  claim[w] = 0;
  atomic { running[w] = 0; in_op[w] = 0 }
}

active [WORKERS] proctype worker() {
  byte me = _pid;
  bit mine, asked;

end_idle:
  do
  :: posted ->
#if BROKEN != 3
    claiming[me] = 1;
#endif
    atomic { mine = posted; posted = 0; drain(me) };
    if
    :: !mine -> claiming[me] = 0
    :: mine ->
      claim[me] = 1;
      claiming[me] = 0;
      if
      :: true -> /* an earlier call of the claim sleeps */
#if BROKEN != 4
        put_back = 1;
#endif
        atomic { posted = 1; drain(me) };
        claim[me] = 0
      :: true ->
        late_running[me] = 1;
        asked = nr_cancels;
        if
        :: asked -> /* flexsc_cancel_matches() */
          acquire();
          atomic { drain(me); asked = nr_cancels || marked[me] };
          if
          :: asked -> found = 1; in_op[me] = 1
          :: else
          fi;
          release()
        :: else
        fi;
        if
        :: asked -> complete(me)
        :: !asked -> /* a plain call */
          late = late || (returned && !found);
          if
          :: true -> /* interrupted */
            resumes[me] = 1;
            atomic { drain(me) };
            resumes[me] = 0;
            late = late || (returned && !found)
          :: true
          fi;
          complete(me)
        :: !asked -> /* an operation */
          late = late || (returned && !found);
#if BROKEN == 5
          late_in_op[me] = 1;
#endif
          atomic { drain(me); listed = 1 };
          late_in_op[me] = 1;
          asked = nr_cancels;
          if
          :: asked ->
            acquire();
            atomic { drain(me) };
            release()
          :: else
          fi;
#if BROKEN != 6
          if
          :: marked[me] -> end = 1
          :: else
          fi;
#endif
          claim[me] = 0;
          atomic { drain(me); running[me] = 0; in_op[me] = 0 }
        fi
      fi
    fi
  od
}

active [WORKERS] proctype store_buffer() {
  byte cpu = _pid - WORKERS;
end_drain:
  do
  :: atomic { late_running[cpu] || late_in_op[cpu] -> drain(cpu) }
  od
}

/* Who goes on with the operation when it was ended. */
active proctype ended() {
end_waits:
  atomic { listed && end -> listed = 0; completed++ }
}

#if BROKEN == 7
#define LEFT_OUT(w) resumes[w]
#else
#define LEFT_OUT(w) 0
#endif
#define CLAIMED(w) (claiming[w] || (claim[w] && !running[w]) || \
                    (claim[w] && running[w] && !in_op[w] && !marked[w] && \
                     !LEFT_OUT(w)))

inline look_at_claims(result) {
  acquire();
  result = (CLAIMED(0) || CLAIMED(1));
  release()
}

inline mark(w) {
  if
  :: claim[w] && running[w] && !in_op[w] && !marked[w] && !resumes[w] ->
    marked[w] = 1;
    found = 1
  :: else
  fi
}

inline cancel_running() {
  acquire();
  mark(0);
  mark(1);
  release()
}

inline cancel_ops() {
  atomic {
    if
    :: listed && !end -> end = 1; found = 1
    :: else
    fi
  }
}

active proctype canceller() {
  bit before, after;

  posted = 1;
  acquire();
  nr_cancels = 1;
  release();
  atomic { drain(0) };
  atomic { drain(1) };
  do
  ::
    before = 0;
    after = 0;
    put_back = 0;
#if BROKEN != 2
    look_at_claims(before);
#endif
    atomic {
      if
      :: posted -> posted = 0; completed++; found = 1
      :: else
      fi
    };
    cancel_running();
    cancel_ops();
#if BROKEN != 1
    look_at_claims(after);
#endif
    if
    :: !before && !after && !put_back -> break
    :: else
    fi
  od;
  assert(!posted);
  acquire();
  nr_cancels = 0;
  returned = 1;
  release()
}

active proctype monitor() {
  timeout ->
  assert(returned);
  assert(completed == 1);
  assert(!late)
}
