/* SPDX-License-Identifier: MIT */
/*
 * tests/sim/run PROFILE --seeds N --first S     random schedules: crashes, faults, persons
 *               PROFILE --crashes               a crash at every record of the run without faults
 *               PROFILE --trace S               one seed, with its transcript
 *               PROFILE SCENARIO...             files: inputs at the margin, the expected transcript indented
 */
#include "scenario.h"
#include "sim.h"

#include "daemon/profile_load.h"

#include <stdlib.h>
#include <string.h>

static char *profile_text;

static void fail_seed(const struct sim *s, uint64_t seed, const char *how)
{
	(void)printf("FAILED seed %llu (%s): %s at %.1f s\n", (unsigned long long)seed, how, sim_broken(s), (double)sim_now(s) / 1000);
}

static struct sim_options random_options(uint64_t seed)
{
	uint64_t mix = seed * 11400714819323198485u;
	struct sim_options o = { .seed = seed, .nodes = 2 + (uint32_t)(mix >> 40) % 5, .schemata = 1 + (uint32_t)(mix >> 44) % 14,
		.profile_text = profile_text, .faults = (mix >> 52) % 4 != 0, .approve = true };
	if ((mix >> 54) % 3 != 0) {
		o.crash_at = 1 + (uint32_t)(mix >> 20) % 300;
		o.crash = (mix >> 56) % 2 ? CRASH_AFTER : CRASH_BEFORE;
		o.crash_every = (mix >> 57) % 2 ? 4 + (uint32_t)(mix >> 30) % 60 : 0;
	}
	return o;
}

static unsigned ended[8];

static bool run_one(struct sim_options *o, const char *how)
{
	struct sim *s = sim_new(o);
	sim_start(s, NULL, NULL, false);
	sim_run(s);
	bool ok = sim_broken(s)[0] == '\0';
	if (ok && !o->faults && sim_rollout(s)->state != ROLLOUT_DONE) {
		world_broken(sim_world(s), "without faults it ended %s", rollout_state_word(sim_rollout(s)->state));
		ok = false;
	}
	if (!ok)
		fail_seed(s, o->seed, how);
	else
		ended[sim_rollout(s)->state & 7]++;
	sim_free(s);
	return ok;
}

static int run_seeds(uint64_t first, uint64_t n)
{
	uint64_t failed = 0;
	for (uint64_t seed = first; seed < first + n && failed < 10; seed++) {
		struct sim_options o = random_options(seed);
		failed += !run_one(&o, "random");
	}
	(void)printf("sim: %llu seeds from %llu: %u done, %u partial, %u aborted, %llu failed\n", (unsigned long long)n, (unsigned long long)first,
		ended[ROLLOUT_DONE], ended[ROLLOUT_PARTIAL], ended[ROLLOUT_ABORTED], (unsigned long long)failed);
	return failed != 0;
}

static int run_crashes(void)
{
	struct sim_options o = { .seed = 1, .nodes = 4, .schemata = 5, .profile_text = profile_text, .approve = true };
	struct sim *s = sim_new(&o);
	sim_start(s, NULL, NULL, false);
	sim_run(s);
	uint32_t n = sim_batches(s), failed = sim_broken(s)[0] != '\0';
	if (failed)
		fail_seed(s, 1, "undisturbed");
	sim_free(s);
	for (uint32_t at = 1; at <= n; at++) {
		for (int crash = CRASH_BEFORE; crash <= CRASH_AFTER; crash++) {
			o.crash_at = at;
			o.crash = (enum sim_crash)crash;
			o.crash_every = 0;
			failed += !run_one(&o, crash == CRASH_BEFORE ? "crash before" : "crash after");
			o.crash_every = 4 + at % 7; /* and again and again */
			if (crash == CRASH_AFTER)
				failed += !run_one(&o, "crash again");
		}
	}
	(void)printf("sim: a crash at each of %u batches, %u failed\n", n, failed);
	return failed != 0;
}

static int trace(uint64_t seed)
{
	struct sim_options o = random_options(seed);
	o.transcript = stdout;
	return !run_one(&o, "trace");
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		(void)fprintf(stderr, "usage: run PROFILE --seeds N [--first S] | --crashes | --trace S | SCENARIO...\n");
		return 2;
	}
	struct conf_errors errors = { 0 };
	struct fail fail;
	struct profile *profile = profile_load(argv[1], NULL, &errors, &fail);
	if (profile == NULL) {
		conf_errors_print(&errors, stderr);
		(void)fprintf(stderr, "%s\n", errors.n == 0 ? fail.text : "the profile is wrong");
		conf_errors_done(&errors);
		return 1;
	}
	profile_text = profile->text;
	int rc = 0;
	if (strcmp(argv[2], "--seeds") == 0)
		rc = run_seeds(argc > 5 ? strtoull(argv[5], NULL, 10) : 1, argc > 3 ? strtoull(argv[3], NULL, 10) : 1000);
	else if (strcmp(argv[2], "--crashes") == 0)
		rc = run_crashes();
	else if (strcmp(argv[2], "--trace") == 0)
		rc = trace(argc > 3 ? strtoull(argv[3], NULL, 10) : 1);
	else
		for (int i = 2; i < argc; i++)
			rc |= scenario_run(argv[i], profile_text);
	profile_free(profile);
	conf_errors_done(&errors);
	return rc;
}
