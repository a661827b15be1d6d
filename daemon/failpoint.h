/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Where the daemon kills itself when a test says so: at each boundary between "decided", "written down", "sent", "answered" and "told".
 * Only in a build with -Dfailpoints=true; else nothing of it is there, not even the arguments.
 *
 *   UPGD_FAILPOINT="COUNT POINT GLOB"     at the COUNTth time that POINT is passed by a name that GLOB matches: SIGKILL
 *
 * point           place                                                 name
 * before_commit   the batch is in the transaction, COMMIT is not said   each of its records: "intent migrate/ox_5/disable", "epoch"
 * after_commit    it is on disk, the loop has not heard of it           the same
 * after_send      the last byte is in the socket                        the message to a runner; the command to a balancer
 * after_reply     the answer is there, nothing is made of it            "acted migrate/ox_5/disable"; asked, captured, verified, gate
 * before_ack      a caller's reply is due                               the method: "Pause"
 */

#ifdef UPGD_FAILPOINTS
#include <stddef.h>
#include <stdint.h>

enum failpoint { FAILPOINT_BEFORE_COMMIT, FAILPOINT_AFTER_COMMIT, FAILPOINT_AFTER_SEND, FAILPOINT_AFTER_REPLY, FAILPOINT_BEFORE_ACK };

/* Passed here and now. Of the loop's thread, as all counting is. */
void failpoint(enum failpoint point, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The record goes to the journal: its two points are passed by the writer's thread, later. */
void failpoint_record(uint64_t seq, const char *name);
/* Of the writer's thread: this record is in the transaction; the transaction is on disk. */
void failpoint_written(uint64_t seq);
void failpoint_committed(void);
/* Messages, each with its NUL, were sent. */
void failpoint_sent(const char *messages, size_t len);
#else
#define failpoint(...) ((void)0)
#define failpoint_written(...) ((void)0)
#define failpoint_committed() ((void)0)
#define failpoint_sent(...) ((void)0)
#endif
