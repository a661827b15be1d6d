/* SPDX-License-Identifier: MIT */
#include "causes.h"

#include "memory.h"

#include <regex.h>
#include <string.h>

static bool fits(const regex_t *regex, const char *text)
{
	return text != NULL && regexec(regex, text, 0, NULL, 0) == 0;
}

uint8_t causes_fit(const struct step *step, const char *said, const char *output)
{
	uint8_t fit = 0;
	for (size_t i = 0; i < step->n_causes; i++) {
		regex_t regex;
		if (step->causes[i].match == NULL) {
			fit |= (uint8_t)(1u << i);
			continue;
		}
		if (regcomp(&regex, step->causes[i].match, REG_EXTENDED | REG_NOSUB | REG_NEWLINE) != 0)
			continue; /* the loader has tried it */
		if (fits(&regex, said) || fits(&regex, output))
			fit |= (uint8_t)(1u << i);
		regfree(&regex);
	}
	return fit;
}

char *causes_output(const char *out, size_t len)
{
	size_t from = len > CAUSES_OUTPUT_MAX ? len - CAUSES_OUTPUT_MAX : 0;
	const char *line = from > 0 ? memchr(out + from, '\n', len - from) : NULL;
	if (line != NULL && (size_t)(line - out) + 1 < len)
		from = (size_t)(line - out) + 1;
	while (from > 0 && from < len && ((unsigned char)out[from] & 0xc0) == 0x80)
		from++;
	char *kept = memory_need(malloc(len - from + 1));
	memcpy(kept, out + from, len - from);
	kept[len - from] = '\0';
	for (size_t i = 0; i < len - from; i++)
		if (kept[i] == '\0')
			kept[i] = ' '; /* a text ends there, a report does not */
	return kept;
}
