/* SPDX-License-Identifier: MIT */
#include "trouble.h"

static const struct { uint8_t when, site; const char *word; } kinds[] = {
#define X(name, when_, where, word_) [TROUBLE_##name] = { when_, where, word_ },
#include "trouble.def"
#undef X
};

enum trouble_when trouble_when(unsigned kind)
{
	return (enum trouble_when)kinds[kind].when;
}

bool trouble_fits(unsigned kind, unsigned sites)
{
	return (kinds[kind].site & sites) != 0;
}

const char *trouble_word(unsigned kind)
{
	return kinds[kind].word;
}

bool trouble_gives_up(unsigned kind)
{
	return kind == TROUBLE_SKIP || kind == TROUBLE_PARK || kind == TROUBLE_ABORT;
}

static uint32_t draw(uint64_t *random, uint32_t n)
{
	*random = *random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*random >> 33) % n;
}

struct trouble_reach troubles_reach(uint32_t nodes, uint32_t schemata)
{
	return (struct trouble_reach){ .actions = 4 + 23 * nodes + 5 * schemata, .questions = 8 + 24 * nodes + 8 * schemata,
		.batches = 8 + 48 * nodes + 13 * schemata, .ms = 15000 + 11000 * nodes + 1500 * schemata };
}

static uint32_t reach(enum trouble_when when, const struct trouble_reach *far)
{
	switch (when) {
	case AT_ACTION:
	case AT_WINDOW:
		return far->actions;
	case AT_QUESTION:
		return far->questions;
	case AT_BATCH:
		return far->batches;
	case AT_TIME:
		break;
	}
	return far->ms;
}

void troubles_make(struct troubles *t, uint64_t seed, const struct trouble_reach *far, unsigned sites)
{
	uint64_t random = seed * 2862933555777941757u + 3037000493u;
	*t = (struct troubles){ 0 };
	(void)draw(&random, 2);
	uint32_t n = draw(&random, 12) == 0 ? 0 : 1 + draw(&random, draw(&random, 3) == 0 ? 10 : 4);
	bool gives_up = draw(&random, 4) == 0;
	uint32_t kinds_here = (sites & SITE_PLAIN) != 0 ? TROUBLE_KINDS - 1 : TROUBLE_REWRITE;
	while (t->n < n) {
		struct trouble trouble = { .id = (uint16_t)(t->n + 1), .kind = (uint8_t)(1 + draw(&random, kinds_here)) };
		trouble.at = 1 + draw(&random, reach(trouble_when(trouble.kind), far));
		trouble.a = draw(&random, 1u << 20);
		trouble.b = draw(&random, 1u << 20);
		if (trouble_fits(trouble.kind, sites) && (gives_up || !trouble_gives_up(trouble.kind)))
			t->list[t->n++] = trouble;
	}
}

void troubles_print(const struct troubles *t, FILE *out)
{
	static const char *const units[] = { "action", "action in a window", "question", "batch", "ms" };
	for (size_t i = 0; i < t->n; i++)
		if (t->list[i].kind != TROUBLE_NONE)
			(void)fprintf(out, "  #%u at %s %u: %s (%u, %u)%s\n", t->list[i].id, units[trouble_when(t->list[i].kind)], t->list[i].at,
				trouble_word(t->list[i].kind), t->list[i].a, t->list[i].b, t->list[i].fired ? "" : ", not reached");
}
