/* SPDX-License-Identifier: MIT */
#include "scenario.h"

#include "sim.h"

#include <stdlib.h>
#include <string.h>

struct play {
	struct sim *sim;
	struct sim_options options;
	FILE *out;
	bool started;
	const char *skip[9];
	char words[8][64];
	int n_words;
};

static void start(struct play *p, bool keep_on)
{
	p->options.transcript = p->out;
	p->sim = sim_new(&p->options);
	sim_start(p->sim, NULL, p->skip[0] != NULL ? p->skip : NULL, keep_on);
}

static void say(struct play *p, const char *answer)
{
	if (answer[0] != '\0')
		(void)fprintf(p->out, "    > %s\n", answer);
}

static uint64_t seconds(const char *word)
{
	return (uint64_t)(strtod(word, NULL) * 1000);
}

static enum trouble_kind word_kind(const char *word)
{
	static const struct { const char *word; enum trouble_kind kind; } words[] = { { "fails", TROUBLE_FAILS }, { "lies", TROUBLE_LIES },
		{ "vanishes", TROUBLE_VANISHES }, { "unheard", TROUBLE_UNHEARD }, { "ghost", TROUBLE_GHOST }, { "late", TROUBLE_LATE }, { "slow", TROUBLE_SLOW },
		{ "twice", TROUBLE_TWICE }, { "lingers", TROUBLE_LINGERS }, { "half", TROUBLE_HALF }, { "reboot", TROUBLE_REBOOT }, { "tenant", TROUBLE_TENANT }, { "schema", TROUBLE_SCHEMA },
		{ "takeover", TROUBLE_TAKEOVER }, { "dead", TROUBLE_KILL }, { "enabled", TROUBLE_ENABLED }, { "passes", TROUBLE_PASSES },
		{ "database", TROUBLE_DATABASE }, { "read-only", TROUBLE_READ_ONLY } };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i].word, word) == 0)
			return words[i].kind;
	return TROUBLE_NONE;
}

/* One input line; false: not known. */
static bool input(struct play *p)
{
	static const struct { const char *word; enum command_verb verb; } verbs[] = { { "pause", COMMAND_PAUSE }, { "resume", COMMAND_RESUME },
		{ "approve", COMMAND_APPROVE }, { "skip", COMMAND_SKIP }, { "park", COMMAND_PARK }, { "retry", COMMAND_RETRY }, { "abort", COMMAND_ABORT },
		{ "fence", COMMAND_FENCE } };
	const char *w = p->words[0], *a = p->words[1], *b = p->words[2];
	if (strcmp(w, "site") == 0) {
		p->options.nodes = (uint32_t)atoi(a);
		p->options.schemata = (uint32_t)atoi(b);
		p->options.spare = (uint32_t)atoi(p->words[3]);
	} else if (strcmp(w, "profile") == 0) {
		p->options.profile_text = scenario_profile(a);
	} else if (strcmp(w, "ask") == 0) {
		p->options.approve = false;
	} else if (strcmp(w, "leave") == 0) {
		static char names[8][64];
		for (int i = 1; i < p->n_words; i++)
			p->skip[i - 1] = strcpy(names[i - 1], p->words[i]);
	} else if (strcmp(w, "start") == 0) {
		start(p, strcmp(a, "continue") == 0);
	} else if (p->sim == NULL) {
		return false;
	} else if (strcmp(w, "until") == 0) {
		sim_run_until(p->sim, seconds(a));
	} else if (strcmp(w, "run") == 0) {
		sim_run(p->sim);
		if (sim_rollout(p->sim) != NULL)
			(void)fprintf(p->out, "    = %s%s%s\n", rollout_state_word(sim_rollout(p->sim)->state), sim_broken(p->sim)[0] ? ", " : "", sim_broken(p->sim));
	} else if (strcmp(w, "kill") == 0) {
		sim_crash(p->sim);
		if (strcmp(a, "dead") != 0) /* kill dead: nobody starts it, until live */
			sim_restart(p->sim);
	} else if (strcmp(w, "live") == 0) {
		sim_restart(p->sim);
	} else if (strcmp(w, "reload") == 0) {
		sim_reload(p->sim, strcmp(a, "main") == 0 ? 0 : 1, atoi(b) - 1);
	} else if (strcmp(w, "failover") == 0) {
		sim_failover(p->sim, a);
	} else if (strcmp(w, "clock") == 0) { /* clock -3600: seconds */
		sim_set_clock(p->sim, (int64_t)(strtod(a, NULL) * 1000));
	} else if (strcmp(w, "task") == 0) { /* task ox_2 fails | is forced */
		for (uint32_t i = 0; i < sim_world(p->sim)->n_schemata; i++) {
			struct world_schema *s = &sim_world(p->sim)->schemata[i];
			if (strcmp(s->name, a) == 0) {
				s->task_will_fail = strcmp(b, "fails") == 0;
				s->tasks_done |= !s->task_will_fail;
				s->task_failed &= s->task_will_fail;
			}
		}
	} else if (strcmp(w, "fate") == 0) { /* fate update fails|vanishes|lingers|unheard 2 */
		sim_fate(p->sim, a, word_kind(b), p->n_words > 3 ? (unsigned)atoi(p->words[3]) : 1);
	} else if (strcmp(w, "strike") == 0) { /* strike reboot 1 60000: what else may happen, with its two numbers */
		sim_strike(p->sim, word_kind(a), (uint32_t)atoi(b), (uint32_t)atoi(p->words[3]));
	} else if (strcmp(w, "away") == 0 || strcmp(w, "back") == 0) { /* away ox2; back ox2 [bare] */
		sim_away(p->sim, a, w[0] == 'a', strcmp(b, "bare") == 0);
	} else if (strcmp(w, "enable") == 0 || strcmp(w, "disable") == 0) { /* enable ox_1, by a person; disable ox_1, by an action that comes late */
		for (uint32_t i = 0; i < sim_world(p->sim)->n_schemata; i++) {
			struct world_schema *s = &sim_world(p->sim)->schemata[i];
			if (strcmp(s->name, a) != 0)
				continue;
			s->enabled = w[0] == 'e';
			s->haunted_until = s->enabled ? 0 : sim_now(p->sim) + 60000;
		}
	} else if (strcmp(w, "rewrite") == 0) { /* rewrite ox2 [as-set]: a line of its file, by a configuration tool or a person */
		for (uint32_t i = 0; i < sim_world(p->sim)->n_nodes; i++)
			if (strcmp(sim_world(p->sim)->nodes[i].name, a) == 0)
				world_rewrite(sim_world(p->sim), i, true, strcmp(b, "as-set") == 0);
	} else if (strcmp(w, "hand") == 0) { /* hand main ox2 ready */
		enum server_state state = strcmp(p->words[3], "ready") == 0 ? SERVER_READY : strcmp(p->words[3], "maint") == 0 ? SERVER_MAINT : SERVER_DRAIN;
		sim_person_sets(p->sim, strcmp(a, "main") == 0 ? 0 : 1, b, state);
	} else {
		for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
			if (strcmp(w, verbs[i].word) != 0)
				continue;
			bool now = strcmp(a, "now") == 0;
			sim_command(p->sim, now ? COMMAND_PAUSE_NOW : verbs[i].verb, now || a[0] == '\0' ? NULL : a);
			say(p, sim_answer(p->sim));
			return true;
		}
		return false;
	}
	return true;
}

static char *play(const char *path, const char *profile_text)
{
	FILE *in = fopen(path, "r");
	char *text = NULL, line[512];
	size_t len;
	if (in == NULL)
		return NULL;
	struct play p = { .out = open_memstream(&text, &len) };
	p.options = (struct sim_options){ .seed = 1, .nodes = 3, .schemata = 3, .profile_text = profile_text, .approve = true };
	while (fgets(line, sizeof(line), in) != NULL) {
		if (strncmp(line, "    ", 4) == 0)
			continue;
		(void)fputs(line, p.out);
		if (line[0] == '#' || line[0] == '\n')
			continue;
		memset(p.words, 0, sizeof(p.words));
		p.n_words = sscanf(line, "%63s %63s %63s %63s %63s %63s", p.words[0], p.words[1], p.words[2], p.words[3], p.words[4], p.words[5]);
		if (!input(&p))
			(void)fprintf(p.out, "    ! not understood\n");
	}
	if (p.sim != NULL && sim_broken(p.sim)[0] != '\0')
		(void)fprintf(p.out, "    ! %s\n", sim_broken(p.sim));
	if (p.sim != NULL)
		sim_free(p.sim);
	(void)fclose(in);
	(void)fclose(p.out);
	return text;
}

static char *slurp(const char *path)
{
	FILE *in = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;
	if (in == NULL || getdelim(&text, &size, '\0', in) < 0) {
		free(text);
		text = NULL;
	}
	if (in != NULL)
		(void)fclose(in);
	return text;
}

static void difference(const char *path, const char *want, const char *got)
{
	unsigned line = 1;
	while (*want != '\0' && *got != '\0') {
		size_t w = strcspn(want, "\n"), g = strcspn(got, "\n");
		if (w != g || memcmp(want, got, w) != 0)
			break;
		want += w + (want[w] == '\n');
		got += g + (got[g] == '\n');
		line++;
	}
	(void)printf("FAILED %s:%u\n  expected: %.*s\n  came:     %.*s\n", path, line, (int)strcspn(want, "\n"), want, (int)strcspn(got, "\n"), got);
}

int scenario_run(const char *path, const char *profile_text)
{
	char *got = play(path, profile_text), *want = slurp(path);
	int rc = got == NULL || want == NULL || strcmp(got, want) != 0;
	if (got != NULL && getenv("SIM_BLESS") != NULL) {
		FILE *out = fopen(path, "w");
		if (out != NULL) {
			(void)fputs(got, out);
			(void)fclose(out);
		}
	} else if (rc != 0 && got != NULL && want != NULL) {
		difference(path, want, got);
	} else if (rc != 0) {
		(void)printf("FAILED %s: cannot be read\n", path);
	}
	free(got);
	free(want);
	return rc;
}
