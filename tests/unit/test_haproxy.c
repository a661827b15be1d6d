/* SPDX-License-Identifier: MIT */
/* Parsers on recorded text, conversations with a fake HAProxy that misbehaves. The real one: test_haproxy_live.c. */
#include "daemon/io/haproxy.h"
#include "daemon/io/haproxy_ask.h"
#include "daemon/io/loop.h"
#include "tests/unit/haproxy_recorded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/sockios.h>

#define N(array) (sizeof(array) / sizeof((array)[0]))

enum { DEADLINE_MS = 60000, MAX_SERVERS = 16 };

/* ---- parsers ---- */

static void test_info(void **state)
{
	(void)state;
	struct fail fail = { 0 };
	unsigned pid = 0;
	uint64_t start = 0;
	bool stopping = true;
	assert_int_equal(haproxy_parse_info(recorded_info, strlen(recorded_info), &pid, &start, &stopping, &fail), 0);
	assert_int_equal(pid, atoi(strstr(recorded_info, "\nPid: ") + 6));
	assert_int_equal(start, atoll(strstr(recorded_info, "Start_time_sec: ") + 16));
	assert_false(stopping);
}

static size_t parse_recorded(struct haproxy_server *servers)
{
	struct fail fail = { 0 };
	size_t n = 0;
	assert_int_equal(haproxy_parse_state(recorded_state, strlen(recorded_state), "be_ox", servers, MAX_SERVERS, &n, &fail), 0);
	assert_int_equal(haproxy_parse_stat(recorded_stat, strlen(recorded_stat), "be_ox", servers, n, &fail), 0);
	return n;
}

static void test_recorded_servers(void **state)
{
	(void)state;
	static const struct haproxy_server rows[] = {
		{ .name = "ox1", .up = true, .fresh = true, .has_check = true, .status = "UP", .check = "L7OK" },
		{ .name = "ox2", .up = true, .fresh = true, .has_check = true, .admin = HAPROXY_FDRAIN, .status = "DRAIN", .check = "L7OK" },
		{ .name = "ox3", .has_check = true, .admin = HAPROXY_FMAINT, .status = "MAINT" },
		{ .name = "ox4", .has_check = true, .status = "DOWN", .check = "L4CON" },
		{ .name = "ox5", .up = true, .fresh = true, .status = "no check" },
		{ .name = "ox6", .up = true, .fresh = true, .status = "UP" },
	};
	struct haproxy_server servers[MAX_SERVERS];
	assert_int_equal(parse_recorded(servers), N(rows));
	for (size_t i = 0; i < N(rows); i++) {
		assert_string_equal(servers[i].name, rows[i].name);
		assert_string_equal(servers[i].status, rows[i].status);
		assert_string_equal(servers[i].check, rows[i].check);
		assert_int_equal(servers[i].admin, rows[i].admin);
		assert_int_equal(servers[i].up, rows[i].up);
		assert_int_equal(servers[i].fresh, rows[i].fresh);
		assert_int_equal(servers[i].has_check, rows[i].has_check);
		assert_int_equal(servers[i].sessions, 0);
	}
}

static void test_recorded_old_worker(void **state)
{
	(void)state;
	struct haproxy_server servers[MAX_SERVERS];
	struct fail fail = { 0 };
	unsigned pids[4];
	size_t n = parse_recorded(servers), n_pids = 0;
	assert_int_equal(haproxy_parse_proc(recorded_proc, strlen(recorded_proc), pids, 4, &n_pids, &fail), 0);
	assert_int_equal(n_pids, 1);
	assert_int_equal(pids[0], atoi(strstr(recorded_proc, "# old workers\n") + 14));
	for (int i = 0; i < 2; i++)
		assert_int_equal(haproxy_parse_old_stat(recorded_old_stat, strlen(recorded_old_stat), "be_ox", servers, n, &fail), 0);
	assert_int_equal(servers[0].old_sessions, 2);
	assert_int_equal(servers[1].old_sessions, 0);
	assert_int_equal(servers[4].old_sessions, 2);
	assert_int_equal(servers[5].old_sessions, 2);
	assert_int_equal(servers[0].sessions, 0);
}

enum which { INFO, STATE, STAT, OLD_STAT, PROC, SET, N_WHICH };

/* text is copied into a block of its exact size, so that a sanitizer sees every byte too far. */
static int parse(enum which which, const char *text, size_t len, struct fail *fail)
{
	static struct haproxy_server servers[MAX_SERVERS];
	struct haproxy_server known[MAX_SERVERS];
	size_t n_known = parse_recorded(known), n = 0;
	unsigned pids[4];
	uint64_t start;
	bool stopping;
	int rc = 0;
	char *copy = malloc(len + 1);
	memcpy(copy, text, len);
	copy[len] = '\0';
	switch (which) {
	case INFO: rc = haproxy_parse_info(copy, len, pids, &start, &stopping, fail); break;
	case STATE: rc = haproxy_parse_state(copy, len, "be_ox", servers, MAX_SERVERS, &n, fail); break;
	case STAT: rc = haproxy_parse_stat(copy, len, "be_ox", known, n_known, fail); break;
	case OLD_STAT: rc = haproxy_parse_old_stat(copy, len, "be_ox", known, n_known, fail); break;
	case PROC: rc = haproxy_parse_proc(copy, len, pids, 4, &n, fail); break;
	case SET: rc = haproxy_parse_set_reply(copy, len, fail); break;
	case N_WHICH: break;
	}
	free(copy);
	return rc;
}

static const char *const recorded[] = { recorded_info, recorded_state, recorded_stat, recorded_old_stat, recorded_proc };

static void test_every_cut_is_an_error(void **state)
{
	(void)state;
	for (size_t which = 0; which < N(recorded); which++)
		for (size_t len = 0; len < strlen(recorded[which]); len++) {
			struct fail fail = { 0 };
			if (parse((enum which)which, recorded[which], len, &fail) >= 0)
				fail_msg("text %zu cut to %zu bytes was taken for whole", which, len);
			assert_true(fail.code < 0 && fail.text[0] != '\0');
		}
}

static void test_garbled_text_is_survived(void **state)
{
	(void)state;
	unsigned seed = 20261121;
	for (size_t which = 0; which < N(recorded); which++)
		for (int round = 0; round < 1500; round++) {
			size_t len = strlen(recorded[which]);
			char *text = strdup(recorded[which]);
			for (int i = 0; i < 1 + round % 8; i++)
				text[(size_t)rand_r(&seed) % len] = (char)("\n,\" 9\0#-\xff"[rand_r(&seed) % 9]);
			struct fail fail = { 0 };
			for (size_t as = 0; as < N_WHICH; as++)
				(void)parse((enum which)as, text, len, &fail);
			free(text);
		}
}

static void test_status_rows(void **state)
{
	(void)state;
	static const struct {
		unsigned admin;
		const char *row; /* status,check_status,rise,fall,health */
		bool up, fresh, has_check;
	} rows[] = {
		{ 0, "UP,L7OK,2,3,4", true, true, true },
		{ 0, "UP 1/3,L7OK,2,3,2", true, false, true },   /* back from maint, no check passed since */
		{ 0, "UP -1/3,INI,2,3,1", true, false, true },
		{ 8, "DRAIN,L7OK,2,3,4", true, true, true },
		{ 8, "DRAIN 1/3,L7OK,2,3,2", true, false, true },
		{ 8, "DRAIN (agent),L7OK,2,3,4", true, true, true },
		{ 8, "DOWN,L4CON,2,3,0", false, false, true },   /* drained while down */
		{ 8, "DOWN 1/2,L7OK,2,3,1", true, false, true },
		{ 12, "DOWN 1/2,L7OK,2,3,1", true, false, true }, /* began disabled in the file: that flag stays for ever */
		{ 8, "DOWN (agent),L7OK,2,3,4", false, true, true },
		{ 0, "DOWN 1/2,L7OK,2,3,1", false, false, true },
		{ 0, "NOLB,L7OKC,2,3,4", false, true, true },
		{ 1, "MAINT,,,,", false, true, false },
		{ 9, "MAINT,L7OK,2,3,4", false, true, true },
		{ 2, "MAINT (via be/s3),,,,", false, true, false },
		{ 0, "no check,,,,", true, true, false },
		{ 8, "DRAIN,,,,", true, true, false },
		{ 0, "UPSIDE,L7OK,2,3,4", false, true, true },
	};
	for (size_t i = 0; i < N(rows); i++) {
		struct haproxy_server server = { .name = "ox1", .admin = rows[i].admin };
		struct fail fail = { 0 };
		char text[256];
		(void)snprintf(text, sizeof(text), "# pxname,svname,qcur,scur,stot,status,check_status,check_rise,check_fall,check_health,\n"
			"be_ox,ox1,3,4,5000000000,%s,\n\n", rows[i].row);
		if (haproxy_parse_stat(text, strlen(text), "be_ox", &server, 1, &fail) != 0 || server.up != rows[i].up ||
			server.fresh != rows[i].fresh || server.has_check != rows[i].has_check || server.sessions != 7 ||
			server.total != 5000000000)
			fail_msg("%s: %s up=%d fresh=%d has_check=%d", rows[i].row, fail.text, server.up, server.fresh, server.has_check);
	}
}

static void test_stat_by_header_and_quotes(void **state)
{
	(void)state;
	struct haproxy_server server = { .name = "ox1" };
	struct fail fail = { 0 };
	static const char text[] = "# pxname,svname,last_chk,check_health,new_one,check_fall,check_rise,check_status,status,scur,qcur,stot,\n"
		"be_ox,ox1,\"said \"\"no\"\", then\nbe_ox,ox1,,\",4,,3,2,L7OK,UP,12,1,13,\n"
		"other,ox1,,0,,3,2,L4CON,DOWN,99,0,99,\n\n";
	assert_int_equal(haproxy_parse_stat(text, strlen(text), "be_ox", &server, 1, &fail), 0);
	assert_int_equal(server.sessions, 13);
	assert_string_equal(server.status, "UP");
	assert_true(server.fresh);
}

static void test_refusals_of_tables(void **state)
{
	(void)state;
	static const struct { enum which which; const char *text, *says; } rows[] = {
		{ INFO, "", "closed without an answer" },
		{ INFO, "Name: HAProxy\nPid: 99999999999999999999\n\n", "unexpected answer \"Pid: 9999" },
		{ INFO, "Name: HAProxy\nStopping: 0\n\n", "no Pid" },
		{ INFO, "SSH-2.0-OpenSSH\r\n", "unexpected answer \"SSH-2.0-OpenSSH?\"" },
		{ STATE, "Can't find backend.\n\n", "no backend be_ox (renamed?)" },
		{ STATE, "Permission denied\n\n", "level admin" },
		{ STATE, "2\n# nothing\n\n", "unexpected answer \"2\"" },
		{ STATE, "1\n# be_id be_name\n3 be_ox\n\n", "header line" },
		{ STATE, "1\n# be_name srv_name srv_admin_state srv_check_state\nbe_ox ox1 0\n\n", "unexpected answer \"be_ox ox1 0\"" },
		{ STATE, "1\n# be_name srv_name srv_admin_state srv_check_state\nbe_ox ox1 -1 6\n\n", "unexpected answer" },
		{ STAT, "No such proxy.\n\n", "no backend be_ox (renamed?)" },
		{ STAT, "# pxname,svname,scur,\nbe_ox,ox1,0,\n\n", "lacks columns" },
		{ STAT, "# pxname,svname,qcur,scur,stot,status,check_status,check_rise,check_fall,check_health,\n\n", "no line for server be_ox/ox1" },
		{ STAT, "# pxname,svname,qcur,scur,stot,status,check_status,check_rise,check_fall,check_health,\nbe_ox,ox1,0,-3,0,UP,,,,,\n\n", "\"-3\"" },
		{ STAT, "# pxname,svname,qcur,scur,stot,status,check_status,check_rise,check_fall,check_health,\nbe_ox,ox1,0,\n\n", "\"be_ox,ox1,0,\"" },
		{ PROC, "Unknown command.\n\n", "unexpected answer" },
		{ PROC, "#<PID> <type>\n1 master\n\n", "master socket" },
		{ PROC, "#<PID> <type>\n# workers\n# old workers\nx worker\n\n", "\"x worker\"" },
		{ PROC, "#<PID> <type>\n# workers\n# old workers\n1 worker\n2 worker\n3 worker\n4 worker\n5 worker\n\n", "more than 4 old" },
	};
	for (size_t i = 0; i < N(rows); i++) {
		struct fail fail = { 0 };
		if (parse(rows[i].which, rows[i].text, strlen(rows[i].text), &fail) >= 0 || strstr(fail.text, rows[i].says) == NULL)
			fail_msg("%s -> %s", rows[i].text, fail.text);
	}
	struct fail fail = { 0 };
	assert_int_equal(parse(OLD_STAT, "Can't find the target PID matching the prefix '@!9'\n", 52, &fail), HAPROXY_WORKER_GONE);
	assert_int_equal(parse(OLD_STAT, "No such proxy.\n\n", 16, &fail), 0);
}

static void test_proc_counts_workers_only(void **state)
{
	(void)state;
	static const char text[] = "#<PID> <type> <reloads>\n10 master 3\n# workers\n15 worker 0\n# old workers\n"
		"13             worker          2\n14 worker 1\n# programs\n11 sidecar 0\n# old programs\n12 worker 1\n\n";
	unsigned pids[4];
	size_t n = 0;
	struct fail fail = { 0 };
	assert_int_equal(haproxy_parse_proc(text, strlen(text), pids, 4, &n, &fail), 0);
	assert_int_equal(n, 2);
	assert_int_equal(pids[0], 13);
	assert_int_equal(pids[1], 14);
}

static void test_set_replies(void **state)
{
	(void)state;
	static const struct { const char *text, *says; /* NULL: accepted */ } rows[] = {
		{ "\n\n", NULL }, { "\n", NULL },
		{ "\n[6]: New server registered.\n\n", NULL },
		{ "\n[4]: no need to change the addr, port by 'stats socket command'\n\n", NULL },
		{ "\n[3]: No such server.\n\n", "refused: No such server." },
		{ "\n[3]: No such backend.\n\n", "No such backend." },
		{ "\n[3]: Permission denied\n\n", "level admin" },
		{ "\n[6]: Unknown command, but maybe one of the following ones is a better match:\n  show fd\n\n", "Unknown command" },
		{ "\n[6]: Unknown command. Please enter one of the following commands only:\n", "Unknown command" },
		{ "Permission denied\n\n", "level admin" },
		{ "Proxy is disabled.\n", "Proxy is disabled." },
		{ "\x01\x02\xff", "???" },
		{ "", "closed without an answer" },
	};
	for (size_t i = 0; i < N(rows); i++) {
		struct fail fail = { 0 };
		int rc = parse(SET, rows[i].text, strlen(rows[i].text), &fail);
		if ((rc == 0) != (rows[i].says == NULL) || (rc != 0 && strstr(fail.text, rows[i].says) == NULL))
			fail_msg("\"%s\": %d %s", rows[i].text, rc, fail.text);
	}
}

static void assert_sessions(const char *text, size_t len, const char *const *ids)
{
	char id[HAPROXY_SESS_MAX];
	struct fail fail = { 0 };
	for (; *ids != NULL; ids++) {
		assert_int_equal(haproxy_next_sess(&text, &len, id, &fail), 1);
		assert_string_equal(id, *ids);
	}
	assert_int_equal(haproxy_next_sess(&text, &len, id, &fail), 0);
}

/* In one piece, in two at any place, and byte by byte: the same. */
static void test_sessions_of_a_server(void **state)
{
	(void)state;
	static const char *const all[] = { "0x560a33c53d30", "0x560a33d64830", "0x7fc5a8027ef0", NULL };
	size_t len = strlen(recorded_sess), n;
	char *text = malloc(len + 1);
	assert_non_null(text);
	for (size_t cut = 0; cut <= len; cut++) {
		memcpy(text, recorded_sess, len + 1);
		n = haproxy_sieve_sess(text, cut, "be_im", "im1", 10);
		memmove(text + n, recorded_sess + cut, len - cut);
		n = haproxy_sieve_sess(text, n + len - cut, "be_im", "im1", 10);
		assert_true(n < 60);
		assert_sessions(text, n, all);
	}
	n = 0;
	for (size_t i = 0; i < len; i++) {
		text[n] = recorded_sess[i];
		n = haproxy_sieve_sess(text, n + 1, "be_im", "im1", 2);
	}
	assert_sessions(text, n, (const char *const[]){ all[0], all[1], NULL });
	memcpy(text, recorded_sess, len + 1);
	n = haproxy_sieve_sess(text, len, "be_im", "im", 10);
	assert_sessions(text, n, (const char *const[]){ NULL });
	memcpy(text, recorded_sess, len + 1);
	n = haproxy_sieve_sess(text, len, "be_i", "im1", 10);
	assert_sessions(text, n, (const char *const[]){ NULL });
	free(text);
}

static void test_odd_lists_of_sessions(void **state)
{
	(void)state;
	static const char *const rows[][2] = { { "Permission denied\n\n", "needs `level admin`" }, { "0x: be=be_im srv=im1\n", "unexpected answer" },
		{ "0x12345678901234567890123456789: be=be_im srv=im1\n", "unexpected answer" }, { "0x12g: be=be_im srv=im1\n", "unexpected answer" },
		{ "0x1234; be=be_im srv=im1\n", "unexpected answer" }, { "0x123: be=be_im srv=im1", "unexpected answer" } };
	char text[80], id[HAPROXY_SESS_MAX];
	for (size_t i = 0; i < N(rows); i++) {
		struct fail fail = { 0 };
		strcpy(text, rows[i][0]);
		size_t len = haproxy_sieve_sess(text, strlen(text), "be_im", "im1", 10);
		const char *rest = text;
		assert_true(haproxy_next_sess(&rest, &len, id, &fail) < 0);
		assert_non_null(strstr(fail.text, rows[i][1]));
	}
}

static void test_ended_sessions(void **state)
{
	(void)state;
	struct fail fail = { 0 };
	unsigned gone = 0;
	static const char some[] = "\nNo such session (use 'show sess').\n\n\nNo such session (use 'show sess').\n\n", refused[] = "\nPermission denied\n\n";
	assert_int_equal(haproxy_parse_shutdown("\n\n", 2, &gone, &fail), 0);
	assert_int_equal(gone, 0);
	assert_int_equal(haproxy_parse_shutdown(some, strlen(some), &gone, &fail), 0);
	assert_int_equal(gone, 2);
	assert_true(haproxy_parse_shutdown(refused, strlen(refused), &gone, &fail) < 0);
	assert_non_null(strstr(fail.text, "needs `level admin`"));
	assert_true(haproxy_parse_shutdown("", 0, &gone, &fail) < 0);
}

static void test_addresses(void **state)
{
	(void)state;
	static const struct { const char *text; sa_family_t family; } good[] = {
		{ "/run/haproxy/admin.sock", AF_UNIX }, { "127.0.0.1:9999", AF_INET }, { "localhost:9999", AF_INET },
		{ "[::1]:9999", AF_INET6 }, { "[fe80::1]:1", AF_INET6 },
	};
	static const char *const bad[] = { "", "admin.sock", "lb1:9999", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:-1",
		"[::1]", ":9999", "127.0.0.1:9 9",
		"/a/path/that/is/far/longer/than/the/one/hundred/and/seven/bytes/which/the/system/has/for/the/name/of/a/socket/file" };
	struct haproxy_address address;
	struct fail fail;
	for (size_t i = 0; i < N(good); i++) {
		assert_int_equal(haproxy_address_init(&address, good[i].text, &fail), 0);
		assert_int_equal(address.at.ss_family, good[i].family);
		assert_string_equal(address.name, good[i].text);
		haproxy_address_done(&address);
	}
	for (size_t i = 0; i < N(bad); i++) {
		fail = (struct fail){ 0 };
		assert_true(haproxy_address_init(&address, bad[i], &fail) < 0);
		assert_non_null(strstr(fail.text, bad[i]));
	}
}

/* ---- a fake HAProxy ---- */

enum delivery { WHOLE, BYTEWISE, STALL, CUT };

struct rule {
	const char *begins, *reply;
	int from, until; /* only for the from-th to until-th question that begins so; 0 0: always */
};

struct fake {
	char dir[64], path[2][96]; /* runtime, master */
	int fds[2], stop[2];
	pthread_t thread;
	pthread_mutex_t lock;     /* for the next four, which tests change while the thread runs */
	const struct rule *rules; /* first match */
	int asked[16];            /* per rule of the same `begins`, counted at the first of them */
	size_t cut;               /* STALL and CUT: after so many bytes of ... */
	const char *cut_at;       /* ... the answer to what begins so */
	enum delivery delivery;
	char log[4096];           /* one line per question; read after fake_stop() */
	int kept[32];
	size_t n_kept;
};

struct world {
	struct loop *loop;
	struct loop_timer *guard, *idle;
	struct fake fake;
	bool running;
	struct haproxy *haproxy;
	int waiting;
};

static void say(struct fake *fake, int fd, const char *text, size_t len)
{
	size_t block = fake->delivery == BYTEWISE ? 1 : len;
	for (size_t i = 0; i < len; ) {
		ssize_t n = send(fd, text + i, block < len - i ? block : len - i, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		i += (size_t)n;
		int unread = 1; /* the next byte only when this one was taken */
		while (fake->delivery == BYTEWISE && unread > 0 && ioctl(fd, SIOCOUTQ, &unread) == 0)
			sched_yield();
	}
}

static const char *reply_to(struct fake *fake, const char *line)
{
	const struct rule *first = NULL;
	int count = 0;
	for (const struct rule *rule = fake->rules; rule->begins != NULL; rule++) {
		if (strncmp(line, rule->begins, strlen(rule->begins)) != 0)
			continue;
		if (first == NULL) {
			first = rule;
			count = ++fake->asked[rule - fake->rules];
		}
		if (rule->until == 0 || (count >= rule->from && count <= rule->until))
			return rule->reply;
	}
	return "Unknown command.\n\n";
}

static void converse(struct fake *fake, int fd, bool master)
{
	char line[16384] = "";
	size_t n = 0;
	while (strchr(line, '\n') == NULL && n < sizeof(line) - 1) {
		ssize_t got = recv(fd, line + n, sizeof(line) - 1 - n, 0);
		if (got <= 0)
			break;
		n += (size_t)got;
		line[n] = '\0';
	}
	/* A master goes on listening until the client has stopped sending. */
	char more;
	if (master && recv(fd, &more, 1, 0) != 0)
		strcpy(line, "no half-close\n");
	size_t logged = strlen(fake->log), room = sizeof(fake->log) - logged - 1;
	memcpy(fake->log + logged, line, strnlen(line, room));
	pthread_mutex_lock(&fake->lock);
	const char *reply = reply_to(fake, line);
	bool odd = fake->cut_at != NULL && strncmp(line, fake->cut_at, strlen(fake->cut_at)) == 0;
	size_t len = strlen(reply), cut = fake->cut;
	pthread_mutex_unlock(&fake->lock);
	say(fake, fd, reply, odd && cut < len ? cut : len);
	if (odd && fake->delivery == STALL && fake->n_kept < N(fake->kept))
		fake->kept[fake->n_kept++] = fd;
	else
		close(fd);
}

static void *serve(void *arg)
{
	struct fake *fake = arg;
	struct pollfd polls[3] = { { .fd = fake->fds[0], .events = POLLIN }, { .fd = fake->fds[1], .events = POLLIN },
		{ .fd = fake->stop[0], .events = POLLIN } };
	while (poll(polls, 3, -1) >= 0 && polls[2].revents == 0)
		for (int i = 0; i < 2; i++) {
			int fd = polls[i].revents != 0 ? accept(fake->fds[i], NULL, NULL) : -1;
			if (fd >= 0)
				converse(fake, fd, i == 1);
		}
	return NULL;
}

static int listen_at(const char *path, int backlog)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	strcpy(un.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	if (backlog >= 0)
		assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static void on_guard(void *arg)
{
	(void)arg;
	fail_msg("no callback within %d ms", DEADLINE_MS);
}

static void on_idle(void *arg)
{
	loop_quit(((struct world *)arg)->loop);
}

static int set_up(void **state)
{
	static struct world world;
	world = (struct world){ .loop = loop_new(NULL) };
	world.guard = loop_timer_new(world.loop, on_guard, NULL);
	world.idle = loop_timer_new(world.loop, on_idle, &world);
	loop_timer_set(world.guard, DEADLINE_MS);
	strcpy(world.fake.dir, "/tmp/test_haproxy.XXXXXX");
	assert_non_null(mkdtemp(world.fake.dir));
	for (int i = 0; i < 2; i++)
		(void)snprintf(world.fake.path[i], sizeof(world.fake.path[i]), "%s/%s.sock", world.fake.dir, i == 0 ? "lb1" : "lb1-master");
	*state = &world;
	return 0;
}

static void fake_start(struct world *world, const struct rule *rules, enum delivery delivery)
{
	struct fake *fake = &world->fake;
	pthread_mutex_init(&fake->lock, NULL);
	fake->rules = rules;
	fake->delivery = delivery;
	for (int i = 0; i < 2; i++)
		fake->fds[i] = listen_at(fake->path[i], 16);
	assert_int_equal(pipe(fake->stop), 0);
	assert_int_equal(pthread_create(&fake->thread, NULL, serve, fake), 0);
	world->running = true;
}

static void fake_cut(struct world *world, const char *at, size_t cut)
{
	pthread_mutex_lock(&world->fake.lock);
	world->fake.cut_at = at;
	world->fake.cut = cut;
	pthread_mutex_unlock(&world->fake.lock);
}

static void fake_rules(struct world *world, const struct rule *rules)
{
	pthread_mutex_lock(&world->fake.lock);
	world->fake.rules = rules;
	memset(world->fake.asked, 0, sizeof(world->fake.asked));
	pthread_mutex_unlock(&world->fake.lock);
}

static void fake_stop(struct world *world)
{
	struct fake *fake = &world->fake;
	if (!world->running)
		return;
	world->running = false;
	close(fake->stop[1]);
	pthread_join(fake->thread, NULL);
	close(fake->stop[0]);
	for (size_t i = 0; i < fake->n_kept; i++)
		close(fake->kept[i]);
	for (int i = 0; i < 2; i++)
		close(fake->fds[i]);
	pthread_mutex_destroy(&fake->lock);
}

static int tear_down(void **state)
{
	struct world *world = *state;
	haproxy_free(world->haproxy);
	fake_stop(world);
	loop_timer_free(world->guard);
	loop_timer_free(world->idle);
	loop_free(world->loop);
	for (int i = 0; i < 2; i++)
		unlink(world->fake.path[i]);
	assert_int_equal(rmdir(world->fake.dir), 0);
	return 0;
}

static void use(struct world *world, bool with_master, unsigned timeout_ms)
{
	struct haproxy_options options = { .socket = world->fake.path[0], .master = with_master ? world->fake.path[1] : NULL,
		.timeout_ms = timeout_ms };
	world->haproxy = haproxy_new(world->loop, &options, NULL);
	assert_non_null(world->haproxy);
}

struct told {
	struct world *world;
	int calls;
	struct haproxy_snapshot snapshot; /* without its borrowed parts */
	struct haproxy_server servers[MAX_SERVERS];
	char error[512];
	bool then_free;
};

static char order[16]; /* of the callbacks: s, c */
static size_t n_order;

static void told_once(struct told *told, char letter)
{
	if (n_order + 1 < sizeof(order))
		order[n_order++] = letter;
	struct world *world = told->world;
	told->calls++;
	if (told->then_free) {
		haproxy_free(world->haproxy);
		world->haproxy = NULL;
	}
	if (--world->waiting == 0)
		loop_quit(world->loop);
}

static void on_snapshot(void *arg, const struct haproxy_snapshot *snapshot)
{
	struct told *told = arg;
	told->snapshot = *snapshot;
	assert_true(snapshot->reachable == (snapshot->error == NULL));
	assert_true(snapshot->n_servers <= MAX_SERVERS);
	if (snapshot->n_servers > 0)
		memcpy(told->servers, snapshot->servers, snapshot->n_servers * sizeof(*snapshot->servers));
	(void)snprintf(told->error, sizeof(told->error), "%s", snapshot->error != NULL ? snapshot->error : "");
	told_once(told, 's');
}

static void on_command(void *arg, const char *error)
{
	struct told *told = arg;
	(void)snprintf(told->error, sizeof(told->error), "%s", error != NULL ? error : "");
	told_once(told, 'c');
}

static void ask(struct world *world, struct told *told)
{
	*told = (struct told){ .world = world };
	world->waiting++;
	haproxy_snapshot(world->haproxy, "be_ox", on_snapshot, told);
	assert_int_equal(told->calls, 0);
}

static void set(struct world *world, struct told *told, const char *server, enum haproxy_want want)
{
	*told = (struct told){ .world = world };
	world->waiting++;
	haproxy_set(world->haproxy, "be_ox", server, want, on_command, told);
	assert_int_equal(told->calls, 0);
}

static void run(struct world *world)
{
	assert_int_equal(loop_run(world->loop), 0);
}

static void run_idle(struct world *world, unsigned ms)
{
	loop_timer_set(world->idle, ms);
	run(world);
}

static void reading(struct world *world, struct told *told)
{
	ask(world, told);
	run(world);
	assert_int_equal(told->calls, 1);
}

#define INFO_OF(pid, start, stopping) "Name: HAProxy\nPid: " #pid "\nStopping: " #stopping "\nStart_time_sec: " #start "\n\n"
#define TABLES { "show servers state be_ox\n", recorded_state, 0, 0 }, { "show stat be_ox 4 -1\n", recorded_stat, 0, 0 }
#define PROC_HEAD "#<PID> <type> <reloads>\n1 master 1\n# workers\n70 worker 0\n"

static const struct rule good[] = {
	{ "show info\n", INFO_OF(70, 1000, 0), 0, 0 }, TABLES,
	{ "show proc\n", PROC_HEAD "# old workers\n60 worker 1\n61 worker 2\n62 worker 3\n# programs\n\n", 0, 0 },
	{ "@!60 show stat be_ox 4 -1\n", recorded_old_stat, 0, 0 }, { "@!61 show stat be_ox 4 -1\n", recorded_old_stat, 0, 0 },
	{ "@!62 ", "Can't find the target PID matching the prefix '@!62'\n", 0, 0 },
	{ "set severity-output number; set server be_ox/gone ", "\n[3]: No such server.\n\n", 0, 0 },
	{ "set severity-output number; set server ", "\n\n", 0, 0 },
	{ "set severity-output number; shutdown sessions server be_ox/ox1\n", "\n\n", 0, 0 },
	{ NULL, NULL, 0, 0 },
};

static void check_good(const struct told *told, bool with_master)
{
	assert_string_equal(told->error, "");
	assert_true(told->snapshot.reachable);
	assert_int_equal(told->snapshot.pid, 70);
	assert_int_equal(told->snapshot.start_s, 1000);
	assert_int_equal(told->snapshot.n_servers, 6);
	assert_int_equal(told->snapshot.old_workers, with_master ? 2 : 0);
	assert_int_equal(told->servers[0].old_sessions, with_master ? 2 : 0);
	assert_false(told->snapshot.old_unknown || told->snapshot.stopping);
	assert_string_equal(told->servers[1].status, "DRAIN");
}

static void test_whole_conversation(void **state)
{
	struct world *world = *state;
	struct told told;
	fake_start(world, good, WHOLE);
	use(world, true, 0);
	reading(world, &told);
	check_good(&told, true);
	fake_stop(world);
	assert_string_equal(world->fake.log, "show info\nshow servers state be_ox\nshow stat be_ox 4 -1\nshow proc\n"
		"@!60 show stat be_ox 4 -1\n@!61 show stat be_ox 4 -1\n@!62 show stat be_ox 4 -1\nshow info\n");
}

static void test_replies_byte_by_byte(void **state)
{
	struct world *world = *state;
	struct told told;
	fake_start(world, good, BYTEWISE);
	use(world, true, 20000);
	reading(world, &told);
	check_good(&told, true);
	set(world, &told, "gone", HAPROXY_DRAIN);
	run(world);
	assert_non_null(strstr(told.error, "refused: No such server."));
}

static void check_error(struct world *world, const struct told *told, int socket, const char *says)
{
	assert_false(told->snapshot.reachable);
	if (strncmp(told->error, world->fake.path[socket], strlen(world->fake.path[socket])) != 0 || strstr(told->error, says) == NULL)
		fail_msg("error is: %s", told->error);
}

static void test_cut_replies_are_errors(void **state)
{
	struct world *world = *state;
	static const struct { const char *at; int socket; } rows[] = { { "show info", 0 }, { "show servers", 0 }, { "show stat", 0 },
		{ "show proc", 1 }, { "@!61", 1 } };
	fake_start(world, good, CUT);
	use(world, true, 0);
	for (size_t i = 0; i < N(rows); i++)
		for (size_t cut = 0; cut < 50; cut += 7) {
			struct told told;
			fake_cut(world, rows[i].at, cut);
			reading(world, &told);
			check_error(world, &told, rows[i].socket, "");
		}
}

static void test_stalls_end_by_deadline(void **state)
{
	struct world *world = *state;
	struct told told;
	static const char *const at[] = { "show info", "show stat", "show proc" };
	fake_start(world, good, STALL);
	use(world, true, 1000);
	for (size_t i = 0; i < N(at); i++) {
		fake_cut(world, at[i], 10);
		reading(world, &told);
		check_error(world, &told, i == 2, "within 1000 ms (10 bytes came)");
		assert_non_null(strstr(told.error, at[i]));
	}
	fake_cut(world, "set", 0);
	set(world, &told, "ox1", HAPROXY_READY);
	run(world);
	check_error(world, &told, 0, "no full answer to \"set severity-output number; set server be_ox/ox1 state ready\"");
}

/* As SIGSTOP and SIGCONT: no event of the loop is seen until the answer has been there for longer than it may take. */
static void on_stop(void *arg)
{
	struct world *world = arg;
	struct fake *fake = &world->fake;
	pthread_mutex_lock(&fake->lock);
	bool asked = fake->asked[0] > 0;
	pthread_mutex_unlock(&fake->lock);
	if (!asked) {
		loop_post(world->loop, on_stop, world);
		return;
	}
	for (uint64_t until = loop_boot_ms() + 2500; loop_boot_ms() < until;)
		(void)sched_yield();
}

static void test_an_answer_from_before_a_stop_does_not_count(void **state)
{
	struct world *world = *state;
	struct told told;
	fake_start(world, good, WHOLE);
	use(world, false, 2000);
	ask(world, &told);
	loop_post(world->loop, on_stop, world);
	run(world);
	check_error(world, &told, 0, "ms");
	reading(world, &told);
	assert_string_equal(told.error, "");
}

static void test_odd_answers(void **state)
{
	struct world *world = *state;
	static const struct { struct rule rules[5]; int socket; const char *says; } rows[] = {
		{ { { "show info\n", "\x7f" "ELF garbage", 0, 0 } }, 0, "show info: unexpected answer \"?ELF garbage\"" },
		{ { { "show info\n", "Permission denied\n\n", 0, 0 } }, 0, "level admin" },
		{ { { "show info\n", INFO_OF(70, 1000, 0), 0, 0 }, { "show servers", "Can't find backend.\n\n", 0, 0 } }, 0,
			": no backend be_ox (renamed?)" },
		{ { { "show info\n", INFO_OF(70, 1000, 0), 0, 0 }, TABLES, { "show proc\n", "Unknown command.\n\n", 0, 0 } }, 1,
			"show proc: unexpected answer \"Unknown command.\"" },
	};
	fake_start(world, good, WHOLE);
	use(world, true, 0);
	for (size_t i = 0; i < N(rows); i++) {
		struct told told;
		fake_rules(world, rows[i].rules);
		reading(world, &told);
		check_error(world, &told, rows[i].socket, rows[i].says);
	}
}

static void test_endless_answer(void **state)
{
	struct world *world = *state;
	struct told told;
	size_t len = 5 << 20;
	char *much = malloc(len + 1);
	memset(much, 'x', len);
	much[len] = '\0';
	const struct rule rules[] = { { "show info\n", much, 0, 0 }, { NULL, NULL, 0, 0 } };
	fake_start(world, rules, WHOLE);
	use(world, false, 10000);
	reading(world, &told);
	check_error(world, &told, 0, "answer to \"show info\" is longer than 4 MiB");
	fake_stop(world);
	free(much);
}

static void on_shed(void *arg, unsigned ended, const char *error)
{
	struct told *told = arg;
	told->snapshot.pid = ended;
	on_command(told, error);
}

/* 40 thousand sessions, and every hundredth is of the server: 12 MB that are not kept. Ended 200 at a time, and no more than was said. */
static void test_a_long_list_of_sessions_is_sieved(void **state)
{
	struct world *world = *state;
	struct told told = { .world = world };
	char *list;
	size_t len;
	FILE *stream = open_memstream(&list, &len);
	assert_non_null(stream);
	for (unsigned i = 0; i < 40000; i++)
		fprintf(stream, "0x7f%08x: proto=tcpv4 src=127.0.0.1:47920 fe=be_im be=be_im srv=%s %0250d\n", i, i % 100 == 0 ? "im1" : "im2", 0);
	fprintf(stream, "\n");
	fclose(stream);
	const struct rule rules[] = { { "show sess\n", list, 0, 0 }, { "shutdown session 0x7f00000000;shutdown session 0x7f00000064;", "\n\n", 0, 0 },
		{ "shutdown session 0x7f00004e20;", "No such session (use 'show sess').\n\n\n", 0, 0 }, { NULL, NULL, 0, 0 } };
	fake_start(world, rules, WHOLE);
	use(world, false, 0);
	world->waiting = 1;
	(void)haproxy_shed(world->haproxy, "be_im", "im1", 250, on_shed, &told);
	run(world);
	assert_string_equal(told.error, "");
	assert_int_equal(told.snapshot.pid, 249);
	fake_stop(world);
	free(list);
}

static void test_nobody_there(void **state)
{
	struct world *world = *state;
	struct told told;
	use(world, false, 100);
	reading(world, &told);
	check_error(world, &told, 0, "No such file or directory (is HAProxy running");
	int fd = listen_at(world->fake.path[0], -1);
	reading(world, &told);
	check_error(world, &told, 0, "Connection refused (nobody listens");
	assert_int_equal(listen(fd, 0), 0);
	int fillers[8];
	size_t n = 0;
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	strcpy(un.sun_path, world->fake.path[0]);
	for (int rc = 0; rc == 0 && n < N(fillers); ) {
		fillers[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		rc = connect(fillers[n++], (struct sockaddr *)&un, sizeof(un));
	}
	reading(world, &told);
	check_error(world, &told, 0, "backlog was full for 100 ms");
	while (n > 0)
		close(fillers[--n]);
	close(fd);
}

static void test_reload_while_reading_is_read_again(void **state)
{
	struct world *world = *state;
	struct told told;
	static const struct rule rules[] = {
		{ "show info\n", INFO_OF(69, 900, 0), 1, 1 }, { "show info\n", INFO_OF(70, 900, 0), 2, 3 }, { "show info\n", INFO_OF(70, 1000, 0), 0, 0 },
		TABLES, { NULL, NULL, 0, 0 },
	};
	fake_start(world, rules, WHOLE); /* 69|70: another pid; 70@900|70@1000: another start; 70@1000|70@1000 */
	use(world, false, 0);
	reading(world, &told);
	check_good(&told, false);
	fake_stop(world);
	assert_int_equal(world->fake.asked[0], 6);
}

static void test_worker_that_answers_but_is_old(void **state)
{
	struct world *world = *state;
	struct told told;
	static const struct rule rules[] = {
		{ "show info\n", INFO_OF(60, 900, 0), 1, 2 }, { "show info\n", INFO_OF(70, 1000, 0), 0, 0 }, TABLES,
		{ "show proc\n", PROC_HEAD "# old workers\n60 worker 1\n61 worker 1\n# programs\n\n", 0, 0 },
		{ "@!60 show stat be_ox 4 -1\n", recorded_old_stat, 0, 0 }, { "@!61 show stat be_ox 4 -1\n", recorded_old_stat, 0, 0 },
		{ NULL, NULL, 0, 0 },
	};
	fake_start(world, rules, WHOLE);
	use(world, true, 0);
	reading(world, &told);
	check_good(&told, true);
}

static void test_reload_after_reload_is_an_error(void **state)
{
	struct world *world = *state;
	struct told told;
	static const struct rule rules[] = {
		{ "show info\n", INFO_OF(1, 1, 0), 1, 1 }, { "show info\n", INFO_OF(2, 1, 0), 2, 2 }, { "show info\n", INFO_OF(3, 1, 0), 3, 3 },
		{ "show info\n", INFO_OF(4, 1, 0), 4, 4 }, { "show info\n", INFO_OF(5, 1, 0), 5, 5 }, { "show info\n", INFO_OF(6, 1, 0), 6, 6 },
		TABLES, { NULL, NULL, 0, 0 },
	};
	fake_start(world, rules, WHOLE);
	use(world, false, 0);
	reading(world, &told);
	check_error(world, &told, 0, "worker changed from pid 5 to 6 while it was asked, 3 times in a row");
}

static void test_stopping_worker(void **state)
{
	struct world *world = *state;
	struct told told;
	static const struct rule rules[] = { { "show info\n", INFO_OF(70, 1000, 1), 0, 0 }, TABLES, { NULL, NULL, 0, 0 } };
	fake_start(world, rules, WHOLE);
	use(world, false, 0);
	reading(world, &told);
	assert_true(told.snapshot.reachable && told.snapshot.stopping);
	fake_stop(world);
	assert_int_equal(world->fake.asked[0], 6);
}

static void test_old_unknown_after_a_change_without_master(void **state)
{
	struct world *world = *state;
	struct told told;
	static const struct rule rules[] = { { "show info\n", INFO_OF(60, 900, 0), 1, 2 }, { "show info\n", INFO_OF(70, 1000, 0), 0, 0 }, TABLES,
		{ "show proc\n", PROC_HEAD "\n", 0, 0 }, { NULL, NULL, 0, 0 } };
	fake_start(world, rules, WHOLE);
	use(world, false, 0);
	reading(world, &told);
	assert_false(told.snapshot.old_unknown);
	for (int i = 0; i < 2; i++) {
		reading(world, &told);
		assert_int_equal(told.snapshot.pid, 70);
		assert_true(told.snapshot.old_unknown);
	}
	haproxy_free(world->haproxy);
	fake_rules(world, rules);
	use(world, true, 0);
	for (int i = 0; i < 2; i++) {
		reading(world, &told);
		assert_false(told.snapshot.old_unknown);
	}
}

static void test_queue_keeps_order_and_joins_equal_readings(void **state)
{
	struct world *world = *state;
	struct told told[6];
	fake_start(world, good, WHOLE);
	use(world, false, 0);
	n_order = 0;
	memset(order, 0, sizeof(order));
	ask(world, &told[0]);
	ask(world, &told[1]); /* joins */
	set(world, &told[2], "ox1", HAPROXY_MAINT);
	ask(world, &told[3]); /* does not: it must see what was set */
	set(world, &told[4], "gone", HAPROXY_READY);
	told[5] = (struct told){ .world = world };
	world->waiting++;
	haproxy_shutdown_sessions(world->haproxy, "be_ox", "ox1", on_command, &told[5]);
	run(world);
	assert_string_equal(order, "sscscc");
	assert_string_equal(told[2].error, "");
	assert_non_null(strstr(told[4].error, "lb1.sock: refused: No such server."));
	assert_string_equal(told[5].error, "");
	check_good(&told[1], false);
	fake_stop(world);
	assert_string_equal(world->fake.log, "show info\nshow servers state be_ox\nshow stat be_ox 4 -1\nshow info\n"
		"set severity-output number; set server be_ox/ox1 state maint\n"
		"show info\nshow servers state be_ox\nshow stat be_ox 4 -1\nshow info\n"
		"set severity-output number; set server be_ox/gone state ready\n"
		"set severity-output number; shutdown sessions server be_ox/ox1\n");
}

static void test_names_that_are_no_names_are_not_sent(void **state)
{
	struct world *world = *state;
	static const char *const names[] = { "", "a b", "a;shutdown", "a\nb", "a/b",
		"a234567890123456789012345678901234567890123456789012345678901234" };
	fake_start(world, good, WHOLE);
	use(world, false, 0);
	for (size_t i = 0; i < N(names); i++) {
		struct told told;
		set(world, &told, names[i], HAPROXY_MAINT);
		run(world);
		check_error(world, &told, 0, "");
	}
	fake_stop(world);
	assert_string_equal(world->fake.log, "");
}

static void test_free_in_every_phase(void **state)
{
	struct world *world = *state;
	struct told told[3];
	fake_start(world, good, STALL);
	fake_cut(world, "show stat", 0);
	use(world, false, 0);
	ask(world, &told[0]);
	haproxy_free(world->haproxy); /* queued */
	use(world, false, 0);
	ask(world, &told[0]);
	run_idle(world, 50);          /* waits for an answer */
	set(world, &told[1], "ox1", HAPROXY_DRAIN);
	haproxy_free(world->haproxy);
	world->haproxy = NULL;
	run_idle(world, 50);
	assert_int_equal(told[0].calls + told[1].calls, 0);
}

static void test_free_from_callback(void **state)
{
	struct world *world = *state;
	struct told told[3];
	fake_start(world, good, WHOLE);
	use(world, true, 0);
	ask(world, &told[0]);
	ask(world, &told[1]); /* same reading */
	set(world, &told[2], "ox1", HAPROXY_DRAIN);
	told[0].then_free = true;
	run_idle(world, 300);
	assert_int_equal(told[0].calls, 1);
	assert_int_equal(told[1].calls + told[2].calls, 0);
}

int main(void)
{
#define FAKE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_info),
		cmocka_unit_test(test_recorded_servers),
		cmocka_unit_test(test_recorded_old_worker),
		cmocka_unit_test(test_every_cut_is_an_error),
		cmocka_unit_test(test_garbled_text_is_survived),
		cmocka_unit_test(test_status_rows),
		cmocka_unit_test(test_stat_by_header_and_quotes),
		cmocka_unit_test(test_refusals_of_tables),
		cmocka_unit_test(test_proc_counts_workers_only),
		cmocka_unit_test(test_set_replies),
		cmocka_unit_test(test_sessions_of_a_server),
		cmocka_unit_test(test_odd_lists_of_sessions),
		cmocka_unit_test(test_ended_sessions),
		cmocka_unit_test(test_addresses),
		FAKE_TEST(test_whole_conversation),
		FAKE_TEST(test_replies_byte_by_byte),
		FAKE_TEST(test_cut_replies_are_errors),
		FAKE_TEST(test_stalls_end_by_deadline),
		FAKE_TEST(test_an_answer_from_before_a_stop_does_not_count),
		FAKE_TEST(test_odd_answers),
		FAKE_TEST(test_endless_answer),
		FAKE_TEST(test_a_long_list_of_sessions_is_sieved),
		FAKE_TEST(test_nobody_there),
		FAKE_TEST(test_reload_while_reading_is_read_again),
		FAKE_TEST(test_worker_that_answers_but_is_old),
		FAKE_TEST(test_reload_after_reload_is_an_error),
		FAKE_TEST(test_stopping_worker),
		FAKE_TEST(test_old_unknown_after_a_change_without_master),
		FAKE_TEST(test_queue_keeps_order_and_joins_equal_readings),
		FAKE_TEST(test_names_that_are_no_names_are_not_sent),
		FAKE_TEST(test_free_in_every_phase),
		FAKE_TEST(test_free_from_callback),
	};
	return cmocka_run_group_tests_name("haproxy", tests, NULL, NULL);
}
