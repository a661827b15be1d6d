/* SPDX-License-Identifier: MIT */
#include "fault.h"
#include "site.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool take(const char *path, struct fault *out)
{
	char *text = file_read(path);
	if (text == NULL)
		return false;
	text[strcspn(text, " \r\n")] = '\0';
	const char *word = text;
	bool mine = true;
	if (strncmp(word, "once:", 5) == 0) {
		word += 5;
		/* Whoever removes the file has the fault: two threads never share one. */
		mine = unlink(path) == 0;
	}
	size_t n = strcspn(word, ":");
	*out = (struct fault){.number = word[n] == ':' ? strtoll(word + n + 1, NULL, 10) : 0};
	snprintf(out->word, sizeof(out->word), "%.*s", (int)n, word);
	free(text);
	return mine && out->word[0] != '\0';
}

bool fault_is_set(const char *name, struct fault *out)
{
	char path[768];
	snprintf(path, sizeof(path), "%s/fault/%s", site.dir, name);
	if (take(path, out))
		return true;
	snprintf(path, sizeof(path), "%s/fault/%s", site.lab, name);
	return take(path, out);
}

bool fault_is(const char *name, const char *word)
{
	struct fault fault;
	return fault_is_set(name, &fault) && strcmp(fault.word, word) == 0;
}
