/* SPDX-License-Identifier: MIT */
/*
 * The control socket's answers, asked for through the socket: real engine, journal and profile in a thread of their own; the site is
 * made up here, and nothing that is sent there ever comes back.
 */
#include "daemon/config.h"
#include "daemon/control.h"
#include "daemon/discover.h"
#include "daemon/params_ask.h"
#include "daemon/executor.h"
#include "daemon/io/conf.h"
#include "daemon/io/loop.h"
#include "daemon/io/store.h"
#include "daemon/peer.h"
#include "daemon/site.h"
#include "daemon/views.h"
#include "proto/json.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEADLINE_S = 60, SCHEMATA = 150 };

static struct {
	char dir[64], socket[96];
	struct loop *loop;
	struct store *store;
	struct engine *engine;
	struct views *views;
	struct control *control;
	struct loop_timer *wake;
	atomic_uint_fast64_t wake_at;
	pthread_t thread;
	int fd;
	struct config_pair vars[8];
	struct config config;
	bool broken; /* the site has errors */
} world;

/* ---- the site ---- */

struct executor {
	int nothing;
};

struct discovery {
	discover_fn *fn;
	void *arg;
	struct loop_timer *timer;
};

size_t site_processes(const struct site *site, const char *balancer)
{
	(void)site;
	(void)balancer;
	return 2;
}

const char *executor_balancer_error(const struct executor *executor, const char *balancer)
{
	(void)executor;
	return strcmp(balancer, "secondary") == 0 ? "lb2: no answer for 4 s" : NULL;
}

const char *executor_stray(const struct executor *executor, size_t i)
{
	(void)executor;
	return i == 0 ? "ox1: task r7-1/work/ox1/run/ox1/do/1/9 still runs, and nobody waits for it: rollout 7 is over" : NULL;
}

const char *executor_trouble(const struct executor *executor, uint32_t unit, char *buf, size_t size)
{
	buf[0] = '\0';
	return buf;
}

const char *executor_doing(const struct executor *executor, uint32_t unit, char *buf, size_t size)
{
	return executor_trouble(executor, unit, buf, size);
}

const char *executor_captures(const struct executor *executor, uint32_t unit)
{
	(void)executor;
	return unit == 0 ? "{\"before\":1}" : NULL;
}

static void discovered(void *arg)
{
	struct discovery *d = arg;
	static char names[SCHEMATA][32];
	struct engine_row rows[3 + SCHEMATA] = { { .set = 1, .columns = "name=ox1\n", .class_ = CLASS_OLD, .capacity = 2000 },
		{ .set = 1, .columns = "name=ox2\n", .class_ = CLASS_OLD, .capacity = 2000 }, { .set = 1, .columns = "name=ox3\n", .class_ = CLASS_OLD, .capacity = 2000 } };
	for (unsigned i = 0; i < SCHEMATA; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "name=ox_%u\nhost=1\n", i + 1);
		rows[3 + i] = (struct engine_row){ .set = 2, .columns = names[i], .class_ = i == 0 ? CLASS_NEW : CLASS_OLD, .weight = 10, .host = 1 };
	}
	struct discover_finding findings[] = { { DISCOVER_OK, (char *)(uintptr_t) "ox1", (char *)(uintptr_t) "fine", NULL },
		{ DISCOVER_ERROR, (char *)(uintptr_t) "ox2", (char *)(uintptr_t) "its runner does not answer", (char *)(uintptr_t) "start it" } };
	const struct discover_result result = { .rows = rows, .n_rows = 3 + SCHEMATA, .findings = findings, .n_findings = world.broken ? 2 : 1,
		.n_errors = world.broken };
	loop_timer_free(d->timer);
	d->fn(d->arg, &result);
	free(d);
}

struct discovery *discover_start(struct site *site, const struct profile *profile, bool check, discover_fn *fn, void *arg)
{
	(void)site;
	(void)profile;
	(void)check;
	struct discovery *d = calloc(1, sizeof(*d));
	*d = (struct discovery){ .fn = fn, .arg = arg, .timer = loop_timer_new(world.loop, discovered, d) };
	loop_timer_set(d->timer, 1);
	return d;
}

void discover_cancel(struct discovery *d)
{
	loop_timer_free(d->timer);
	free(d);
}

/* No parameter of these profiles has a probe. */
struct params_ask *params_ask_start(struct site *site, const struct profile *profile, params_ask_fn *fn, void *arg)
{
	(void)site;
	(void)profile;
	(void)fn;
	(void)arg;
	return NULL;
}

void params_ask_cancel(struct params_ask *ask)
{
	(void)ask;
}

/* ---- the daemon ---- */

static void op_now(void *arg, uint64_t *boot_ms, int64_t *wall_ms)
{
	(void)arg;
	*boot_ms = loop_boot_ms();
	*wall_ms = loop_wall_ms();
}

static void on_durable(void *arg, int error, const char *text)
{
	(void)arg;
	(void)text;
	engine_durable(world.engine, error);
	views_changed(world.views);
}

static void op_append(void *arg, const struct record *records, size_t n)
{
	(void)arg;
	store_append(world.store, records, n, on_durable, NULL);
}

static void op_perform(void *arg, struct rollout *rollout, const struct effect *effect)
{
	(void)arg;
	(void)rollout;
	(void)effect;
}

static void op_wake(void *arg, uint64_t boot_ms)
{
	(void)arg;
	atomic_store(&world.wake_at, boot_ms);
}

static void op_applied(void *arg, const struct rollout *rollout, const struct record *record)
{
	(void)arg;
	views_applied(world.views, rollout, record);
}

static int on_fold(void *arg, const struct record *record)
{
	return engine_fold(world.engine, record, arg);
}

static void *run(void *arg)
{
	return loop_run(world.loop) == 0 ? arg : NULL;
}

static void quit(void *arg)
{
	loop_quit(arg);
}

static void daemon_start(void)
{
	static const struct engine_ops ops = { .now = op_now, .append = op_append, .perform = op_perform, .wake = op_wake, .applied = op_applied };
	static const struct peer_roles roles = { 0 };
	struct fail fail = { .text = "" };
	world.loop = loop_new(&fail);
	assert_non_null(world.loop);
	const struct store_options store = { .dir = world.dir, .ballast_bytes = 4096 };
	if (store_open(&world.store, world.loop, &store, &fail) != 0)
		fail_msg("%s", fail.text);
	static struct executor executor;
	world.engine = engine_new(&ops, NULL);
	const struct views_options options = { .loop = world.loop, .store = world.store, .engine = world.engine,
		.site = (struct site *)(uintptr_t)&executor, .executor = &executor, .config = &world.config };
	world.views = views_new(&options);
	assert_int_equal(store_fold(world.store, 0, on_fold, &fail, &fail), 0);
	const struct control_options control = { .path = world.socket, .mode = 0600, .roles = &roles, .handle = views_handle, .arg = world.views };
	if (control_new(&world.control, world.loop, &control, &fail) != 0)
		fail_msg("%s", fail.text);
	engine_recovered(world.engine);
	assert_int_equal(pthread_create(&world.thread, NULL, run, NULL), 0);

	struct sockaddr_un address = { .sun_family = AF_UNIX };
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", world.socket);
	struct timeval deadline = { .tv_sec = DEADLINE_S };
	world.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(world.fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)), 0);
	assert_int_equal(connect(world.fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void daemon_stop(void)
{
	(void)close(world.fd);
	loop_post_from_thread(world.loop, quit, world.loop);
	(void)pthread_join(world.thread, NULL);
	views_stop(world.views);
	control_free(world.control);
	store_close(world.store);
	engine_free(world.engine);
	views_free(world.views);
	loop_free(world.loop);
}

static int setup(void **state)
{
	(void)state;
	static const char *const vars[][2] = { { "from", "7.10.5" }, { "to", "7.10.6" }, { "new_fleet", "new" }, { "redirect", "https://x.example.com" } };
	(void)snprintf(world.dir, sizeof(world.dir), "/tmp/upgd-views-XXXXXX");
	assert_non_null(mkdtemp(world.dir));
	(void)snprintf(world.socket, sizeof(world.socket), "%s/sock", world.dir);
	for (size_t i = 0; i < 4; i++)
		world.vars[i] = (struct config_pair){ (char *)(uintptr_t)vars[i][0], (char *)(uintptr_t)vars[i][1], 0 };
	world.config = (struct config){ .profile_path = (char *)(uintptr_t)(UPGD_SOURCE_DIR "/conf/profiles/ox-appsuite.conf"), .vars = { world.vars, 4 } };
	world.broken = false;
	daemon_start();
	return 0;
}

static int teardown(void **state)
{
	static const char *const files[] = { "journal.db", "journal.db-wal", "journal.db-shm", "ballast", "lock", "sock" };
	char path[200];
	(void)state;
	daemon_stop();
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", world.dir, files[i]);
		(void)unlink(path);
	}
	(void)rmdir(world.dir);
	return 0;
}

/* ---- the client ---- */

static struct json_object *receive(void)
{
	static char buf[2 << 20];
	size_t n = 0;
	do {
		ssize_t got = recv(world.fd, buf + n, 1, 0);
		assert_int_equal(got, 1);
		assert_true(n < 1 << 20); /* every reply stays below 1 MB */
	} while (buf[n++] != '\0');
	struct fail fail = { .text = "" };
	struct json_object *reply = json_parse(buf, n - 1, &fail);
	if (reply == NULL)
		fail_msg("%s", fail.text);
	return reply;
}

/* Replies to a follower until one holds the part: there may be others before it. */
static void receive_until(const char *part)
{
	for (bool found = false; !found;) {
		struct json_object *reply = receive(); /* fails at the deadline */
		found = strstr(json_text(reply, NULL), part) != NULL;
		json_object_put(reply);
	}
}

static void ask(const char *method, const char *params, bool more)
{
	char text[2000];
	int n = snprintf(text, sizeof(text), "{\"method\":\"io.upgd.Control.%s\",\"parameters\":%s%s}", method, params, more ? ",\"more\":true" : "");
	assert_int_equal(send(world.fd, text, (size_t)n + 1, 0), n + 1);
}

/* The parameters of the reply, or of the error that is expected; owned by the caller. */
static struct json_object *call(const char *method, const char *params, const char *error)
{
	const char *got = NULL;
	struct json_object *args = NULL;
	ask(method, params, false);
	struct json_object *reply = receive();
	(void)!json_get_str(reply, "error", &got, NULL);
	(void)!json_get_object(reply, "parameters", &args, NULL);
	if (error == NULL && got != NULL)
		fail_msg("%s: %s", method, json_text(reply, NULL));
	if (error != NULL) {
		assert_non_null(got);
		assert_string_equal(got + strlen("io.upgd.Control."), error);
	}
	json_object_get(args);
	json_object_put(reply);
	return args;
}

static void has(struct json_object *object, const char *part)
{
	if (strstr(json_text(object, NULL), part) == NULL)
		fail_msg("no %s in %s", part, json_text(object, NULL));
}

static void expect(const char *method, const char *params, const char *error, const char *part)
{
	struct json_object *reply = call(method, params, error);
	has(reply, part);
	json_object_put(reply);
}

#define PACKAGE "\"params\":{\"package\":\"7.10.6-44\"}"

/* ---- */

static void test_nothing_yet(void **state)
{
	(void)state;
	expect("Status", "{}", NULL, "\"rollout\":null");
	expect("Status", "{}", NULL, "no rollout yet");
	expect("Pause", "{}", "NoRollout", "upgctl start");
	expect("Explain", "{\"unit\":\"a/b\"}", "NoRollout", "upgctl start");
	expect("History", "{}", NULL, "\"rollouts\":[]");
	expect("Whoami", "{}", NULL, "\"role\":\"admin\"");
	expect("Check", "{}", NULL, "parameter package is missing");
	expect("Plan", "{}", "BadParameter", "parameter package is missing");
}

static void test_start_names_what_is_wrong(void **state)
{
	(void)state;
	expect("Start", "{}", "BadParameter", "parameter package is missing");
	expect("Start", "{" PACKAGE ",\"until\":\"nonsense\"}", "BadParameter", "nonsense is no stage");
	expect("Start", "{" PACKAGE ",\"until\":\"migrate/ox1\"}", "BadParameter", "no unit");
	expect("Start", "{" PACKAGE ",\"only\":[\"ox_1\",\"ox_999\"]}", "BadParameter", "nothing here is called ox_999");
	expect("Start", "{" PACKAGE ",\"skip\":[\"ox9\"]}", "BadParameter", "\"parameter\":\"skip\"");
	expect("Start", "{" PACKAGE ",\"skip_after\":\"ox_151\"}", "BadParameter", "no schema ox_151");
	expect("Start", "{" PACKAGE ",\"on_failure\":\"ignore\"}", "BadParameter", "continue or pause");
	expect("Start", "{" PACKAGE ",\"request_id\":\"\"}", "BadParameter", "should be 1 to 128 bytes");
	expect("Start", "{\"params\":{\"package\":\"a\\nb\"}}", "BadParameter", "one line");
	world.broken = true;
	expect("Start", "{" PACKAGE "}", "Refused", "ox2: its runner does not answer");
	expect("Check", "{" PACKAGE "}", NULL, "\"errors\":1");
	expect("Plan", "{" PACKAGE "}", NULL, "\"problems\":[\"ox2: its runner");
	expect("Status", "{}", NULL, "\"rollout\":null");
}

static void test_start_is_idempotent(void **state)
{
	(void)state;
	expect("Start", "{" PACKAGE ",\"request_id\":\"r1\"}", NULL, "\"already\":false");
	expect("Start", "{" PACKAGE "}", NULL, "\"already\":true");
	expect("Start", "{\"request_id\":\"r1\"," PACKAGE "}", NULL, "\"already\":true,\"text\":\"done already");
	expect("Start", "{\"params\":{\"package\":\"other\"}}", "Refused", "abort 1");
	expect("History", "{}", NULL, "\"package\":\"7.10.6-44\"");
}

/* What a second start asks for is had, or refused with the way to have it; never dropped in silence. */
static void test_second_start_with_other_options(void **state)
{
	(void)state;
	expect("Start", "{" PACKAGE ",\"until\":\"migrate\",\"skip\":[\"ox_7\"]}", NULL, "\"already\":false");
	expect("Start", "{" PACKAGE ",\"until\":\"migrate\",\"skip\":[\"ox_7\"],\"on_failure\":\"pause\"}", NULL, "\"already\":true");
	expect("Start", "{" PACKAGE ",\"skip\":[\"ox_7\",\"ox_8\"]}", "Refused", "does not leave out ox_8: upgctl skip STAGE/ox_8");
	expect("Start", "{" PACKAGE ",\"until\":\"convert\"}", "Refused", "--until is taken at its start only");
	expect("Start", "{" PACKAGE ",\"only\":[\"ox_1\"]}", "Refused", "--only is taken at its start only");
	expect("Start", "{" PACKAGE ",\"skip_after\":\"ox_3\"}", "Refused", "--after is taken at its start only");
	expect("Start", "{" PACKAGE ",\"on_failure\":\"continue\"}", "Refused", "--on-failure is taken at its start only");
	expect("Skip", "{\"unit\":\"migrate/ox_8\"}", NULL, "is skipped");
	expect("Start", "{" PACKAGE ",\"skip\":[\"ox_7\",\"ox_8\"]}", NULL, "\"already\":true");
	expect("Status", "{}", NULL, "\"id\":1");
}

/* Each that changes something, with a name; then again, and with the name for something else: in this life, and in the next. */
static void test_repeated_requests_are_carried_out_once(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "Start", "{\"request_id\":\"r0\"," PACKAGE "}" },
		{ "Pause", "{\"request_id\":\"r1\"}" },
		{ "Skip", "{\"request_id\":\"r2\",\"unit\":\"migrate/ox_5\"}" },
		{ "Retry", "{\"request_id\":\"r3\",\"unit\":\"migrate/ox_5\"}" },
		{ "Resume", "{\"request_id\":\"r4\"}" },
		{ "Approve", "{\"request_id\":\"r5\",\"what\":\"prepare/freeze\"}" },
		{ "Pause", "{\"request_id\":\"r6\",\"now\":true}" },
		{ "Abort", "{\"request_id\":\"r7\",\"rollout\":1}" },
	};
	enum { N = sizeof(rows) / sizeof(rows[0]) };
	for (size_t i = 0; i < N; i++)
		json_object_put(call(rows[i][0], rows[i][1], NULL));
	for (int life = 0; life < 2; life++) {
		json_object_put(call(rows[0][0], rows[0][1], NULL)); /* answered when all before it is on the disk */
		struct json_object *last = call("Log", "{\"limit\":1}", NULL);
		uint64_t wake = atomic_load(&world.wake_at);
		for (size_t i = 0; i < N; i++)
			expect(rows[i][0], rows[i][1], NULL, "done already: this request was carried out before, in rollout 1");
		expect("Start", "{\"request_id\":\"r0\",\"params\":{\"package\":\"other\"}}", "BadParameter", "\\\"r0\\\" named another request before");
		expect("Pause", "{\"request_id\":\"r6\"}", "BadParameter", "\\\"r6\\\" named another request before");
		expect("Skip", "{\"request_id\":\"r3\",\"unit\":\"migrate/ox_5\"}", "BadParameter", "\"parameter\":\"request_id\"");
		expect("Log", "{\"limit\":1}", NULL, json_text(last, NULL));
		json_object_put(last);
		assert_true(wake > 0);
		assert_int_equal(atomic_load(&world.wake_at), wake); /* an answer alone leaves the next look where it was */
		daemon_stop();
		daemon_start();
		json_object_put(call("Status", "{}", NULL));
	}
}

static void test_skip_after_counts_in_numbers(void **state)
{
	(void)state;
	struct json_object *reply = call("Start", "{" PACKAGE ",\"skip\":[\"ox_100\"],\"skip_after\":\"ox_3\"}", NULL);
	has(reply, "3 skipped, up to and with ox_3; 2 of them are NOT observed as new: ox_2 ox_3");
	json_object_put(reply);
	expect("ListUnits", "{\"stage\":\"migrate\",\"state\":\"skipped\"}", NULL, "migrate/ox_100");
	reply = call("ListUnits", "{\"stage\":\"migrate\",\"state\":\"skipped\"}", NULL);
	struct json_object *units = NULL;
	assert_int_equal(json_get_array(reply, "units", &units, NULL), 0);
	assert_int_equal(json_object_array_length(units), 3); /* ox_1 was new already: done */
	json_object_put(reply);
}

static void test_status_names_the_question(void **state)
{
	(void)state;
	json_object_put(call("Start", "{" PACKAGE "}", NULL));
	expect("Status", "{}", NULL, "run 1 HELD ox-appsuite 7.10.5>7.10.6 nodes 0/3 schemata 1/150 down 0 tenants elapsed 0s waits: approval: ");
	expect("Status", "{}", NULL, "\"who\":\"operator\"");
	expect("Status", "{}", NULL, "lb2: no answer for 4 s");
	expect("Explain", "{\"unit\":\"prepare/cluster\"}", NULL, "upgctl approve prepare/freeze");
	expect("Explain", "{\"unit\":\"prepare/cluster\"}", NULL, "before: {");
	expect("Explain", "{\"unit\":\"migrate/ox_151\"}", "NoSuchUnit", "did you mean migrate/ox_1");
	expect("Explain", "{\"unit\":\"ox_7\"}", "NoSuchUnit", "migrate/ox_7");
	expect("Approve", "{\"what\":\"migrate\"}", "BadParameter", "convert/first-boot");
	expect("Approve", "{\"what\":\"prepare\"}", NULL, "approve: prepare");
	expect("Approve", "{\"what\":\"prepare/freeze\"}", NULL, "approved already");
	expect("Status", "{}", NULL, "waits: nothing");
}

static void test_commands(void **state)
{
	(void)state;
	json_object_put(call("Start", "{" PACKAGE "}", NULL));
	expect("Pause", "{\"request_id\":\"p\"}", NULL, "nothing new starts");
	expect("Pause", "{\"request_id\":\"p\"}", NULL, "done already");
	expect("Status", "{}", NULL, "run 1 PAUSED");
	expect("Status", "{}", NULL, "\"state\":\"paused\"");
	expect("Resume", "{}", NULL, "goes on");
	expect("Skip", "{\"unit\":\"migrate/ox_5\"}", NULL, "is skipped");
	expect("Park", "{\"unit\":\"migrate/ox_5\"}", "Refused", "is skipped; retry");
	expect("Retry", "{\"unit\":\"migrate/ox_5\"}", NULL, "is waiting");
	expect("Abort", "{\"rollout\":2}", "BadParameter", "run 1 is at hand, not 2");
}

static void test_pages(void **state)
{
	(void)state;
	char params[200] = "{\"limit\":37}";
	json_object_put(call("Start", "{" PACKAGE "}", NULL));
	size_t n = 0;
	for (bool more = true; more;) {
		struct json_object *reply = call("ListUnits", params, NULL), *units = NULL;
		const char *name = "";
		assert_int_equal(json_get_array(reply, "units", &units, NULL), 0);
		assert_int_equal(json_get_bool(reply, "more", &more, NULL), 0);
		n += json_object_array_length(units);
		assert_int_equal(json_get_str(json_object_array_get_idx(units, json_object_array_length(units) - 1), "name", &name, NULL), 0);
		(void)snprintf(params, sizeof(params), "{\"limit\":37,\"after\":\"%s\"}", name);
		json_object_put(reply);
	}
	assert_int_equal(n, 3 + 4 * 3 + SCHEMATA); /* three stages of the cluster, four of nodes, one of schemata */
	expect("ListUnits", "{\"limit\":0}", "BadParameter", "limit");
	expect("ListUnits", "{\"stage\":\"x\"}", "BadParameter", "no stage");
	expect("ListUnits", "{\"state\":\"x\"}", "BadParameter", "uncertain");
}

static void test_log_and_its_units_survive_a_restart(void **state)
{
	(void)state;
	json_object_put(call("Start", "{" PACKAGE "}", NULL));
	expect("Log", "{}", NULL, "\"kind\":\"start\"");
	expect("Log", "{\"limit\":1}", NULL, "\"kind\":\"admit\"");
	expect("Log", "{\"unit\":\"prepare/cluster\"}", NULL, "{\"records\":[{\"seq\":158,");
	daemon_stop();
	daemon_start();
	expect("History", "{}", NULL, "\"id\":1");
	json_object_put(call("Pause", "{}", NULL)); /* answered when it is on the disk, and what was before it */
	expect("Log", "{\"limit\":2}", NULL, "{\"records\":[{\"seq\":159,");
	expect("Log", "{\"limit\":2}", NULL, "\"kind\":\"pause\"");
	expect("Status", "{}", NULL, "run 1 PAUSED");
}

/* A window of the cluster's own row, which no query has given. */
static void test_a_window_of_the_cluster_is_simulated(void **state)
{
	(void)state;
	static const char stage[] = "\n{ name = \"outage\"; for = \"cluster\"; steps = (\n"
		"{ name = \"down\"; run = [ \"true\" ]; on = \"local\"; resolve = \"rerun\"; takes = \"1m\"; window = \"open\"; },\n"
		"{ name = \"up\"; run = [ \"true\" ]; on = \"local\"; resolve = \"rerun\"; takes = \"9h\"; window = \"close\"; } ); },\n";
	static char text[100000], path[128];
	FILE *in = fopen(world.config.profile_path, "r");
	assert_non_null(in);
	text[fread(text, 1, sizeof(text) - 1, in)] = '\0';
	(void)fclose(in);
	char *stages = strstr(text, "stages = (");
	assert_non_null(stages);
	stages += strlen("stages = (");
	(void)snprintf(path, sizeof(path), "%s/profile.conf", world.dir);
	FILE *out = fopen(path, "w");
	assert_non_null(out);
	(void)fprintf(out, "%.*s%s%s", (int)(stages - text), text, stage, stages);
	(void)fclose(out);
	world.config.profile_path = path;
	expect("Plan", "{" PACKAGE ",\"simulate\":true}", NULL, "{\"name\":\"cluster\",\"ms\":32460000");
	(void)unlink(path);
}

/* On the loop: the dump failed, and what it printed is no UTF-8, obeyed by terminals, and too long to be shown whole. */
static void backup_fails(void *arg)
{
	(void)arg;
	const struct unit *unit = &engine_rollout(world.engine)->units[0];
	char text[4000];
	size_t n = (size_t)snprintf(text, sizeof(text), "exit 2\n\xe4 \xc2\x9b""2J");
	for (; n + 3 < sizeof(text); n += 2)
		memcpy(text + n, "\xc3\xa4", 3);
	struct event event = { .kind = EVENT_ACTED, .step = unit->step, .lane = unit->lane[0], .attempt = unit->attempt, .seq = unit->intent[0],
		.result = RESULT_FAILED, .text = text };
	engine_event(world.engine, &event);
}

static void test_output_of_any_bytes_can_be_read(void **state)
{
	(void)state;
	json_object_put(call("Start", "{" PACKAGE ",\"yes\":true}", NULL));
	loop_post_from_thread(world.loop, backup_fails, NULL);
	json_object_put(call("Pause", "{}", NULL)); /* answered when what was before it is on the disk */
	struct json_object *reply = call("Explain", "{\"unit\":\"prepare/cluster\"}", NULL);
	has(reply, "backup attempt 1: exit 2 \xef\xbf\xbd   2J\xc3\xa4");
	has(reply, "\xc3\xa4...");
	json_object_put(reply);
	expect("Log", "{\"limit\":5}", NULL, "\xc3\xa4...");
	expect("Status", "{}", NULL, "PAUSED");
}

/* Through the same connection, each change once, until it is closed. */
static void test_followers(void **state)
{
	(void)state;
	int first = world.fd;
	ask("Status", "{}", true);
	json_object_put(receive());
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", world.socket);
	struct timeval deadline = { .tv_sec = DEADLINE_S };
	int second = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(second, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)), 0);
	assert_int_equal(connect(second, (struct sockaddr *)&address, sizeof(address)), 0);
	world.fd = second;
	json_object_put(call("Start", "{" PACKAGE "}", NULL));
	world.fd = first;
	receive_until("run 1 HELD");
	world.fd = second; /* and once more, long after it came */
	json_object_put(call("Pause", "{}", NULL));
	world.fd = first;
	receive_until("run 1 PAUSED");
	(void)close(first);
	world.fd = second;
	ask("Log", "{\"since\":158}", true);
	json_object_put(receive());
	world.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(world.fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)), 0);
	assert_int_equal(connect(world.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	expect("Resume", "{}", NULL, "resume");
	int third = world.fd;
	world.fd = second;
	receive_until("\"kind\":\"resume\"");
	(void)close(second);
	world.fd = third;
	expect("Status", "{}", NULL, "HELD");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing_yet, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start_names_what_is_wrong, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start_is_idempotent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_second_start_with_other_options, setup, teardown),
		cmocka_unit_test_setup_teardown(test_repeated_requests_are_carried_out_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_skip_after_counts_in_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_status_names_the_question, setup, teardown),
		cmocka_unit_test_setup_teardown(test_commands, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_log_and_its_units_survive_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_window_of_the_cluster_is_simulated, setup, teardown),
		cmocka_unit_test_setup_teardown(test_output_of_any_bytes_can_be_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_followers, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
