/* SPDX-License-Identifier: MIT */
/*
 * tests/sim/run PROFILE --seeds N [--first S] [--jobs J]   random troubles: faults, crashes, persons, other hands
 *               PROFILE --crashes [--jobs J]               a crash at every batch of the run without troubles, and in each recovery
 *               PROFILE --each [--jobs J]                  every fault at every action and question of it
 *               PROFILE --trace S                          one seed, with its transcript
 *               with --ask                                 somebody never stops asking for every view (ask.h)
 *               with --set KEY=VALUE, --nodes N, --rows N  of a profile whose site follows from it (choose.h); rows of its SQL sets
 *               PROFILE SCENARIO...                        files: inputs at the margin, the expected transcript indented
 * What fails is made smaller, trouble by trouble, and shown.
 */
#include "choose.h"
#include "scenario.h"
#include "sim.h"

#include "daemon/profile_load.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SHOW_MAX = 5 };

/* The profile as it is, and with other settings of what the site may choose. */
static char *profile_text;
static bool asks;
static char *variants[4];
static struct choice *choice; /* NULL: an OX site */

static char *varied(const char *text, const char *from, const char *to)
{
	char *out;
	const char *at = strstr(text, from);
	if (at == NULL || asprintf(&out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) < 0) {
		(void)fprintf(stderr, "the profile does not say: %s\n", from);
		exit(1);
	}
	return out;
}

static void vary(void)
{
	if (choice != NULL)
		return;
	static const char orphans[] = "orphans = \"statements\";";
	variants[0] = varied(profile_text, orphans, "orphans = \"statements\"; on_orphans = \"kill\";");
	variants[1] = varied(profile_text, orphans, "orphans = \"statements\"; on_orphans = \"ask\";");
	variants[2] = varied(profile_text, "per_host = 2;", "per_host = 2; tenants_down = 150;");
	variants[3] = varied(profile_text, "done_when = [ \"registered\" ];", "");
}

const char *scenario_profile(const char *word)
{
	static const char *const words[] = { "kills", "asks", "tight", "verifies" };
	for (size_t i = 0; i < 4; i++)
		if (strcmp(words[i], word) == 0)
			return variants[i];
	return profile_text;
}

struct job {
	struct sim_options options;
	struct troubles troubles;
	char name[120];
};

/* Shared by the processes of --jobs. */
struct tally {
	_Atomic unsigned ended[8], failed, n;
};
static struct tally *tally;

static struct sim *run(const struct job *job, FILE *transcript)
{
	struct sim_options o = job->options;
	o.troubles = &job->troubles;
	o.transcript = transcript;
	o.ask = asks;
	struct sim *s = sim_new(&o);
	sim_start(s, NULL, NULL, o.keep_on);
	sim_run(s);
	return s;
}

static bool fails(const struct job *job)
{
	struct sim *s = run(job, NULL);
	bool broken = sim_broken(s)[0] != '\0';
	sim_free(s);
	return broken;
}

/* Leaves out what is not needed to fail. Ids stay, so that the records' signs do. */
static void shrink(struct job *job)
{
	for (size_t i = job->troubles.n; i-- > 0;) {
		struct job less = *job;
		less.troubles.list[i].kind = TROUBLE_NONE;
		if (less.troubles.list[i].kind != job->troubles.list[i].kind && fails(&less))
			*job = less;
	}
}

static void holds_print(struct sim *s, FILE *out)
{
	const struct rollout *r = sim_rollout(s);
	char name[300], text[300];
	for (uint32_t i = 0; r != NULL && i < r->n_units; i++) {
		const struct unit *u = &r->units[i];
		if (u->state == UNIT_DONE)
			continue;
		bool is_of_stage = u->state == UNIT_WAITING && r->stage_why[u->stage].kind != WHY_NONE;
		const struct why *why = is_of_stage ? &r->stage_why[u->stage] : &r->live[i].why;
		(void)fprintf(out, "  %s %s, step %u: %s\n", rollout_unit_name(r, i, name, sizeof(name)), unit_state_word(u->state), u->step,
			why_text(r, i, why, text, sizeof(text)));
	}
}

static void show(struct job *job)
{
	char *text = NULL;
	size_t len;
	shrink(job);
	FILE *out = open_memstream(&text, &len);
	struct sim *s = run(job, out);
	(void)fprintf(out, "FAILED %s: %s at %.1f s\n%u nodes, %u rows%s%s\n", job->name, sim_broken(s), (double)sim_now(s) / 1000, job->options.nodes,
		job->options.schemata, job->options.person ? "" : ", nobody comes by", job->options.keep_on ? ", on_failure=continue" : "");
	troubles_print(sim_troubles(s), out);
	holds_print(s, out);
	sim_free(s);
	(void)fclose(out);
	(void)fputs(text, stdout);
	(void)fflush(stdout);
	free(text);
}

static void run_one(struct job *job)
{
	struct sim *s = run(job, NULL);
	const struct rollout *r = sim_rollout(s);
	bool broken = sim_broken(s)[0] != '\0';
	tally->n++;
	if (!broken && r != NULL)
		tally->ended[r->state & 7]++;
	sim_free(s);
	if (broken && tally->failed++ < SHOW_MAX)
		show(job);
}

static void make_job(struct job *job, uint64_t seed)
{
	uint64_t mix = seed * 11400714819323198485u;
	*job = (struct job){ .options = { .seed = seed, .nodes = 2 + (uint32_t)(mix >> 40) % 5, .schemata = 1 + (uint32_t)(mix >> 44) % 14,
		.profile_text = profile_text, .approve = (mix >> 52) % 8 != 0, .person = (mix >> 55) % 8 != 0 } };
	job->options.keep_on = job->options.person && (mix >> 58) % 8 == 0;
	job->options.approve |= !job->options.person;
	if (choice == NULL && mix >> 61 < 3)
		job->options.profile_text = variants[mix >> 61];
	(void)snprintf(job->name, sizeof(job->name), "seed %llu", (unsigned long long)seed);
	if (choice != NULL)
		choice_apply(choice, &job->options);
	struct trouble_reach reach = choice != NULL ? choice_reach(choice, &job->options) : troubles_reach(job->options.nodes, job->options.schemata);
	troubles_make(&job->troubles, seed, &reach, choice != NULL ? choice->sites : SITE_ALL_OX);
}

/* ---- in several processes ---- */

typedef void job_fn(uint64_t number); /* runs one */

static void share(unsigned jobs, uint64_t first, uint64_t n, job_fn *fn)
{
	for (unsigned j = 0; j < jobs; j++) {
		if (jobs > 1 && fork() != 0)
			continue;
		for (uint64_t i = first + j; i < first + n && tally->failed < SHOW_MAX; i += jobs)
			fn(i);
		if (jobs > 1)
			_exit(0);
	}
	int status;
	while (jobs > 1 && wait(&status) > 0)
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
			tally->failed++;
			(void)printf("FAILED: a process ended with status %d\n", status);
		}
}

static int summary(const char *what, const struct timespec *from)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	double took = (double)(now.tv_sec - from->tv_sec) + (double)(now.tv_nsec - from->tv_nsec) / 1e9;
	unsigned over = tally->ended[ROLLOUT_DONE] + tally->ended[ROLLOUT_PARTIAL] + tally->ended[ROLLOUT_ABORTED];
	(void)printf("sim: %u schedules (%s): %u done, %u partial, %u aborted, %u stopped, %u failed; %.0f s, %.0f a second\n", tally->n, what,
		tally->ended[ROLLOUT_DONE], tally->ended[ROLLOUT_PARTIAL], tally->ended[ROLLOUT_ABORTED], tally->n - over - tally->failed, tally->failed, took,
		took > 0 ? tally->n / took : 0);
	return tally->failed != 0;
}

static void one_seed(uint64_t seed)
{
	struct job job;
	make_job(&job, seed);
	run_one(&job);
}

/* ---- a crash everywhere, a fault everywhere ---- */

static struct sim_options quiet = { .seed = 1, .nodes = 4, .schemata = 5, .approve = true, .person = true };

/* Beside what is struck: nothing; a reload, that has to be put back; a server taken over by another one; a hand in a window; a way back, by an abort or what failed. */
static const struct trouble beside[] = { { .kind = TROUBLE_NONE }, { .kind = TROUBLE_RELOAD, .at = 12000 }, { .kind = TROUBLE_FAILOVER, .at = 20000, .a = 1, .b = 16 },
	{ .kind = TROUBLE_ENABLED, .at = 40, .b = 2 }, { .kind = TROUBLE_ABORT, .at = 4000 }, { .kind = TROUBLE_HOLLOW }, { .kind = TROUBLE_LIES } };

static bool fits(unsigned kind)
{
	return trouble_fits(kind, choice != NULL ? choice->sites : SITE_ALL_OX);
}

/* A way back from everywhere, by an abort or by what failed. */
static uint32_t beside_at(const struct trouble *t, uint32_t where)
{
	if (choice == NULL)
		return t->at;
	struct trouble_reach reach = choice_reach(choice, &quiet);
	return trouble_when(t->kind) == AT_TIME ? 1000 + where * 7919 % reach.ms : 1 + where * 7919 % reach.actions;
}

static void crash_beside(size_t which, uint32_t where)
{
	for (int after = 0; after < 2; after++) {
		enum trouble_kind kind = after ? TROUBLE_CRASH_AFTER : TROUBLE_CRASH_BEFORE;
		struct job job = { .options = quiet };
		job.options.profile_text = profile_text;
		job.troubles.list[job.troubles.n++] = beside[which];
		job.troubles.list[0].at = beside_at(&beside[which], where);
		job.troubles.list[job.troubles.n++] = (struct trouble){ .kind = (uint8_t)kind, .at = where };
		for (uint16_t i = 0; i < 2; i++)
			job.troubles.list[i].id = i + 1;
		(void)snprintf(job.name, sizeof(job.name), "%s, at %u, beside: %s", trouble_word(kind), where, trouble_word(beside[which].kind));
		run_one(&job);
	}
}

static void at(enum trouble_kind kind, uint32_t where, enum trouble_kind and_then, uint32_t again)
{
	struct job job = { .options = quiet };
	job.options.profile_text = profile_text;
	job.troubles.list[job.troubles.n++] = (struct trouble){ .id = 1, .kind = (uint8_t)kind, .at = where, .a = where * 7919, .b = where * 104729 };
	job.options.person = and_then != TROUBLE_ABORT;
	if (and_then != TROUBLE_NONE)
		job.troubles.list[job.troubles.n++] = (struct trouble){ .id = 2, .kind = (uint8_t)and_then, .at = trouble_when(and_then) == AT_TIME ? again : where + again };
	(void)snprintf(job.name, sizeof(job.name), "%s, at %u%s%s", trouble_word(kind), where, and_then != TROUBLE_NONE ? ", and " : "",
		and_then != TROUBLE_NONE ? trouble_word(and_then) : "");
	run_one(&job);
}

static void crashes_at(uint64_t number)
{
	uint32_t where = (uint32_t)number;
	at(TROUBLE_CRASH_BEFORE, where, TROUBLE_NONE, 0);
	at(TROUBLE_CRASH_AFTER, where, TROUBLE_NONE, 0);
	for (size_t i = 1; i < sizeof(beside) / sizeof(beside[0]); i++)
		if (fits(beside[i].kind) && (choice != NULL || beside[i].at != 0))
			crash_beside(i, where);
	for (uint32_t again = 1; again <= 3; again++) { /* and once more, before what the recovery asked for is answered */
		at(TROUBLE_CRASH_AFTER, where, TROUBLE_CRASH_BEFORE, again);
		at(TROUBLE_CRASH_AFTER, where, TROUBLE_CRASH_AFTER, again);
	}
}

static void faults_at(uint64_t number)
{
	for (unsigned kind = 1; kind < TROUBLE_KINDS; kind++)
		if (fits(kind) && (trouble_when(kind) == AT_ACTION || trouble_when(kind) == AT_QUESTION))
			at((enum trouble_kind)kind, (uint32_t)number, TROUBLE_NONE, 0);
	for (uint32_t later = 0; choice != NULL && later < 8; later++) /* and nobody goes on with it */
		at(later % 2 ? TROUBLE_GHOST : TROUBLE_VANISHES, (uint32_t)number, TROUBLE_ABORT, 1500 + later * choice_reach(choice, &quiet).ms / 8);
}

static uint32_t undisturbed(bool batches)
{
	struct job job = { .options = quiet, .name = "undisturbed" };
	job.options.profile_text = profile_text;
	struct sim *s = run(&job, NULL);
	uint32_t n = batches ? sim_batches(s) : sim_actions(s);
	if (sim_broken(s)[0] != '\0' || sim_rollout(s)->state != ROLLOUT_DONE) {
		tally->failed++;
		show(&job);
	}
	sim_free(s);
	return n;
}

static int trace(uint64_t seed)
{
	struct job job;
	make_job(&job, seed);
	struct sim *s = run(&job, stdout);
	bool broken = sim_broken(s)[0] != '\0';
	troubles_print(sim_troubles(s), stdout);
	(void)printf("seed %llu: %s%s\n", (unsigned long long)seed, broken ? "FAILED: " : rollout_state_word(sim_rollout(s)->state), sim_broken(s));
	sim_free(s);
	return broken;
}

static uint64_t option(int argc, char **argv, const char *name, uint64_t otherwise)
{
	for (int i = 2; i + 1 < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return strtoull(argv[i + 1], NULL, 10);
	return otherwise;
}

static int run_mode(int argc, char **argv)
{
	struct timespec from;
	const char *mode = argv[2];
	unsigned jobs = (unsigned)option(argc, argv, "--jobs", 1);
	(void)clock_gettime(CLOCK_MONOTONIC, &from);
	if (strcmp(mode, "--seeds") == 0) {
		share(jobs, option(argc, argv, "--first", 1), option(argc, argv, "--seeds", 1000), one_seed);
		return summary("random", &from);
	}
	if (strcmp(mode, "--crashes") == 0) {
		uint32_t n = undisturbed(true);
		share(jobs, 1, choice != NULL ? n + n / 2 : n, crashes_at); /* ways back are longer */
		return summary("a crash at each batch", &from);
	}
	if (strcmp(mode, "--each") == 0) {
		share(jobs, 1, undisturbed(false), faults_at);
		return summary("each fault at each action", &from);
	}
	if (strcmp(mode, "--trace") == 0)
		return trace(option(argc, argv, "--trace", 1));
	int rc = 0;
	for (int i = 2; i < argc; i++)
		rc |= scenario_run(argv[i], profile_text);
	return rc;
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		(void)fprintf(stderr, "usage: run PROFILE --seeds N [--first S] [--jobs J] [--ask] | --crashes | --each | --trace S | SCENARIO...\n");
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
	for (int i = 2; i < argc; i++)
		asks |= strcmp(argv[i], "--ask") == 0;
	if (strcmp(profile->name, "ox-appsuite") != 0) {
		choice = choice_new(profile, argc, argv);
		if (choice == NULL)
			return 1;
		choice_apply(choice, &quiet);
	}
	vary();
	tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tally == MAP_FAILED)
		return 1;
	int rc = run_mode(argc, argv);
	choice_free(choice);
	profile_free(profile);
	conf_errors_done(&errors);
	return rc;
}
