/* SPDX-License-Identifier: MIT */
#include "daemon/config.h"

#include "daemon/io/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD "cluster = \"c\"; profile = \"p\";\n"

static char *text_of(FILE *out, char **text)
{
	assert_int_equal(fclose(out), 0);
	return *text;
}

/* Loads the text from a file of its own; 0, or the mistakes (or the failure) as text. */
static int load_text(struct config *config, const char *source, char **out_mistakes)
{
	char path[] = "/tmp/test_config.XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, source, strlen(source)), (ssize_t)strlen(source));
	(void)close(fd);
	struct conf_errors errors = {0};
	struct fail fail = {0};
	int rc = config_load(config, path, &errors, &fail);
	size_t size;
	char *text = NULL;
	FILE *out = open_memstream(&text, &size);
	if (rc < 0 && errors.n == 0)
		(void)fprintf(out, "%s\n", fail.text + strlen(path));
	for (size_t i = 0; i < errors.n; i++)
		(void)fprintf(out, "%s\n", errors.lines[i] + strlen(path));
	conf_errors_done(&errors);
	(void)unlink(path);
	text = text_of(out, &text);
	if (out_mistakes != NULL)
		*out_mistakes = text;
	else
		free(text);
	return rc;
}

static void load(struct config *config, const char *source)
{
	char *mistakes;
	if (load_text(config, source, &mistakes) != 0)
		fail_msg("%s", mistakes);
	free(mistakes);
}

static char *dump(const struct config *config)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	config_dump(config, out);
	return text_of(out, &text);
}

static void defaults_are_filled_in(void **state)
{
	struct config config;
	load(&config, HEAD "nodes = ( { name = \"n1\"; host = \"10.0.0.1\"; } );");
	assert_string_equal(config.state_dir, "/var/lib/upgd");
	assert_string_equal(config.socket, "/run/upgd/upgd.sock");
	assert_non_null(strstr(config.profile_path, "/upgd/profiles/p.conf"));
	assert_string_equal(config.nodes[0].health, "http://10.0.0.1:8009");
	assert_int_equal(config.nodes[0].capacity, 0);
	assert_non_null(config.local_socket);
	assert_int_equal(config.watch_ms, 500);
	assert_int_equal(config.observe_ms, 2000);
	assert_int_equal(config.in_flight, 8);
	assert_int_equal(config.n_balancers + config.n_databases + config.n_hosts + config.vars.n + config.n_grants, 0);
	config_done(&config);
}

static void ranges_expand(void **state)
{
	struct config config;
	load(&config, HEAD "nodes = ( { name = \"ox[1-5]\"; host = \"${name}.lan\"; health = \"https://${host}/${name}\"; capacity = 3; etc = \"/opt/${name}\"; },\n"
			   "{ name = \"db[08-11]-a\"; host = \"h\"; }, { name = \"z[0-0]\"; host = \"h\"; } );\n"
			   "remote = { argv = [ \"ssh\", \"-i\", \"u@${node.host}\", \"${node.name}:${node.health}\" ]; };");
	assert_int_equal(config.n_nodes, 10);
	assert_string_equal(config.nodes[4].name, "ox5");
	assert_string_equal(config.nodes[4].host, "ox5.lan");
	assert_string_equal(config.nodes[4].health, "https://ox5.lan/ox5");
	assert_int_equal(config.nodes[4].capacity, 3);
	assert_string_equal(config_node_column(&config.nodes[4], "etc"), "/opt/ox5");
	assert_string_equal(config_node_column(&config.nodes[4], "host"), "ox5.lan");
	assert_null(config_node_column(&config.nodes[4], "none"));
	assert_string_equal(config.nodes[5].name, "db08-a");
	assert_string_equal(config.nodes[8].name, "db11-a");
	assert_string_equal(config.nodes[9].name, "z0");
	assert_ptr_equal(config_node(&config, "db11-a"), &config.nodes[8]);
	assert_null(config_node(&config, "db12-a"));
	char **argv = config_remote_argv(&config, &config.nodes[1]);
	assert_string_equal(argv[0], "ssh");
	assert_string_equal(argv[2], "u@ox2.lan");
	assert_string_equal(argv[3], "ox2:https://ox2.lan/ox2");
	assert_null(argv[4]);
	free(argv);
	config_done(&config);
}

static void twenty_mistakes_give_twenty_lines(void **state)
{
	char *mistakes;
	struct config config = {.cluster = (char *)1};
	int rc = load_text(&config,
		/* 1 */ "clutser = \"c\";\n"
		/* 2 */ "profile = \"a b\";\n"
		/* 3 */ "state_dir = \"var\";\n"
		/* 4 */ "nodes = ( { name = \"ox[1-3]\"; host = \"h\"; },\n"
		/* 5 */ "  { name = \"ox3\"; host = \"h\"; },\n"
		/* 6 */ "  { name = \"ox[5-4]\"; host = \"h\"; },\n"
		/* 7 */ "  { name = \"a\"; host = \"-oProxyCommand=x\"; },\n"
		/* 8 */ "  { name = \"b\"; host = \"${nam}\"; },\n"
		/* 9 */ "  { name = \"c\"; },\n"
		/* 10 */ " { name = \"d\"; host = \"h\"; helth = \"http://x\"; capacity = -1; },\n"
		/* 11 */ " { name = \"e\"; host = \"h\"; weight = 5; health = \"ftp://x\"; } );\n"
		/* 12 */ "balancers = { main = { backend = \"b\"; sockets = [ \"/s\", \"/s\" ];\n"
		/* 13 */ "    masters = [ \"/m\" ]; };\n"
		/* 14 */ "  other = { backend = \"b\"; sockets = [ \"/s\" ]; };\n"
		/* 15 */ "  third = { backend = \"x\"; sockets = [ \"sock\" ]; }; };\n"
		/* 16 */ "remote = { argv = [ \"ssh\", \"${node.addr}\" ]; };\n"
		/* 17 */ "databases = { configdb = { }; hosts = ( { name = \"db1\"; pools = [ 1, 2 ]; option_file = \"/f\"; },\n"
		/* 18 */ "  { name = \"db2\"; pools = [ \"2\" ]; option_file = \"/f\"; paralel = 3; } ); };\n"
		/* 19 */ "vars = { a = 1; };\n"
		/* 20 */ "roles = { admin = [ \"no-such-user\", \"@no-such-group\", \"uid:x\" ]; };\n"
		/* 21 */ "pace = { watch = 500; observe = \"1 s\"; in_flight = 0; };\n"
		/* 22 */ "local_socket = \"/x\"; local_runner = [ ];\n",
		&mistakes);
	assert_int_equal(rc, -EINVAL);
	assert_ptr_equal(config.cluster, (char *)1);
	assert_string_equal(mistakes,
		":1: 'cluster' is missing: it must be a string\n"
		":1: 'clutser' is not known here: did you mean 'cluster'?\n"
		":2: 'profile' must be a name or a path, not \"a b\"\n"
		":3: 'state_dir' must be an absolute path, not \"var\"\n"
		":5: node 'ox3' is already defined in line 4\n"
		":6: \"ox[5-4]\" is no name and no range like ox[1-5] or ox[01-12]\n"
		":7: host \"-oProxyCommand=x\" of node 'a' is no host name or address\n"
		":8: 'host' refers to ${nam}: only ${name} can be used here\n"
		":9: 'host' is missing: it must be a string\n"
		":10: 'capacity' must be from 0 to 1000000000, not -1\n"
		":10: 'helth' is not known here: did you mean 'health'?\n"
		":11: 'weight' is a column of your own and must be a string, not an integer\n"
		":12: \"/s\" is there twice\n"
		":13: 1 'masters' for 2 'sockets': there must be one for each, in the same order, or none\n"
		":14: balancers 'main' and 'other' both name backend 'b' of socket \"/s\"\n"
		":15: \"sock\" must be a path of at most 107 bytes or host:port\n"
		":16: 'argv' refers to ${node.addr}, which node 'ox1' has not: use ${node.name}, ${node.host} or a column of every node\n"
		":17: 'option_file' is missing: it must be a string\n"
		":18: 'paralel' is not known here: did you mean 'parallel'?\n"
		":18: pool '2' is on host 'db1' already: a pool lives on one machine\n"
		":19: 'a' in 'vars' must be a string, not an integer\n"
		":20: user \"no-such-user\" is not in /etc/passwd: write uid:NUMBER if it lives in a directory\n"
		":20: group \"no-such-group\" is not in /etc/group: write gid:NUMBER if it lives in a directory\n"
		":20: \"uid:x\" must end in a number\n"
		":21: 'watch' needs a unit, in quotes: \"250ms\", \"30s\", \"10m\", \"2h\" or \"1d\"\n"
		":21: 'observe' must be a duration like \"250ms\", \"30s\", \"10m\", \"2h\" or \"1d\", not \"1 s\"\n"
		":21: 'in_flight' must be from 1 to 1024, not 0\n");
	free(mistakes);
}

static void single_mistakes(void **state)
{
	static const struct {
		const char *source, *want;
	} rows[] = {
		{HEAD "pace = { in_flight = 99999999999; };", ":2: number 99999999999 needs an L"},
		{HEAD "nodes = ( { name = \"n[1-5000]\"; host = \"h\"; } );", ":2: more than 4096 nodes"},
		{HEAD "nodes = ( { name = \"n[1\"; host = \"h\"; } );", ":2: \"n[1\" is no name"},
		{HEAD "nodes = ( { name = \"n]\"; host = \"h\"; } );", ":2: \"n]\" is no name"},
		{HEAD "nodes = ( { name = \"n/1\"; host = \"h\"; } );", ":2: node name \"n/1\" must be"},
		{HEAD "nodes = ( { name = \"\"; host = \"h\"; } );", ":2: 'name' must not be empty"},
		{HEAD "nodes = ( { name = \"n\"; host = \"h\"; c = \"${host\"; } );", ":2: 'c' refers to ${host}"},
		{HEAD "nodes = ( 1 );", ":2: element 1 of 'nodes' must be a group, not an integer"},
		{HEAD "nodes = { };", ":2: 'nodes' must be a list, not a group"},
		{HEAD "nodes = ( { name = \"n\"; host = \"h\"; c = \"-oX\"; } ); remote = { argv = [ \"ssh\", \"${node.c}\" ]; };", ":2: argument 2 of 'argv' would become the option \"-oX\""},
		{HEAD "balancers = { m = { backend = \"b\"; sockets = [ \"lb:99999\" ]; }; };", "must be a path of at most 107 bytes or host:port"},
		{HEAD "balancers = { m = { backend = \"b\"; sockets = [ ]; }; };", "'sockets' must not be empty"},
		{HEAD "balancers = { m = { backend = \"b\"; sockets = [ \"a:1\", \"a:2\", \"a:3\", \"a:4\", \"a:5\", \"a:6\", \"a:7\", \"a:8\", \"a:9\" ]; }; };", "'sockets' has 9 elements; at most 8"},
		{HEAD "balancers = { a={};b={};c={};d={};e={};f={};g={};h={};i={}; };", "more than 8 balancers"},
		{HEAD "databases = { hosts = ( { name = \"d\"; pools = [ 1, 1 ]; option_file = \"/f\"; } ); };", "pool '1' is there twice"},
		{HEAD "databases = { hosts = ( { name = \"d\"; pools = [ 1 ]; option_file = \"/f\"; }, { name = \"d\"; pools = [ 2 ]; option_file = \"/f\"; } ); };", "database host 'd' is there twice"},
		{HEAD "databases = { hosts = ( { name = \"d\"; pools = [ 1 ]; option_file = \"/f\"; replicas = [ \"r.cnf\" ]; } ); };", "replica 'r.cnf' must be the absolute path"},
		{HEAD "local_socket = \"/x\"; local_runner = [ \"y\" ];", "exclude each other"},
		{HEAD "roles = { admin = [ \"uid:4294967295\" ]; };", "must end in a number"},
		{HEAD "roles = { root = [ \"root\" ]; };", "'root' is not known here"},
		{HEAD "state_dir = \"/a\\nb\";", "'state_dir' must not hold control characters"},
		{HEAD "pools = [];", "'pools' is not known here"},
		{"", ":1: 'cluster' is missing"},
		{"cluster = \"c\"; profile = \"p\"; cluster = \"d\";", "duplicate setting name"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config config;
		char *mistakes;
		int rc = load_text(&config, rows[i].source, &mistakes);
		if (rc != -EINVAL || strstr(mistakes, rows[i].want) == NULL)
			fail_msg("%s\nrc %d, got: %s\nwanted: %s", rows[i].source, rc, mistakes, rows[i].want);
		free(mistakes);
	}
}

static void dump_of_a_dump_is_identical(void **state)
{
	struct config first, second;
	load(&first, HEAD "nodes = ( { name = \"ox[1-3]\"; host = \"${name}.lan\"; etc = \"/opt \\\"x\\\"\"; } );\n"
			  "balancers = { main = { backend = \"b\"; sockets = [ \"/s\", \"lb:9999\" ]; masters = [ \"/m\", \"/n\" ]; }; };\n"
			  "remote = { argv = [ \"ssh\", \"${node.etc}\" ]; }; local_runner = [ \"upgd-run\", \"serve\" ];\n"
			  "databases = { configdb = { option_file = \"/c\"; group = \"g\"; }; hosts = ( { name = \"d\"; pools = [ 3, 4 ]; option_file = \"/f\"; } ); };\n"
			  "vars = { a = \"\"; b = \"tab\\t\"; }; roles = { viewer = [ \"@root\", \"uid:7\" ]; admin = [ \"root\" ]; }; pace = { watch = \"1500ms\"; observe = \"60s\"; };");
	char *one = dump(&first);
	load(&second, one);
	char *two = dump(&second);
	assert_string_equal(one, two);
	assert_non_null(strstr(one, "observe = \"1m\";"));
	assert_non_null(strstr(one, "name = \"ox3\"; host = \"ox3.lan\"; health = \"http://ox3.lan:8009\"; capacity = 0;"));
	assert_null(strstr(one, "local_socket"));
	assert_string_equal(config_host_of_pool(&second, "4")->name, "d");
	assert_null(config_host_of_pool(&second, "5"));
	assert_string_equal(config_balancer(&second, "main")->masters.items[1], "/n");
	assert_null(config_balancer(&second, "none"));
	assert_string_equal(config_var(&second, "b"), "tab\t");
	assert_null(config_var(&second, "c"));
	free(one);
	free(two);
	config_done(&first);
	config_done(&second);
	load(&first, HEAD);
	one = dump(&first);
	load(&second, one);
	two = dump(&second);
	assert_string_equal(one, two);
	free(one);
	free(two);
	config_done(&first);
	config_done(&second);
}

static void roles_are_numbers_and_the_highest_counts(void **state)
{
	struct config config;
	load(&config, HEAD "roles = { viewer = [ \"gid:50\", \"uid:7\" ]; operator = [ \"@daemon\", \"uid:7\" ]; admin = [ \"gid:60\", \"daemon\" ]; };");
	uint32_t gids[] = {50, 1};
	assert_int_equal(config_role_of(&config, 0, NULL, 0), ROLE_ADMIN);
	assert_int_equal(config_role_of(&config, 1, NULL, 0), ROLE_ADMIN);
	assert_int_equal(config_role_of(&config, 7, NULL, 0), ROLE_OPERATOR);
	assert_int_equal(config_role_of(&config, 50, NULL, 0), ROLE_NONE);
	assert_int_equal(config_role_of(&config, 8, gids, 1), ROLE_VIEWER);
	assert_int_equal(config_role_of(&config, 8, gids, 2), ROLE_OPERATOR);
	config_done(&config);
}

static void reload_tells_what_needs_a_restart(void **state)
{
	struct config old, new;
	load(&old, HEAD);
	load(&new, "cluster = \"c\"; profile = \"/q.conf\"; socket = \"/s\"; pace = { in_flight = 3; };");
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	assert_int_equal(config_fixed_changed(&old, &new, out), 1);
	assert_string_equal(text_of(out, &text), "socket: \"/run/upgd/upgd.sock\" -> \"/s\"\n");
	assert_string_equal(new.profile_path, "/q.conf");
	free(text);
	config_done(&old);
	config_done(&new);
}

static void the_example_loads(void **state)
{
	struct config config;
	struct conf_errors errors = {0};
	struct fail fail = {0};
	if (config_load(&config, UPGD_SOURCE_DIR "/conf/upgd.conf", &errors, &fail) != 0)
		fail_msg("%s", fail.text);
	assert_int_equal(config.n_nodes, 5);
	assert_int_equal(config.n_balancers, 2);
	assert_int_equal(config.n_hosts, 2);
	config_done(&config);
}

/* The body of the man page is the output of config_print_doc(): a new row without its line there fails here. */
static void the_man_page_has_every_row(void **state)
{
	char *doc = NULL, *page = NULL;
	size_t size;
	struct fail fail = {0};
	FILE *out = open_memstream(&doc, &size);
	config_print_doc(out);
	(void)text_of(out, &doc);
	if (conf_read_text(UPGD_SOURCE_DIR "/man/upgd.conf.5.rst", &page, &fail) != 0)
		fail_msg("%s", fail.text);
	for (char *line = strtok(doc, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		if (strncmp(line, "``profile_dir``", 15) == 0)
			*strchr(line, ',') = '\0'; /* its default depends on the prefix */
		if (strstr(page, line) == NULL)
			fail_msg("man/upgd.conf.5.rst lacks: %s (its body is the output of test_config doc)", line);
	}
	free(doc);
	free(page);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_filled_in),
		cmocka_unit_test(ranges_expand),
		cmocka_unit_test(twenty_mistakes_give_twenty_lines),
		cmocka_unit_test(single_mistakes),
		cmocka_unit_test(dump_of_a_dump_is_identical),
		cmocka_unit_test(roles_are_numbers_and_the_highest_counts),
		cmocka_unit_test(reload_tells_what_needs_a_restart),
		cmocka_unit_test(the_example_loads),
		cmocka_unit_test(the_man_page_has_every_row),
	};
	if (argc > 1 && strcmp(argv[1], "doc") == 0) {
		config_print_doc(stdout);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
