/* SPDX-License-Identifier: MIT */
#include "fail.h"

#include <stdio.h>
#include <string.h>

int fail_set(struct fail *fail, int code, const char *format, ...)
{
	if (fail == NULL)
		return code;
	va_list args;
	va_start(args, format);
	fail->code = code;
	(void)vsnprintf(fail->text, sizeof(fail->text), format, args);
	va_end(args);
	return code;
}

void fail_prefix(struct fail *fail, const char *format, ...)
{
	if (fail == NULL)
		return;
	char old[sizeof(fail->text)];
	memcpy(old, fail->text, sizeof(old));
	va_list args;
	va_start(args, format);
	int n = vsnprintf(fail->text, sizeof(fail->text), format, args);
	va_end(args);
	/* A long text loses its tail; the check of the result tells the compiler that this is meant. */
	if (n >= 0 && (size_t)n < sizeof(fail->text) &&
		snprintf(fail->text + n, sizeof(fail->text) - (size_t)n, ": %s", old) < 0)
		fail->text[n] = '\0';
}
