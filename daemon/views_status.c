/* SPDX-License-Identifier: MIT */
/*
 * Status: counts and the worst few, whatever the size of the site. The first line is made here, so that every client says the same. Those
 * who follow share one reply, made at most five times a second; what changes without a record (facts, a soak that runs) is compared
 * once a second.
 */
#include "views_parts.h"

#include "core/explain.h"
#include "core/facts.h"
#include "executor.h"
#include "io/loop.h"
#include "memory.h"
#include "render/template.h"
#include "site.h"

#include <inttypes.h>
#include <string.h>

enum { SERVERS_MAX = 400, CHECK_SHOWN_MS = 5000 };

/* ---- the first line ---- */

static const char *param_of(const struct rollout *r, const char *name)
{
	for (size_t i = 0; i < r->profile->n_params; i++)
		if (strcmp(r->profile->params[i].name, name) == 0)
			return r->profile->params[i].value;
	return NULL;
}

static const char *state_shown(const struct rollout *r, bool held)
{
	static const char *const words[] = { "PLANNING", "RUNNING", "ABORTING", "DONE", "PARTIAL", "ABORTED" };
	if (r->back != BACK_NO)
		return r->back == BACK_REST ? "BACK" : "GOING-BACK";
	if (r->state == ROLLOUT_RUNNING && r->paused)
		return "PAUSED";
	if (r->state == ROLLOUT_RUNNING && held)
		return "HELD";
	return words[r->state];
}

static void progress(FILE *out, const struct rollout *r, uint8_t s, const char *noun)
{
	static const struct { uint8_t state; const char *word; } parts[] = { { UNIT_RUNNING, "running" }, { UNIT_UNDOING, "undoing" },
		{ UNIT_FAILED, "failed" }, { UNIT_UNCERTAIN, "uncertain" }, { UNIT_PARKED, "parked" }, { UNIT_SKIPPED, "skipped" },
		{ UNIT_FENCED, "fenced" } };
	uint32_t n[UNIT_STATES] = { 0 };
	for (uint32_t k = 0; k < r->n_order[s]; k++)
		n[r->units[r->order[s][k]].state]++;
	(void)fprintf(out, " %s %u/%u", noun, n[UNIT_DONE], r->n_order[s]);
	const char *between = " (";
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (n[parts[i].state] == 0)
			continue;
		(void)fprintf(out, "%s%u %s", between, n[parts[i].state], parts[i].word);
		between = " ";
	}
	if (between[1] == '\0')
		(void)fputs(")", out);
}

static void counts_shown(FILE *out, const struct rollout *r)
{
	bool any = false;
	for (int pass = 0; pass < 2 && r->profile->set_tenants >= 0; pass++) {
		for (uint8_t s = 0; s < r->profile->n_stages; s++) {
			const struct stage *stage = &r->profile->stages[s];
			if (!(pass == 0 ? stage->takes_out : stage->has_window && !stage->takes_out))
				continue;
			char noun[100];
			const char *set = r->profile->sets[stage->set].name;
			(void)snprintf(noun, sizeof(noun), "%s%s", strcmp(set, "schema") == 0 ? "schemata" : set, strcmp(set, "schema") == 0 ? "" : "s");
			progress(out, r, s, noun);
			any = true;
			break;
		}
	}
	if (r->n_units == 0)
		(void)fputs(" nothing to do", out);
	for (uint8_t s = 0; s < r->profile->n_stages && !any; s++) /* a way of steps, not two fleets with tenants in between */
		if (r->n_order[s] > 0)
			progress(out, r, s, r->profile->stages[s].name);
}

static char *first_line(const struct rollout *r, const char *waits)
{
	char *text = NULL, number[32], span[32];
	size_t size;
	FILE *out = memory_need(open_memstream(&text, &size));
	bool held = strcmp(waits, "nothing") != 0;
	(void)fprintf(out, "run %u %s %s", r->id, state_shown(r, held), r->profile->name);
	const char *from = param_of(r, "from"), *to = param_of(r, "to");
	if (to != NULL)
		(void)fprintf(out, " %s%s%s", from != NULL ? from : "", from != NULL ? ">" : "", to);
	if (r->profile->plan >= 0)
		(void)fprintf(out, " (plan %s)", r->profile->plans[r->profile->plan].name);
	counts_shown(out, r);
	if (r->profile->set_tenants >= 0)
		(void)fprintf(out, " down %s tenants", view_number(facts_tenants_down(r), number));
	int64_t until = rollout_is_over(r) ? r->ended_ms : loop_wall_ms();
	(void)fprintf(out, " elapsed %s waits: %s", view_span(until - r->started_ms, span), waits);
	(void)fclose(out);
	return text;
}

/* ---- parts ---- */

static struct json_object *stages(const struct rollout *r)
{
	struct json_object *array = json_object_new_array();
	for (uint8_t s = 0; s < r->profile->n_stages; s++)
		json_object_array_add(array, view_stage(r, s));
	return array;
}

static struct json_object *fleet(const struct rollout *r, uint8_t class_, bool *empty)
{
	int64_t nodes = 0, schemata = 0, tenants = 0, capacity = 0;
	for (uint32_t i = 0; i < r->n_rows; i++) {
		const struct fact_row *fact = &r->facts.rows[i];
		if (!fact->known || fact->class_ != class_)
			continue;
		if (r->rows[i].set == r->profile->set_node && fact->up) {
			nodes++;
			capacity += r->rows[i].capacity;
		} else if (r->rows[i].set == r->profile->set_tenants) {
			schemata++;
			tenants += fact->tenants;
		}
	}
	*empty = nodes + schemata == 0;
	struct json_object *object = json_object_new_object();
	json_add_str(object, "class", r->profile->classes[class_]);
	json_add_int(object, "nodes", nodes);
	json_add_int(object, "schemata", schemata);
	json_add_int(object, "tenants", tenants);
	json_add_int(object, "capacity", capacity);
	return object;
}

static struct json_object *fleets(const struct rollout *r)
{
	struct json_object *array = json_object_new_array();
	for (uint8_t c = 1; c < r->profile->n_classes && (r->profile->set_node >= 0 || r->profile->set_tenants >= 0); c++) {
		bool empty;
		struct json_object *object = fleet(r, c, &empty);
		if (empty && c > CLASS_NEW)
			json_object_put(object);
		else
			json_object_array_add(array, object);
	}
	return array;
}

static void add_server(struct json_object *array, const struct rollout *r, uint32_t row, uint8_t balancer)
{
	const struct fact_server *server = &r->facts.servers[balancer][r->rows[row].rank];
	struct json_object *object = json_object_new_object();
	json_add_str(object, "name", r->rows[row].name);
	json_add_str(object, "state", server_state_word((enum server_state)server->state));
	json_add_bool(object, "up", server->up);
	json_add_int(object, "sessions", server->sessions);
	json_object_array_add(array, object);
}

static struct json_object *balancer(const struct views *views, const struct rollout *r, uint8_t b)
{
	const char *name = r->profile->balancers[b];
	const char *error = views->with.executor != NULL ? executor_balancer_error(views->with.executor, name) : NULL;
	size_t processes = views->with.site != NULL ? site_processes(views->with.site, name) : 0, n = 0;
	struct json_object *object = json_object_new_object(), *servers = json_object_new_array();
	json_add_str(object, "name", name);
	json_add_bool(object, "agree", error == NULL);
	json_add_int(object, "processes", (int64_t)processes);
	json_add_int(object, "reachable", (int64_t)(error == NULL || processes == 0 ? processes : processes - 1));
	/* of a large site those that serve are left out first */
	for (int serving = 0; serving < 2 && r->facts.servers[b] != NULL; serving++) {
		for (uint32_t i = 0; i < r->n_rows && n < SERVERS_MAX; i++) {
			if (r->rows[i].set != r->profile->set_node)
				continue;
			const struct fact_server *server = &r->facts.servers[b][r->rows[i].rank];
			bool serves = server->state == SERVER_READY && server->up;
			if (serves != (serving == 1))
				continue;
			add_server(servers, r, i, b);
			n++;
		}
	}
	json_add(object, "servers", servers);
	return object;
}

static struct json_object *balancers(const struct views *views, const struct rollout *r)
{
	struct json_object *array = json_object_new_array();
	for (uint8_t b = 0; b < r->profile->n_balancers; b++)
		json_object_array_add(array, balancer(views, r, b));
	return array;
}

static struct json_object *now_units(const struct views *views, const struct rollout *r)
{
	struct json_object *array = json_object_new_array();
	for (uint32_t i = 0; i < r->n_units && json_object_array_length(array) < VIEWS_FEW; i++)
		if (r->units[i].state == UNIT_RUNNING || r->units[i].state == UNIT_UNDOING)
			json_object_array_add(array, view_unit(views, r, i));
	return array;
}

/* 0: none of a person's business; else lower is worse. */
static int badness(const struct views *views, const struct rollout *r, uint32_t unit)
{
	char trouble[16];
	const struct unit *u = &r->units[unit];
	const struct live *live = &r->live[unit];
	if (u->state == UNIT_FAILED || u->state == UNIT_UNCERTAIN)
		return 1;
	if (u->state == UNIT_PARKED)
		return 2;
	if (line_changed(r, unit) != NULL)
		return 3;
	if (rollout_is_over(r))
		return 0;
	if (u->state == UNIT_RUNNING && (live->why.kind == WHY_APPROVAL || live->why.kind == WHY_CONTESTED))
		return 3;
	bool active = u->state == UNIT_RUNNING || u->state == UNIT_UNDOING;
	if (active && (live->late || rollout_is_stalled(r, unit) || (views->with.executor != NULL && executor_trouble(views->with.executor, unit, trouble, sizeof(trouble))[0] != '\0')))
		return 4;
	bool long_check = live->why.kind == WHY_CHECK && live->why.since_boot != 0 && loop_boot_ms() > live->why.since_boot + CHECK_SHOWN_MS;
	return u->state == UNIT_WAITING && long_check && r->stage_why[u->stage].kind == WHY_NONE ? 5 : 0;
}

static struct json_object *attention(const struct views *views, const struct rollout *r)
{
	struct json_object *array = json_object_new_array();
	for (int bad = 1; bad <= 5; bad++)
		for (uint32_t i = 0; i < r->n_units && json_object_array_length(array) < VIEWS_FEW; i++)
			if (badness(views, r, i) == bad)
				json_object_array_add(array, view_unit(views, r, i));
	return array;
}

static struct json_object *rollout_json(const struct views *views, const struct rollout *r)
{
	if (views->n_past == 0)
		return NULL;
	struct json_object *object = view_past(&views->past[(views->n_past - 1) % VIEWS_HISTORY]);
	json_add_str(object, "state", view_state_word(r));
	return object;
}

static int param_value(void *arg, const char *name, const char **out, struct fail *fail)
{
	(void)fail;
	const char *value = strncmp(name, "param.", 6) == 0 ? param_of(arg, name + 6) : NULL;
	*out = value != NULL ? value : "?";
	return 0;
}

/* What a person does next: the profile's word to who has it all behind them, else how to go on. */
static struct json_object *afterwards(const struct rollout *r)
{
	struct json_object *array = json_object_new_array();
	struct fail fail;
	if (r != NULL && (r->state == ROLLOUT_PARTIAL || r->state == ROLLOUT_ABORTED))
		json_object_array_add(array, json_object_new_string("upgctl list shows what is not done; upgctl start with the same parameters takes it up in a new rollout."));
	if (r != NULL && r->back == BACK_REST) {
		char text[700], name[300];
		(void)snprintf(text, sizeof(text), "It is back on the old version and rests; what could be undone is. Mend what is named, then upgctl retry %s begins anew; "
			"or upgctl abort %u ends it.", rollout_unit_name(r, r->back_unit, name, sizeof(name)), r->id);
		json_array_add_str(array, text);
	}
	for (char **text = r != NULL && r->state == ROLLOUT_DONE ? r->profile->afterwards : NULL; text != NULL && *text != NULL; text++) {
		char *bound = template_bind(*text, TEMPLATE_PLAIN, param_value, (void *)(uintptr_t)r, &fail);
		if (bound != NULL)
			json_object_array_add(array, json_object_new_string(bound));
		free(bound);
	}
	return array;
}

static void add_nothing(struct json_object *reply)
{
	static const char *const arrays[] = { "stages", "fleets", "balancers", "now", "attention", "holds" };
	json_add_str(reply, "first", "no rollout yet: upgctl check, then upgctl start");
	json_add(reply, "rollout", NULL);
	json_add_str(reply, "waits", "nothing");
	json_add_int(reply, "tenants_down", 0);
	json_add(reply, "way_back", NULL);
	for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
		json_add(reply, arrays[i], json_object_new_array());
}

static void add_rollout(struct json_object *reply, const struct views *views, const struct rollout *r)
{
	char *hold = NULL;
	struct json_object *holds = view_holds(views, r, &hold);
	const char *waits = hold == NULL || view_is_moving(r) ? "nothing" : hold;
	char *first = first_line(r, waits);
	json_add_str(reply, "first", first);
	json_add(reply, "rollout", rollout_json(views, r));
	json_add_str(reply, "waits", waits);
	json_add_int(reply, "tenants_down", facts_tenants_down(r));
	json_add(reply, "stages", stages(r));
	json_add(reply, "fleets", fleets(r));
	json_add(reply, "balancers", balancers(views, r));
	json_add(reply, "now", now_units(views, r));
	json_add(reply, "attention", attention(views, r));
	json_add(reply, "holds", holds);
	char way_back[200];
	json_add_str(reply, "way_back", view_way_back(r, way_back, sizeof(way_back)));
	free(first);
	free(hold);
}

static struct json_object *strays(const struct views *views)
{
	struct json_object *array = json_object_new_array();
	const char *text;
	for (size_t i = 0; views->with.executor != NULL && i < VIEWS_FEW && (text = executor_stray(views->with.executor, i)) != NULL; i++)
		json_array_add_str(array, text);
	return array;
}

struct json_object *view_status_reply(const struct views *views)
{
	const struct rollout *r = engine_rollout(views->with.engine);
	struct json_object *reply = json_object_new_object();
	if (r == NULL || r->state == ROLLOUT_PLANNING)
		add_nothing(reply);
	else
		add_rollout(reply, views, r);
	json_add(reply, "strays", strays(views));
	json_add(reply, "afterwards", afterwards(r));
	json_add_bool(reply, "low", r != NULL && r->low);
	json_add_int(reply, "seq", (int64_t)engine_seq(views->with.engine));
	return reply;
}

struct json_object *views_status(const struct views *views)
{
	return view_status_reply(views);
}

void view_status(struct views *views, struct control_call *call)
{
	bool more = control_call_wants_more(call);
	if (more)
		(void)view_follow(views, call, FOLLOW_STATUS);
	control_reply(call, view_status_reply(views), more);
}
