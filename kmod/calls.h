/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every system call of x86-64: its class, what is known of it, and, above each
 * group, why. The one place where this is said. It is included once for each
 * column that is wanted (calls.c), with ROW(name, what) defined.
 *
 *   W  in a worker, and by flush: it means the same in any thread of the
 *      process.
 *   A  the same, depending on its arguments, see policy.c.
 *   C  by flush only: it depends on the calling thread, or would hold a worker
 *      for something that only another entry can bring about.
 *   R  refused: it would change, end or expose the worker instead of the
 *      caller, or has no use that is worth the surface.
 *
 * A number without a row is refused too, but calls.c does not compile if the
 * kernel it is built for has such a call.
 */

/* Reading and writing. */
W3_IN(read), W3_OUT(write), W3_IN(readv), W3_OUT(writev),
W6_FD(pread64), W6_FD(pwrite64), W6_FD(preadv), W6_FD(pwritev),
W_FD_SLEEPS(preadv2), W_FD_SLEEPS(pwritev2), A_FD(lseek),
W6_OUT(sendfile), W_FD_SLEEPS(splice), W_FD_SLEEPS(tee),
W_FD_SLEEPS(vmsplice), W_FD_SLEEPS(copy_file_range), W3_FD(readahead),
W6_FD(fadvise64), W_FD_SLEEPS(fsync), W_FD_SLEEPS(fdatasync),
W_FD_SLEEPS(sync_file_range), W_SLEEPS(sync), W_FD_SLEEPS(syncfs),
W6_FD(fallocate), W3_FD(ftruncate), W3(truncate), W6_FD(cachestat),

/* Descriptors: the table is shared. */
W_OPENS(open), W_OPENS(openat), W_OPENS(openat2), W_OPENS(creat),
W3_FD(close), A(close_range), W3_FD(dup), W3_FD(dup2), W3_FD(dup3),
W3(pipe), W3(pipe2), A_FD(fcntl), A_FD(flock), A_FD(ioctl),
W3(memfd_create), W3(eventfd), W3(eventfd2), W3(timerfd_create),
W6_FD(timerfd_settime), W3_FD(timerfd_gettime), W0(inotify_init),
W3(inotify_init1), W3_FD(inotify_add_watch), W3_FD(inotify_rm_watch),
W3(epoll_create), W3(epoll_create1), W6_FD(epoll_ctl),
A_FD(epoll_wait), A_FD(epoll_pwait), A(epoll_pwait2), W_SLEEPS(poll),
A_SLEEPS(ppoll), W_SLEEPS(select), A_SLEEPS(pselect6),
/* What a signalfd reads depends on the thread that made or reads it. */
C(signalfd), C(signalfd4),

/* Names: working directory, root and umask are shared. */
W3(stat), W3_FD(fstat), W3(lstat), W6(newfstatat), W6(statx),
W3(statfs), W3_FD(fstatfs), W3(access), W3(faccessat), W6(faccessat2),
W3(readlink), W6(readlinkat), W3_FD(getdents), W3_FD(getdents64),
W3(getcwd), W3(rename), W6(renameat), W6(renameat2), W3(link),
W6(linkat), W3(unlink), W3(unlinkat), W3(symlink), W3(symlinkat),
W3(mkdir), W3(mkdirat), W3(rmdir), W3(mknod), W6(mknodat), W3(chmod),
W3_FD(fchmod), W3(fchmodat), W6(fchmodat2), W3(chown), W3_FD(fchown),
W3(lchown), W6(fchownat), W3(utime), W3(utimes), W3(futimesat),
W6(utimensat), W6(setxattr), W6(lsetxattr), W6_FD(fsetxattr),
W6(getxattr), W6(lgetxattr), W6_FD(fgetxattr), W3(listxattr),
W3(llistxattr), W3_FD(flistxattr), W3(removexattr), W3(lremovexattr),
W3_FD(fremovexattr), W6(name_to_handle_at),
/* They race with queued calls that use names. */
C(chdir), C(fchdir), C(umask),

/* Sockets. */
W3(socket), W6(socketpair), W3_FD(bind), W3_FD(listen), W3_IN(accept),
W6_IN(accept4), W_FD_SLEEPS(connect), W3_FD(shutdown),
W3_FD(getsockname), W3_FD(getpeername), W6_FD(setsockopt),
W6_FD(getsockopt), W6_IN(recvfrom), W6_OUT(sendto), W3_IN(recvmsg),
W3_OUT(sendmsg), W_FD_SLEEPS(recvmmsg), W_FD_SLEEPS(sendmmsg),

/* Memory: shared. */
W6(mmap), W3(munmap), W3(mprotect), W3(madvise), W6(mremap),
W_SLEEPS(msync), W3(mincore), W3(mlock), W3(mlock2), W3(munlock),
W3(mlockall), W0(munlockall), W3(brk), W6(mbind), W3(membarrier),
W6(pkey_mprotect), W3(pkey_free), W3(mseal),

/* Asking. */
W0(getpid), W0(getppid), W0(getuid), W0(geteuid), W0(getgid),
W0(getegid), W3(getgroups), W3(getresuid), W3(getresgid), W3(getpgid),
W0(getpgrp), W3(getsid), W3(capget), W3(uname), W3(sysinfo),
W3(times), W3(getrandom), W3(time), W3(gettimeofday),
A(clock_gettime), W3(clock_getres),
/* ... with answers that depend on the thread. */
C(gettid), C(getrusage), C(getrlimit), C(prlimit64), C(setrlimit),
C(getitimer), C(getpriority), C(getcpu),

/* Time. An interrupted sleep is restarted with what is left of it. */
W_SLEEPS(nanosleep), W_SLEEPS(clock_nanosleep), C(alarm),
C(setitimer), C(timer_create), C(timer_settime), C(timer_gettime),
C(timer_getoverrun), C(timer_delete),

/* Processes and signals. */
W3(kill), W3(tgkill), W3(tkill), W3(pidfd_open),
W6(pidfd_send_signal), W3(pidfd_getfd), W6(process_vm_readv),
W6(process_vm_writev), W6(kcmp), A(wait4), A(waitid),
C(rt_sigqueueinfo), C(rt_tgsigqueueinfo), C(rt_sigaction), C(setpgid),
C(setsid),

/* Waiting for each other. */
A(futex), W6(futex_wake), W6(futex_requeue), C(futex_wait),
C(futex_waitv), W3(semget), W6(semctl), C(semop), C(semtimedop),
W3(msgget), W3(msgctl), A(msgsnd), A(msgrcv), C(shmget), C(shmat),
C(shmctl), C(shmdt), W6(mq_open), W3(mq_unlink), W3(mq_getsetattr),
C(mq_timedsend), C(mq_timedreceive), C(mq_notify), W3(io_setup),
C(io_destroy), C(io_submit), C(io_cancel), C(io_getevents),

/* They end the thread, make new ones of it or another program of the process. */
R(exit), R(exit_group), R(fork), R(vfork), R(clone), R(clone3), R(execve),
R(execveat),
/* Signal mask, signal frame and restart state are the thread's. */
R(rt_sigprocmask), R(rt_sigpending), R(rt_sigsuspend), R(rt_sigtimedwait),
R(rt_sigreturn), R(sigaltstack), R(pause), R(restart_syscall), R(io_pgetevents),
/* So are these: registers, and what the kernel writes when a thread ends. */
R(prctl), R(arch_prctl), R(personality), R(ioperm), R(iopl), R(modify_ldt),
R(set_thread_area), R(get_thread_area), R(set_robust_list), R(get_robust_list),
R(set_tid_address), R(rseq), R(pkey_alloc), R(map_shadow_stack), R(uretprobe),
/*
 * Identity. In a worker it would change the worker alone; in a flush it would
 * stop the group in the middle of its own batch.
 */
R(setuid), R(setgid), R(setreuid), R(setregid), R(setresuid), R(setresgid),
R(setfsuid), R(setfsgid), R(setgroups), R(capset), R(setns), R(unshare),
R(chroot), R(pivot_root), R(seccomp), R(landlock_create_ruleset),
R(landlock_add_rule), R(landlock_restrict_self), R(keyctl), R(add_key),
R(request_key), R(lsm_get_self_attr), R(lsm_set_self_attr),
R(lsm_list_modules),
/* Scheduling: process 0, "the caller", is the worker. */
R(sched_yield), R(sched_setaffinity), R(sched_getaffinity), R(sched_setparam),
R(sched_getparam), R(sched_setscheduler), R(sched_getscheduler),
R(sched_setattr), R(sched_getattr), R(sched_get_priority_max),
R(sched_get_priority_min), R(sched_rr_get_interval), R(setpriority),
R(ioprio_set), R(ioprio_get), R(set_mempolicy), R(get_mempolicy),
R(set_mempolicy_home_node), R(migrate_pages), R(move_pages),
/* Ways to run code, or calls, beside those that this table knows. */
R(ptrace), R(perf_event_open), R(bpf), R(userfaultfd), R(io_uring_setup),
R(io_uring_enter), R(io_uring_register), R(process_madvise),
R(process_mrelease), R(memfd_secret), R(remap_file_pages),
R(open_by_handle_at), R(fanotify_init), R(fanotify_mark),
/* The machine's, not a program's that serves clients. */
R(mount), R(umount2), R(open_tree), R(move_mount), R(mount_setattr), R(fsopen),
R(fsconfig), R(fsmount), R(fspick), R(statmount), R(listmount), R(swapon),
R(swapoff), R(reboot), R(sethostname), R(setdomainname), R(syslog), R(acct),
R(quotactl), R(quotactl_fd), R(vhangup), R(settimeofday), R(adjtimex),
R(clock_settime), R(clock_adjtime), R(kexec_load), R(kexec_file_load),
R(init_module), R(finit_module), R(delete_module), R(lookup_dcookie),
R(sysfs), R(ustat),
/* Numbers that have no call any more, or never had one. */
R(uselib), R(_sysctl), R(create_module), R(get_kernel_syms), R(query_module),
R(nfsservctl), R(getpmsg), R(putpmsg), R(afs_syscall), R(tuxcall), R(security),
R(epoll_ctl_old), R(epoll_wait_old), R(vserver),
