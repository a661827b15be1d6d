/* SPDX-License-Identifier: MIT */
/*
 * Plain text for people and for grep: no colour, no width, one fact a line. A reply of a newer daemon may lack or hold more than
 * we know; what is not there is left out and nothing is an error.
 */
#include "render.h"

#include "proto/json.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

static const char *str(struct json_object *object, const char *key)
{
	const char *text = "";
	(void)!json_get_str(object, key, &text, NULL);
	return text;
}

static int64_t num(struct json_object *object, const char *key)
{
	int64_t number = 0;
	(void)!json_get_int(object, key, INT64_MIN, INT64_MAX, &number, NULL);
	return number;
}

static bool flag(struct json_object *object, const char *key)
{
	bool value = false;
	(void)!json_get_bool(object, key, &value, NULL);
	return value;
}

/* NULL if there is none: its length is 0 then, see EACH. */
static struct json_object *list(struct json_object *object, const char *key)
{
	struct json_object *array = NULL;
	(void)!json_get_array(object, key, &array, NULL);
	return array;
}

#define EACH(item, array)                                                                          \
	for (size_t item##_i = 0, item##_n = (array) ? json_object_array_length(array) : 0;        \
		item##_i < item##_n; item##_i++)                                                   \
		for (struct json_object *item = json_object_array_get_idx(array, item##_i), *item##_once = item; \
			item##_once != NULL; item##_once = NULL)

static const char *when(int64_t wall_ms, char buf[32])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;
	if (wall_ms == 0 || localtime_r(&seconds, &tm) == NULL || strftime(buf, 32, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		(void)snprintf(buf, 32, "-");
	return buf;
}

static const char *span(int64_t ms, char buf[32])
{
	int64_t s = ms < 0 ? 0 : ms / 1000;
	if (s < 60)
		(void)snprintf(buf, 32, "%" PRId64 "s", s);
	else if (s < 3600)
		(void)snprintf(buf, 32, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
	else
		(void)snprintf(buf, 32, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
	return buf;
}

static const char *ago(int64_t wall_ms, char buf[32])
{
	struct timespec now;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	return span((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - wall_ms, buf);
}

/* The first row of a block carries its title, the others are indented to it. */
static const char *title(const char *word, size_t row)
{
	return row == 0 ? word : "";
}

static void unit_line(FILE *out, struct json_object *unit)
{
	char buf[32];
	(void)fprintf(out, "%-28s %-9s", str(unit, "name"), str(unit, "state"));
	if (*str(unit, "step"))
		(void)fprintf(out, " %s", str(unit, "step"));
	if (*str(unit, "lane"))
		(void)fprintf(out, " on %s", str(unit, "lane"));
	if (num(unit, "attempt") > 1)
		(void)fprintf(out, " attempt %" PRId64, num(unit, "attempt"));
	if (num(unit, "since") > 0)
		(void)fprintf(out, " %s", ago(num(unit, "since"), buf));
	if (flag(unit, "in_window") && num(unit, "tenants") > 0)
		(void)fprintf(out, "  down: %" PRId64 " tenants", num(unit, "tenants"));
	else if (flag(unit, "in_window"))
		(void)fputs("  window open", out);
	if (*str(unit, "text"))
		(void)fprintf(out, "  %s", str(unit, "text"));
	(void)fputc('\n', out);
}

static void hold_line(FILE *out, struct json_object *hold)
{
	char buf[32];
	(void)fprintf(out, "%s %s: %s", str(hold, "kind"), str(hold, "scope"), str(hold, "text"));
	if (num(hold, "since") > 0)
		(void)fprintf(out, ", since %s", ago(num(hold, "since"), buf));
	if (*str(hold, "actor"))
		(void)fprintf(out, ", by %s", str(hold, "actor"));
	(void)fprintf(out, "; lifted by %s\n", str(hold, "who"));
}

static void units_block(FILE *out, const char *word, struct json_object *units)
{
	EACH (unit, units) {
		(void)fprintf(out, "%-10s ", title(word, unit_i));
		unit_line(out, unit);
	}
}

static void balancer_line(FILE *out, struct json_object *balancer)
{
	(void)fprintf(out, "%-10s", str(balancer, "name"));
	if (num(balancer, "processes") > 1)
		(void)fprintf(out, " %s", flag(balancer, "agree") ? "agree" : "DISAGREE");
	if (num(balancer, "reachable") < num(balancer, "processes"))
		(void)fputs(" NOT REACHABLE", out);
	EACH (server, list(balancer, "servers")) {
		(void)fprintf(out, "  %s %s%s", str(server, "name"), str(server, "state"), flag(server, "up") ? "" : " DOWN");
		if (num(server, "sessions") > 0)
			(void)fprintf(out, " %" PRId64, num(server, "sessions"));
	}
	(void)fputc('\n', out);
}

static void stage_line(FILE *out, struct json_object *stage)
{
	static const char *const states[] = { "running", "failed", "parked", "skipped", "undone", "fenced", "waiting" };
	struct json_object *counts = NULL;
	(void)!json_get_object(stage, "counts", &counts, NULL);
	(void)fprintf(out, "%-16s %" PRId64 "/%" PRId64 " done", str(stage, "name"), num(counts, "done"), num(counts, "total"));
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (num(counts, states[i]) > 0)
			(void)fprintf(out, "  %" PRId64 " %s", num(counts, states[i]), states[i]);
	(void)fputc('\n', out);
}

static void render_stages(FILE *out, struct json_object *params)
{
	EACH (stage, list(params, "stages")) {
		(void)fprintf(out, "%-10s ", title("Stages", stage_i));
		stage_line(out, stage);
	}
}

static void strings_block(FILE *out, const char *word, struct json_object *strings)
{
	EACH (string, strings)
		(void)fprintf(out, "%-10s %s\n", title(word, string_i), json_object_get_string(string));
}

static void render_status(FILE *out, struct json_object *params)
{
	(void)fprintf(out, "%s\n", str(params, "first"));
	struct json_object *rollout = NULL;
	if (json_get_object(params, "rollout", &rollout, NULL) == 0 && *str(rollout, "text"))
		(void)fprintf(out, "Outcome    %s\n", str(rollout, "text"));
	units_block(out, "Attention", list(params, "attention"));
	strings_block(out, "Strays", list(params, "strays"));
	strings_block(out, "Next", list(params, "afterwards"));
	if (*str(params, "way_back"))
		(void)fprintf(out, "%-10s %s\n", "Back", str(params, "way_back"));
	if (flag(params, "low"))
		(void)fputs("Disk       low: nothing new starts until there is room for the journal again\n", out);
	bool tenants = false;
	EACH (fleet, list(params, "fleets"))
		tenants |= num(fleet, "schemata") > 0;
	EACH (fleet, list(params, "fleets")) {
		(void)fprintf(out, "%-10s %-4s %" PRId64 " nodes", title("Fleets", fleet_i), str(fleet, "class"), num(fleet, "nodes"));
		if (tenants)
			(void)fprintf(out, "  %" PRId64 " schemata  %" PRId64 " tenants, capacity %" PRId64, num(fleet, "schemata"), num(fleet, "tenants"), num(fleet, "capacity"));
		(void)fputc('\n', out);
	}
	EACH (balancer, list(params, "balancers")) {
		(void)fprintf(out, "%-10s ", title("Balancers", balancer_i));
		balancer_line(out, balancer);
	}
	units_block(out, "Now", list(params, "now"));
	EACH (hold, list(params, "holds")) {
		(void)fprintf(out, "%-10s ", title("Held", hold_i));
		hold_line(out, hold);
	}
	render_stages(out, params);
}

static void render_units(FILE *out, struct json_object *params)
{
	EACH (unit, list(params, "units"))
		unit_line(out, unit);
}

static void record_line(FILE *out, struct json_object *record)
{
	char buf[32];
	(void)fprintf(out, "%6" PRId64 "  %s  %-8s", num(record, "seq"), when(num(record, "at"), buf), str(record, "kind"));
	if (*str(record, "unit"))
		(void)fprintf(out, " %s", str(record, "unit"));
	static const char *const words[] = { "step", "lane", "dir", "code" };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (*str(record, words[i]))
			(void)fprintf(out, " %s", str(record, words[i]));
	if (num(record, "attempt") > 1)
		(void)fprintf(out, " attempt %" PRId64, num(record, "attempt"));
	if (*str(record, "actor"))
		(void)fprintf(out, " by %s", str(record, "actor"));
	const char *text = str(record, "text");
	(void)fprintf(out, "%s%.*s\n", *text ? "  " : "", (int)strcspn(text, "\n"), text);
	while (text[strcspn(text, "\n")] != '\0') { /* a report has lines */
		text += strcspn(text, "\n") + 1;
		(void)fprintf(out, "        | %.*s\n", (int)strcspn(text, "\n"), text);
	}
}

static void render_log(FILE *out, struct json_object *params)
{
	EACH (record, list(params, "records"))
		record_line(out, record);
}

static void unit_head(FILE *out, struct json_object *params)
{
	struct json_object *unit = NULL;
	char buf[32];
	if (json_get_object(params, "unit", &unit, NULL) != 0)
		return;
	unit_line(out, unit);
	if (num(unit, "window_ms") > 0)
		(void)fprintf(out, "%-10s %s %s\n", "Window", num(unit, "tenants") > 0 ? "tenants down for" : "open for", span(num(unit, "window_ms"), buf));
	if (num(unit, "task_ms") > 0)
		(void)fprintf(out, "%-10s ran for %s%s\n", "Task", span(num(unit, "task_ms"), buf),
			flag(unit, "past_pivot") ? "; past the pivot, it only goes forward" : "");
}

static void render_explain(FILE *out, struct json_object *params)
{
	unit_head(out, params);
	EACH (hold, list(params, "chain")) {
		(void)fprintf(out, "%-10s ", title("Because", hold_i));
		hold_line(out, hold);
	}
	strings_block(out, "Evidence", list(params, "evidence"));
	strings_block(out, "You can", list(params, "commands"));
}

static void render_show(FILE *out, struct json_object *params)
{
	unit_head(out, params);
	strings_block(out, "Evidence", list(params, "evidence"));
	render_log(out, params);
}

static void render_check(FILE *out, struct json_object *params)
{
	int64_t errors = num(params, "errors");
	(void)fprintf(out, "%s: %" PRId64 " errors %" PRId64 " warnings\n", errors > 0 ? "REFUSED" : "OK", errors, num(params, "warnings"));
	EACH (line, list(params, "text"))
		(void)fprintf(out, "%s\n", json_object_get_string(line));
	EACH (finding, list(params, "findings")) {
		if (strcmp(str(finding, "level"), "ok") == 0)
			continue;
		(void)fprintf(out, "%-8s %s: %s\n", str(finding, "level"), str(finding, "subject"), str(finding, "text"));
		if (*str(finding, "mend"))
			(void)fprintf(out, "%-8s mend: %s\n", "", str(finding, "mend"));
	}
}

static void render_simulation(FILE *out, struct json_object *simulation)
{
	char begin[32], end[32];
	struct json_object *windows = NULL;
	(void)fprintf(out, "\nSimulated, with the times the profile gives its steps:\n");
	(void)fprintf(out, "  ends after %s; at most %" PRId64 " nodes out", span(num(simulation, "makespan_ms"), end), num(simulation, "nodes_out"));
	if (num(simulation, "tenants_down") > 0)
		(void)fprintf(out, " and %" PRId64 " tenants down", num(simulation, "tenants_down"));
	(void)fputs(" at once\n", out);
	EACH (stage, list(simulation, "stages"))
		if (num(stage, "end_ms") > 0)
			(void)fprintf(out, "  %-12s from %s to %s\n", str(stage, "name"), span(num(stage, "begin_ms"), begin), span(num(stage, "end_ms"), end));
	if (json_get_object(simulation, "windows", &windows, NULL) != 0 || windows == NULL)
		return;
	(void)fprintf(out, "  %" PRId64 " windows: median %s, longest %s; the longest ones:\n", num(windows, "n"), span(num(windows, "median_ms"), begin),
		span(num(windows, "longest_ms"), end));
	EACH (window, list(windows, "longest"))
		if (num(window, "tenants") > 0)
			(void)fprintf(out, "    %-24s %s for %" PRId64 " tenants\n", str(window, "name"), span(num(window, "ms"), end), num(window, "tenants"));
		else
			(void)fprintf(out, "    %-24s %s\n", str(window, "name"), span(num(window, "ms"), end));
}

static void render_plan(FILE *out, struct json_object *params)
{
	struct json_object *simulation = NULL;
	(void)fprintf(out, "plan %s", str(params, "hash"));
	if (num(params, "tenants") > 0)
		(void)fprintf(out, "  %" PRId64 " tenants", num(params, "tenants"));
	(void)fputc('\n', out);
	render_stages(out, params);
	EACH (line, list(params, "text"))
		(void)fprintf(out, "%s\n", json_object_get_string(line));
	strings_block(out, "Problem", list(params, "problems"));
	if (json_get_object(params, "simulation", &simulation, NULL) == 0 && simulation != NULL)
		render_simulation(out, simulation);
}

static void render_history(FILE *out, struct json_object *params)
{
	char from[32], to[32];
	EACH (rollout, list(params, "rollouts"))
		(void)fprintf(out, "run %" PRId64 " %-8s %s  %s to %s by %s  %s\n", num(rollout, "id"), str(rollout, "state"),
			str(rollout, "profile"), when(num(rollout, "started"), from), when(num(rollout, "ended"), to),
			str(rollout, "actor"), str(rollout, "text"));
}

static void render_whoami(FILE *out, struct json_object *params)
{
	(void)fprintf(out, "uid %" PRId64 " (%s), role %s; upgd %s\n", num(params, "uid"), str(params, "user"), str(params, "role"),
		str(params, "version"));
}

static void render_sentence(FILE *out, struct json_object *params)
{
	if (*str(params, "text"))
		(void)fprintf(out, "%s\n", str(params, "text"));
}

const struct render render_text = {
	.status = render_status,
	.units = render_units,
	.explain = render_explain,
	.show = render_show,
	.log = render_log,
	.check = render_check,
	.plan = render_plan,
	.history = render_history,
	.whoami = render_whoami,
	.text = render_sentence,
};

render_fn *render_for(const struct render *render, const char *verb)
{
	const struct {
		const char *verb;
		render_fn *fn;
	} rows[] = {
		{ "status", render->status }, { "watch", render->status }, { "list", render->units },
		{ "explain", render->explain }, { "show", render->show }, { "log", render->log },
		{ "check", render->check }, { "plan", render->plan }, { "history", render->history },
		{ "whoami", render->whoami },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].verb, verb) == 0)
			return rows[i].fn;
	return render->text;
}
