/* SPDX-License-Identifier: MIT */
/* The configuration language and the profile loader on any text; what can be read is dumped, read again and dumped the same. */
#include "daemon/io/conf.h"
#include "daemon/profile_load.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libconfig's own: it forgets a string or a list of files that a mistake follows, some bytes for each text that is refused. */
const char *__lsan_default_suppressions(void)
{
	return "leak:strbuf_append\nleak:libconfig_yylex\n";
}

static char *dumped(const char *text, struct fail *fail)
{
	char *out = NULL;
	size_t len;
	struct conf conf;
	if (conf_parse(&conf, text, "fuzz", fail) != 0)
		return NULL;
	FILE *file = open_memstream(&out, &len);
	if (file == NULL)
		abort();
	conf_dump(&conf.root, file);
	(void)fclose(file);
	conf_done(&conf);
	return out;
}

static void profile_read(const char *text)
{
	struct conf_errors errors = { 0 };
	struct fail fail = { .text = "" };
	struct profile *profile = profile_parse(text, "fuzz", NULL, &errors, &fail);
	if (profile != NULL)
		profile_free(profile);
	conf_errors_done(&errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fail fail = { .text = "" };
	char *text = strndup((const char *)data, size);
	if (text == NULL)
		return 0;
	char *once = dumped(text, &fail);
	if (once != NULL) {
		char *twice = dumped(once, &fail);
		if (twice == NULL || strcmp(once, twice) != 0)
			abort();
		free(twice);
		profile_read(text);
	}
	free(once);
	free(text);
	return 0;
}
