/* SPDX-License-Identifier: MIT */
#include "record.h"

#include <stddef.h>

static const struct kind {
	unsigned number;
	const char *word;
	bool must_understand;
} kinds[] = {
#define X(name, number, word, must_understand, doc) { number, word, must_understand },
#include "record.def"
#undef X
};

static const struct kind *kind_find(unsigned number)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].number == number)
			return &kinds[i];
	return NULL;
}

const char *record_kind_word(unsigned kind)
{
	const struct kind *found = kind_find(kind);
	return found != NULL ? found->word : NULL;
}

bool record_must_understand(unsigned kind)
{
	const struct kind *found = kind_find(kind);
	return found == NULL || found->must_understand;
}
