/* SPDX-License-Identifier: MIT */
/*
 * HAProxy's words. Tables are read by their header line, never by position: columns were added in almost every release. A
 * `show` reply ends with a blank line; without one the worker died while it spoke, and half a table must not pass for
 * a whole one: a server that is missing, or a scur of 1 that was 12, would let a node be stopped under its users.
 */
#include "haproxy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct span {
	const char *at;
	size_t len;
};

enum {
	EXCERPT = 100,      /* bytes of foreign text shown in a message */
	STATE_WORDS = 64,   /* 25 today */
	STAT_FIELDS = 512,  /* 122 today */
	CHECK_ON = 2 | 4,   /* srv_check_state: configured, enabled (8 = paused by maint) */
	SEVERITY_ERROR = 3, /* syslog's numbers */
};

static bool starts(struct span span, const char *word)
{
	size_t n = strlen(word);
	return span.len >= n && memcmp(span.at, word, n) == 0;
}

static bool equals(struct span span, const char *word)
{
	return span.len == strlen(word) && memcmp(span.at, word, span.len) == 0;
}

/* Takes the next line off *rest, without its newline. */
static bool next_line(struct span *rest, struct span *line)
{
	if (rest->len == 0)
		return false;
	const char *end = memchr(rest->at, '\n', rest->len);
	size_t n = end == NULL ? rest->len : (size_t)(end - rest->at);
	size_t taken = end == NULL ? n : n + 1;
	*line = (struct span){ rest->at, n };
	*rest = (struct span){ rest->at + taken, rest->len - taken };
	return true;
}

static bool next_word(struct span *rest, struct span *word)
{
	while (rest->len > 0 && *rest->at == ' ') {
		rest->at++;
		rest->len--;
	}
	if (rest->len == 0)
		return false;
	const char *end = memchr(rest->at, ' ', rest->len);
	size_t n = end == NULL ? rest->len : (size_t)(end - rest->at);
	*word = (struct span){ rest->at, n };
	*rest = (struct span){ rest->at + n, rest->len - n };
	return true;
}

static bool number(struct span span, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;
	if (span.len == 0)
		return false;
	for (size_t i = 0; i < span.len; i++) {
		if (span.at[i] < '0' || span.at[i] > '9')
			return false;
		uint64_t digit = (uint64_t)(span.at[i] - '0');
		if (value > (max - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*out = value;
	return true;
}

/* The first line with anything in it, made printable. */
static const char *excerpt(char out[EXCERPT + 1], struct span text)
{
	struct span line = { text.at, 0 };
	while (line.len == 0 && next_line(&text, &line))
		;
	size_t n = line.len < EXCERPT ? line.len : EXCERPT;
	for (size_t i = 0; i < n; i++)
		out[i] = line.at[i] >= ' ' && line.at[i] <= '~' ? line.at[i] : '?';
	out[n] = '\0';
	return out;
}

static int odd_reply(struct span text, const char *command, struct fail *fail)
{
	char shown[EXCERPT + 1];
	if (text.len == 0)
		return fail_set(fail, -EPIPE, "%s: closed without an answer", command);
	excerpt(shown, text);
	return fail_set(fail, -EPROTO, "%s: unexpected answer \"%s\"%s", command, shown,
		strstr(shown, "Permission denied") != NULL ? " (the socket needs `level admin`)" : "");
}

static int check_whole(struct span text, const char *command, struct fail *fail)
{
	if (text.len >= 2 && text.at[text.len - 1] == '\n' && text.at[text.len - 2] == '\n')
		return 0;
	return fail_set(fail, -EPIPE, "%s: the answer was cut short after %zu bytes", command, text.len);
}

int haproxy_parse_info(const char *text, size_t len, unsigned *pid, uint64_t *start_s, bool *stopping, struct fail *fail)
{
	struct span rest = { text, len }, line;
	uint64_t found_pid = 0, found_start = 0, found_stopping = 0;
	if (!starts(rest, "Name: "))
		return odd_reply(rest, "show info", fail);
	if (check_whole(rest, "show info", fail) != 0)
		return -EPIPE;
	while (next_line(&rest, &line)) {
		struct { const char *key; uint64_t max; uint64_t *out; } keys[] = {
			{ "Pid: ", INT32_MAX, &found_pid },
			{ "Start_time_sec: ", INT64_MAX, &found_start },
			{ "Stopping: ", 1, &found_stopping },
		};
		for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
			size_t n = strlen(keys[i].key);
			if (!starts(line, keys[i].key))
				continue;
			if (!number((struct span){ line.at + n, line.len - n }, keys[i].max, keys[i].out))
				return odd_reply(line, "show info", fail);
		}
	}
	if (found_pid == 0)
		return fail_set(fail, -EPROTO, "show info: no Pid in the answer");
	*pid = (unsigned)found_pid;
	*start_s = found_start; /* 0 where a release has none: then the pid alone is its identity */
	*stopping = found_stopping != 0;
	return 0;
}

struct state_columns {
	int be_name, srv_name, admin, check, n;
};

static int state_header(struct span line, struct state_columns *columns, struct fail *fail)
{
	struct span word;
	*columns = (struct state_columns){ -1, -1, -1, -1, 0 };
	bool begins = next_word(&line, &word) && equals(word, "#");
	while (begins && next_word(&line, &word)) {
		int at = columns->n++;
		if (equals(word, "be_name"))
			columns->be_name = at;
		else if (equals(word, "srv_name"))
			columns->srv_name = at;
		else if (equals(word, "srv_admin_state"))
			columns->admin = at;
		else if (equals(word, "srv_check_state"))
			columns->check = at;
	}
	if (columns->be_name < 0 || columns->srv_name < 0 || columns->admin < 0 || columns->check < 0 || columns->n > STATE_WORDS)
		return fail_set(fail, -EPROTO, "show servers state: its header line names no be_name, srv_name, srv_admin_state "
			"and srv_check_state");
	return 0;
}

/* 0, 1: a row of another backend, -errno. */
static int state_row(struct span line, const struct state_columns *columns, const char *backend, struct haproxy_server *out,
	struct fail *fail)
{
	struct span words[STATE_WORDS], whole = line;
	int n = 0;
	while (n < columns->n && next_word(&line, &words[n]))
		n++;
	uint64_t admin, check;
	if (n < columns->n || !number(words[columns->admin], UINT16_MAX, &admin) ||
		!number(words[columns->check], UINT16_MAX, &check))
		return odd_reply(whole, "show servers state", fail);
	if (!equals(words[columns->be_name], backend))
		return 1;
	struct span name = words[columns->srv_name];
	if (name.len >= sizeof(out->name))
		return fail_set(fail, -ENAMETOOLONG, "server name %.*s in backend %s is longer than %zu bytes",
			(int)(name.len < EXCERPT ? name.len : EXCERPT), name.at, backend, sizeof(out->name) - 1);
	*out = (struct haproxy_server){ .admin = (unsigned)admin, .has_check = (check & CHECK_ON) == CHECK_ON };
	memcpy(out->name, name.at, name.len);
	return 0;
}

static int no_backend(const char *backend, struct fail *fail)
{
	return fail_set(fail, -ENOENT, "no backend %s (renamed?)", backend);
}

int haproxy_parse_state(const char *text, size_t len, const char *backend, struct haproxy_server *out, size_t max, size_t *n,
	struct fail *fail)
{
	struct span rest = { text, len }, line;
	struct state_columns columns;
	size_t count = 0;
	if (starts(rest, "Can't find backend"))
		return no_backend(backend, fail);
	if (!next_line(&rest, &line) || !equals(line, "1"))
		return odd_reply((struct span){ text, len }, "show servers state", fail);
	if (check_whole((struct span){ text, len }, "show servers state", fail) != 0)
		return -EPIPE;
	if (!next_line(&rest, &line))
		return odd_reply(rest, "show servers state", fail);
	int rc = state_header(line, &columns, fail);
	while (rc >= 0 && next_line(&rest, &line) && line.len > 0) {
		struct haproxy_server server;
		rc = state_row(line, &columns, backend, &server, fail);
		if (rc == 0 && count == max)
			return fail_set(fail, -E2BIG, "backend %s has more than %zu servers", backend, max);
		if (rc == 0)
			out[count++] = server;
	}
	if (rc < 0)
		return rc;
	*n = count;
	return 0;
}

enum stat_column { PXNAME, SVNAME, QCUR, SCUR, STOT, STATUS, CHECK_STATUS, CHECK_RISE, CHECK_FALL, CHECK_HEALTH, N_STAT };

static const char *const stat_names[N_STAT] = { "pxname", "svname", "qcur", "scur", "stot", "status", "check_status", "check_rise",
	"check_fall", "check_health" };

struct stat_row {
	char cell[N_STAT][64]; /* longer ones are cut; names that long were refused before */
};

struct stat_table {
	struct span rest;
	signed char column[STAT_FIELDS]; /* field number to enum stat_column, -1: none of ours */
	int n_fields;
};

/* One CSV field, unquoted, into out; returns what ended it: ',' '\n' or -1 for the end of the text. */
static int csv_field(struct span *rest, char *out, size_t size)
{
	size_t n = 0, i = 0;
	int end = -1;
	bool quoted = false;
	while (i < rest->len) {
		char byte = rest->at[i++];
		if (byte == '"' && quoted && i < rest->len && rest->at[i] == '"')
			i++; /* "" within quotes is one " */
		else if (byte == '"') {
			quoted = !quoted;
			continue;
		} else if (!quoted && (byte == ',' || byte == '\n')) {
			end = byte;
			break;
		}
		if (n + 1 < size)
			out[n++] = byte;
	}
	out[n] = '\0';
	*rest = (struct span){ rest->at + i, rest->len - i };
	return end;
}

static int stat_header(struct stat_table *table, struct fail *fail)
{
	char name[64];
	unsigned found = 0;
	int end = ',';
	table->rest.at += 2;
	table->rest.len -= 2;
	for (table->n_fields = 0; end == ',' && table->n_fields < STAT_FIELDS; table->n_fields++) {
		end = csv_field(&table->rest, name, sizeof(name));
		table->column[table->n_fields] = -1;
		for (int i = 0; i < N_STAT; i++) {
			if (strcmp(name, stat_names[i]) != 0)
				continue;
			table->column[table->n_fields] = (signed char)i;
			found |= 1U << i;
		}
	}
	if (end == '\n' && found == (1U << N_STAT) - 1)
		return 0;
	return fail_set(fail, -EPROTO, "show stat: its header line lacks columns upgd needs (svname, scur, status, check_health ...)");
}

static int stat_open(struct stat_table *table, const char *text, size_t len, const char *backend, struct fail *fail)
{
	table->rest = (struct span){ text, len };
	if (starts(table->rest, "No such proxy"))
		return no_backend(backend, fail);
	if (!starts(table->rest, "# pxname,"))
		return odd_reply(table->rest, "show stat", fail);
	if (check_whole(table->rest, "show stat", fail) != 0)
		return -EPIPE;
	return stat_header(table, fail);
}

/* 0: *row is filled; 1: no more rows; -errno. */
static int stat_next(struct stat_table *table, struct stat_row *row, struct fail *fail)
{
	char skipped[1];
	int end = ',', n = 0;
	struct span line = table->rest;
	memset(row, 0, sizeof(*row));
	if (table->rest.len == 0 || *table->rest.at == '\n')
		return 1;
	for (; end == ','; n++) {
		int column = n < table->n_fields ? table->column[n] : -1;
		if (column < 0)
			end = csv_field(&table->rest, skipped, sizeof(skipped));
		else
			end = csv_field(&table->rest, row->cell[column], sizeof(row->cell[column]));
	}
	if (end != '\n' || n != table->n_fields)
		return odd_reply(line, "show stat", fail);
	return 0;
}

/* An empty cell is 0: HAProxy leaves out what does not apply. */
static int stat_count(const struct stat_row *row, enum stat_column column, uint64_t max, uint64_t *out, struct fail *fail)
{
	struct span cell = { row->cell[column], strlen(row->cell[column]) };
	*out = 0;
	return cell.len > 0 && !number(cell, max, out) ? odd_reply(cell, "show stat", fail) : 0;
}

static int stat_number(const struct stat_row *row, enum stat_column column, unsigned *out, struct fail *fail)
{
	uint64_t value;
	if (stat_count(row, column, INT32_MAX, &value, fail) != 0)
		return -EPROTO;
	*out = (unsigned)value;
	return 0;
}

static int stat_sessions(const struct stat_row *row, unsigned *out, struct fail *fail)
{
	unsigned current, queued;
	if (stat_number(row, SCUR, &current, fail) != 0 || stat_number(row, QCUR, &queued, fail) != 0)
		return -EPROTO;
	*out = current + queued;
	return 0;
}

static bool would_take_traffic(const struct haproxy_server *server)
{
	struct span status = { server->status, strcspn(server->status, " ") };
	if (equals(status, "UP") || equals(status, "DRAIN") || strcmp(server->status, "no check") == 0)
		return true;
	/* Drained while its check failed: DOWN hides the drain until `rise` checks passed. Not when an agent says down. */
	unsigned maint = HAPROXY_FMAINT | HAPROXY_IMAINT | HAPROXY_RMAINT; /* HMAINT only says that the host name was set by hand */
	size_t n = strlen(server->check);
	return (server->admin & (HAPROXY_FDRAIN | HAPROXY_IDRAIN)) && !(server->admin & maint) &&
		strstr(server->status, "(agent)") == NULL && server->check[0] == 'L' && n >= 3 && strcmp(server->check + n - 2, "OK") == 0;
}

static int stat_apply(const struct stat_row *row, struct haproxy_server *server, struct fail *fail)
{
	unsigned rise, fall, health;
	if (stat_sessions(row, &server->sessions, fail) != 0 || stat_count(row, STOT, INT64_MAX, &server->total, fail) != 0 ||
		stat_number(row, CHECK_RISE, &rise, fail) != 0 ||
		stat_number(row, CHECK_FALL, &fall, fail) != 0 || stat_number(row, CHECK_HEALTH, &health, fail) != 0)
		return -EPROTO;
	(void)snprintf(server->status, sizeof(server->status), "%.*s", (int)sizeof(server->status) - 1, row->cell[STATUS]);
	(void)snprintf(server->check, sizeof(server->check), "%.*s", (int)sizeof(server->check) - 1, row->cell[CHECK_STATUS]);
	/* A tracking server shows the check of the one it tracks; one in maint shows none, its check is paused. */
	bool shown = rise > 0;
	server->has_check |= shown;
	server->fresh = !server->has_check || (shown && health == rise + fall - 1);
	server->up = would_take_traffic(server);
	return 0;
}

static struct haproxy_server *find(struct haproxy_server *servers, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(servers[i].name, name) == 0)
			return &servers[i];
	return NULL;
}

int haproxy_parse_stat(const char *text, size_t len, const char *backend, struct haproxy_server *servers, size_t n,
	struct fail *fail)
{
	struct stat_table table;
	struct stat_row row;
	int rc = stat_open(&table, text, len, backend, fail);
	if (rc != 0)
		return rc;
	for (size_t i = 0; i < n; i++)
		servers[i].status[0] = '\0';
	while ((rc = stat_next(&table, &row, fail)) == 0) {
		struct haproxy_server *server = strcmp(row.cell[PXNAME], backend) == 0 ? find(servers, n, row.cell[SVNAME]) : NULL;
		if (server != NULL && (rc = stat_apply(&row, server, fail)) != 0)
			return rc;
	}
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++)
		if (servers[i].status[0] == '\0')
			return fail_set(fail, -EPROTO, "show stat: no line for server %s/%s", backend, servers[i].name);
	return 0;
}

int haproxy_parse_old_stat(const char *text, size_t len, const char *backend, struct haproxy_server *servers, size_t n,
	struct fail *fail)
{
	struct stat_table table;
	struct stat_row row;
	if (starts((struct span){ text, len }, "Can't find the target PID"))
		return HAPROXY_WORKER_GONE;
	if (starts((struct span){ text, len }, "No such proxy"))
		return 0; /* the config it was started with had no such backend */
	int rc = stat_open(&table, text, len, backend, fail);
	if (rc != 0)
		return rc;
	while ((rc = stat_next(&table, &row, fail)) == 0) {
		struct haproxy_server *server = strcmp(row.cell[PXNAME], backend) == 0 ? find(servers, n, row.cell[SVNAME]) : NULL;
		unsigned sessions;
		if (server == NULL)
			continue;
		if (stat_sessions(&row, &sessions, fail) != 0)
			return -EPROTO;
		server->old_sessions += sessions;
	}
	return rc < 0 ? rc : 0;
}

int haproxy_parse_proc(const char *text, size_t len, unsigned *old_pids, size_t max, size_t *n, struct fail *fail)
{
	struct span rest = { text, len }, line, word;
	bool old = false, sections = false;
	size_t count = 0;
	if (!starts(rest, "#<PID>"))
		return odd_reply(rest, "show proc", fail);
	if (check_whole(rest, "show proc", fail) != 0)
		return -EPIPE;
	while (next_line(&rest, &line)) {
		if (starts(line, "#")) {
			old = starts(line, "# old workers");
			sections |= starts(line, "# workers");
			continue;
		}
		struct span whole = line;
		if (!old || line.len == 0)
			continue;
		uint64_t pid;
		if (!next_word(&line, &word) || !number(word, INT32_MAX, &pid) || !next_word(&line, &word))
			return odd_reply(whole, "show proc", fail);
		if (!equals(word, "worker"))
			continue;
		if (count == max)
			return fail_set(fail, -E2BIG, "more than %zu old workers are still running; set hard-stop-after", max);
		old_pids[count++] = (unsigned)pid;
	}
	if (!sections)
		return fail_set(fail, -EPROTO, "show proc: no list of workers; is this a master socket (haproxy -W -S)?");
	*n = count;
	return 0;
}

/* "[3]: text" to 3 and text; -1 and the whole line if there is no such number. */
static int severity(struct span *line)
{
	if (line->len < 4 || line->at[0] != '[' || line->at[1] < '0' || line->at[1] > '7' || line->at[2] != ']' || line->at[3] != ':')
		return -1;
	int number_shown = line->at[1] - '0';
	size_t skip = line->len > 4 && line->at[4] == ' ' ? 5 : 4;
	*line = (struct span){ line->at + skip, line->len - skip };
	return number_shown;
}

int haproxy_parse_set_reply(const char *text, size_t len, struct fail *fail)
{
	struct span rest = { text, len }, line;
	char shown[EXCERPT + 1];
	if (len == 0)
		return fail_set(fail, -EPIPE, "closed without an answer: whether it was done is not known");
	while (next_line(&rest, &line)) {
		if (line.len == 0)
			continue;
		int level = severity(&line);
		/* Severity 6, yet nothing was done. A line without a number is from someone who did not understand us. */
		if (level > SEVERITY_ERROR && !starts(line, "Unknown command"))
			continue;
		excerpt(shown, line);
		return fail_set(fail, -EPERM, "refused: %s%s", shown,
			strstr(shown, "Permission denied") != NULL ? " (the socket needs `level admin`)" : "");
	}
	return 0;
}

int haproxy_check_name(const char *what, const char *name, struct fail *fail)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:";
	size_t n = strlen(name);
	if (n > 0 && n < sizeof(((struct haproxy_server *)NULL)->name) && strspn(name, allowed) == n)
		return 0;
	return fail_set(fail, -EINVAL, "\"%.80s\" is no name of a HAProxy %s (letters, digits and _ - . : only)", name, what);
}

/* ---- sessions ---- */

/* The length of "0x7f1234" at the beginning; 0: there is none. */
static size_t sess_id(struct span line)
{
	size_t n = 2;
	if (!starts(line, "0x"))
		return 0;
	while (n < line.len && strchr("0123456789abcdef", line.at[n]) != NULL && line.at[n] != '\0')
		n++;
	return n > 2 && n < HAPROXY_SESS_MAX ? n : 0;
}

/* The words go on from one release to the next; these two have been there since 1.5. */
static bool sess_is_of(struct span line, const char *backend, const char *server)
{
	struct span word;
	bool of_backend = false, of_server = false;
	while (next_word(&line, &word)) {
		of_backend |= starts(word, "be=") && equals((struct span){ word.at + 3, word.len - 3 }, backend);
		of_server |= starts(word, "srv=") && equals((struct span){ word.at + 4, word.len - 4 }, server);
	}
	return of_backend && of_server;
}

size_t haproxy_sieve_sess(char *text, size_t len, const char *backend, const char *server, size_t most)
{
	struct span rest = { text, len }, line;
	size_t kept = 0, n = 0;
	while (rest.len > 0 && memchr(rest.at, '\n', rest.len) != NULL && next_line(&rest, &line)) {
		size_t id = sess_id(line), keep = line.len;
		bool was_kept = id > 0 && id == line.len;
		if (id > 0 && line.len > id && line.at[id] == ':')
			keep = sess_is_of(line, backend, server) ? id : 0;
		if (keep == 0 || ((was_kept || keep == id) && ++n > most))
			continue;
		memmove(text + kept, line.at, keep);
		kept += keep;
		text[kept++] = '\n';
	}
	memmove(text + kept, rest.at, rest.len);
	return kept + rest.len;
}

int haproxy_next_sess(const char **text, size_t *len, char id[static HAPROXY_SESS_MAX], struct fail *fail)
{
	struct span rest = { *text, *len }, line;
	while (next_line(&rest, &line)) {
		size_t n = sess_id(line);
		if (line.len == 0)
			continue;
		if (n == 0 || n != line.len)
			return odd_reply(line, "show sess", fail);
		memcpy(id, line.at, n);
		id[n] = '\0';
		*text = rest.at;
		*len = rest.len;
		return 1;
	}
	return 0;
}

int haproxy_parse_shutdown(const char *text, size_t len, unsigned *gone, struct fail *fail)
{
	struct span rest = { text, len }, line;
	if (len == 0)
		return fail_set(fail, -EPIPE, "shutdown session: closed without an answer");
	while (next_line(&rest, &line)) {
		if (starts(line, "No such session"))
			++*gone;
		else if (line.len > 0)
			return odd_reply(line, "shutdown session", fail);
	}
	return 0;
}
