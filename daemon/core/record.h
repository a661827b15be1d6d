/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A journal record: one decided fact, with the values that decided it. Replay is record_apply() alone, with no rules, so a rollout
 * survives an upgrade of upgd. Numbers in the .def files are fixed for ever and never reused.
 */

#include <stdbool.h>
#include <stdint.h>

enum record_kind {
#define X(name, number, word, must_understand, doc) RECORD_##name = number,
#include "record.def"
#undef X
};

#define RECORD_NO_UNIT UINT32_MAX /* the record is about the rollout, not one unit */
#define RECORD_NO_STEP UINT16_MAX
#define RECORD_TEXT_MAX 65536     /* bytes; longer text is cut by the writer of the record, never by the store */

enum record_dir { DIR_DO = 0, DIR_UNDO = 1 };

/* Where an action happens: a node's row (>= 0) or one of these. */
enum record_lane { LANE_NONE = -1, LANE_LOCAL = -2 };

struct record {
	uint64_t seq;      /* 1, 2, 3 ... without gaps */
	int64_t at_ms;     /* wall clock, for people */
	uint64_t boot_ms;  /* CLOCK_BOOTTIME of the daemon's host */
	uint32_t epoch;    /* of the daemon that wrote it */
	uint16_t kind;     /* enum record_kind */
	uint32_t unit;     /* unit index or RECORD_NO_UNIT */
	uint16_t step;     /* step index in the unit's stage, or RECORD_NO_STEP */
	int32_t lane;      /* enum record_lane or a node's row */
	uint8_t dir;       /* enum record_dir */
	uint8_t attempt;   /* from 1; 0: none */
	uint16_t code;     /* meaning depends on kind */
	int64_t value;     /* the number that decided, or counts */
	uint64_t hash;     /* intent: of the rendered action; acted: the intent's seq; row: capacity; host: its number; start: --back-by, wall ms; retry: after so many ms; else 0 */
	const char *actor; /* who, when a person: "uid=1001(eva) pid=4711"; NULL: upgd */
	const char *text;  /* a sentence, a rendered action, a capture as JSON; NULL: none */
};

const char *record_kind_word(unsigned kind); /* "intent"; NULL for a kind this version does not know */
bool record_must_understand(unsigned kind);  /* an unknown kind is refused when it says so in the header; see store */
