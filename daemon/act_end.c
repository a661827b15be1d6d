/* SPDX-License-Identifier: MIT */
/*
 * What the end of a program means. There are tools that print an error and end with 0: the profile says what must be in the output and what
 * must not, and of a long one only the beginning and the end are known, so what cannot be sure has failed.
 */
#include "act.h"

#include "io/runner.h"
#include "memory.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { OUTPUT_KEPT = 4096 };

static void last_line(const char *out, size_t len, char line[static JUDGE_LINE_MAX])
{
	while (len > 0 && isspace((unsigned char)out[len - 1]))
		len--;
	size_t from = len;
	while (from > 0 && out[from - 1] != '\n')
		from--;
	(void)snprintf(line, JUDGE_LINE_MAX, "%.*s", (int)(len - from), out + from);
}

static bool is_success(const struct action *action, int code)
{
	bool success = code == 0;
	for (size_t i = 0; i < action->n_exits; i++)
		success |= code == action->exits[i];
	return success;
}

/* True: it says what is to be said, and not what is not. */
static bool says_so(const struct action *action, const struct runner_result *end, char verdict[static ACT_VERDICT_MAX])
{
	char line[JUDGE_LINE_MAX] = "";
	if (action->not_match != NULL && judge_find(action->not_match, end->out, true, line) != 0)
		(void)snprintf(verdict, ACT_VERDICT_MAX, "exit %d, but it printed \"%s\"", end->exit_code, line);
	else if (action->not_match != NULL && !end->whole)
		(void)snprintf(verdict, ACT_VERDICT_MAX, "exit %d, but only the beginning and the end of what it printed are known (more than 64 KiB, or the disk there is "
			"full), so nobody can say that %.100s is not in it", end->exit_code, action->not_match);
	else if (action->match != NULL && judge_find(action->match, end->out, true, line) != 1)
		(void)snprintf(verdict, ACT_VERDICT_MAX, "exit %d, but it did not print %.100s%s", end->exit_code, action->match,
			end->whole ? "" : ", as far as is known: only the beginning and the end are (more than 64 KiB, or the disk there is full)");
	else
		return true;
	if (line[0] == '\0') {
		size_t len = strlen(verdict);
		last_line(end->out, end->out_len, line);
		(void)snprintf(verdict + len, ACT_VERDICT_MAX - len, "%s%s", line[0] ? "; its last line: " : "", line);
	}
	return false;
}

enum result act_verdict(const struct profile *profile, const struct action *action, const struct runner_result *end, char verdict[static ACT_VERDICT_MAX])
{
	char line[JUDGE_LINE_MAX] = "";
	if (end->signal == 0 && is_success(action, end->exit_code)) {
		if (says_so(action, end, verdict)) {
			(void)snprintf(verdict, ACT_VERDICT_MAX, "exit %d after %.1f s", end->exit_code, (double)end->took_ms / 1000);
			return RESULT_OK;
		}
	} else {
		if (action->not_match == NULL || judge_find(action->not_match, end->out, true, line) != 1)
			last_line(end->out, end->out_len, line);
		const char *colon = line[0] != '\0' ? ": " : "";
		if (end->signal != 0)
			(void)snprintf(verdict, ACT_VERDICT_MAX, "ended by signal %d%s%s", end->signal, colon, line);
		else
			(void)snprintf(verdict, ACT_VERDICT_MAX, "exit %d%s%s", end->exit_code, colon, line);
	}
	return judge_passing(profile, end->out) ? RESULT_UNKNOWN : RESULT_FAILED;
}

/* The verdict in the first line, then the end of the output. */
void act_ended(struct flight *f, const struct runner_result *end)
{
	char verdict[ACT_VERDICT_MAX];
	size_t len = end->out_len;
	enum result result = act_verdict(flight_rollout(f)->profile, flight_action(f), end, verdict);
	if (result == RESULT_FAILED)
		flight_printed(f, end->out, len);
	size_t from = len > OUTPUT_KEPT ? len - OUTPUT_KEPT : 0;
	while (from > 0 && from < len && ((unsigned char)end->out[from] & 0xc0) == 0x80)
		from++; /* not in the middle of a character */
	char *text;
	if (asprintf(&text, "%s%s%s%s", result == RESULT_UNKNOWN ? "its database failed it, which does not count: " : "", verdict, len > 0 ? "\n" : "",
		end->out + from) < 0)
		abort();
	flight_answer(f, result, end->signal != 0 ? -end->signal : end->exit_code, text);
	free(text);
}
