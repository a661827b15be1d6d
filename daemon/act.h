/* SPDX-License-Identifier: MIT */
#pragma once
/* The parts of the executor that carry effects out. */

#include "flight.h"

/* The runner's name of an action: for people, and unique for ever by the intent's number. */
enum { ACT_ID_MAX = 200 };
void act_id(const struct rollout *r, const struct effect *effect, char id[static ACT_ID_MAX]);
/* "7/migrate/ox_5/update/1234", for the comments of a task's statements; the last part is the intent's number. */
void act_tag(const struct rollout *r, const struct effect *effect, char tag[static ACT_ID_MAX]);

/*
 * What the end of a program means: by its exit code and by what it printed, as the action says. Sets verdict, one line. UNKNOWN: its database
 * failed it.
 */
enum { ACT_VERDICT_MAX = 400 };
struct runner_result;
enum result act_verdict(const struct profile *profile, const struct action *action, const struct runner_result *end, char verdict[static ACT_VERDICT_MAX]);
void act_ended(struct flight *flight, const struct runner_result *end); /* answers with it */

/* The first line that begins with the prefix, without its end; "" if there is none. Owned by the caller. */
char *act_line_in(const char *text, const char *prefix);

void act_run(struct flight *flight);    /* ACTION_RUN */
void act_edit(struct flight *flight);   /* ACTION_EDIT, restore too */
void act_server(struct flight *flight); /* ACTION_SERVER, restore too */

/* One after the other; stops at the first that does not hold. within_ms: until all hold; steady_ms: and have held for so long. */
void ask_probes(struct flight *flight, const uint16_t *probes, size_t n, uint64_t within_ms, uint64_t steady_ms);
/* What an action did: verify, as above, and meanwhile the probes of `fails`: the first that holds ends the waiting, it has failed. */
void ask_verify(struct flight *flight, const struct step *step);
void ask_captures(struct flight *flight);

void orphans_look(struct flight *flight); /* EFFECT_ORPHANS */
void orphans_kill(struct flight *flight); /* EFFECT_KILL */
void orphans_done(struct executor *executor);
void ask_recheck(struct flight *flight);
