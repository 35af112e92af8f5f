/* SPDX-License-Identifier: MIT */
/**
 * @file
 * The batching interface of ESCA (Cheng et al., PDP 2022) by its names, with C linkage:
 *
 *     esca_init();                 // once
 *     batch_start();
 *     for (each ready event) ...
 *     batch_flush();
 *
 * Recorded are the calls that go through FlexSC (flexsc/posix.hpp); a plain write() is
 * made at once.
 *
 * One engine serves the process: `kernel` if it can be used here, else `direct`. From
 * C++, flexsc/batch.hpp offers the same with a choice of engines and all failures.
 */
#ifndef FLEXSC_ESCA_H
#define FLEXSC_ESCA_H

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Opens the engine, in a thread that must live as long as the process uses it. Returns 0,
 * also when it is open already, or -1 with errno.
 */
int esca_init(void);

/**
 * Opens a segment in the calling thread. Returns 0, or -1 with errno: EBUSY in a segment,
 * EINVAL before esca_init().
 */
int batch_start(void);

/**
 * Makes the recorded calls, in order, and closes the segment. Returns how many were made;
 * if one of them did not do what its caller had been told, -1 with the errno of the first
 * such call (EIO: it transferred less). All of them were made all the same.
 */
long batch_flush(void);

#ifdef __cplusplus
}
#endif

#endif /* FLEXSC_ESCA_H */
