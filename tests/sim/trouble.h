/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What goes wrong in one run: a list, made from a seed, so that a failing run can be made smaller by leaving out one after the other.
 * Each trouble has an id; what it does is signed "#id", and the explanation of what is left at the end must name it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum trouble_kind {
#define X(name, when, where, word) TROUBLE_##name,
#include "trouble.def"
#undef X
	TROUBLE_KINDS
};

enum trouble_when {
	AT_ACTION,   /* the at-th action that reaches the site */
	AT_WINDOW,   /* the first action in a window, from the at-th of all on */
	AT_QUESTION, /* the at-th question */
	AT_BATCH,    /* the at-th batch of the journal */
	AT_TIME,     /* virtual ms */
};

/* Where it makes sense. */
enum trouble_site { SITE_ANY = 1, SITE_BALANCER = 2, SITE_DATABASE = 4, SITE_OX = 8, SITE_PLAIN = 16 };
enum { SITE_ALL_OX = SITE_ANY | SITE_BALANCER | SITE_DATABASE | SITE_OX };

/* How far a run without troubles goes: ordinals by enum trouble_when. */
struct trouble_reach {
	uint32_t actions, questions, batches, ms;
};

struct trouble {
	uint16_t id;           /* from 1 */
	uint8_t kind;
	uint32_t at, a, b;     /* a, b: whom and how much, as the kind takes it */
	bool fired;
	uint8_t left;          /* strikes the next ones too */
};

enum { TROUBLES_MAX = 16 };

struct troubles {
	struct trouble list[TROUBLES_MAX];
	size_t n;
};

/* sites: bits of enum trouble_site. */
void troubles_make(struct troubles *troubles, uint64_t seed, const struct trouble_reach *reach, unsigned sites);
struct trouble_reach troubles_reach(uint32_t nodes, uint32_t schemata); /* of an OX site of this size */
enum trouble_when trouble_when(unsigned kind);
bool trouble_fits(unsigned kind, unsigned sites);
const char *trouble_word(unsigned kind);
/* A person's word that something is given up: without one, and with a person who retries, everything must end done. */
bool trouble_gives_up(unsigned kind);
void troubles_print(const struct troubles *troubles, FILE *out);
