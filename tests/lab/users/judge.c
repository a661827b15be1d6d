/* SPDX-License-Identifier: MIT */
/*
 * A denial is what OX says while a context is disabled or its schema is being updated. Everything that is not known
 * good is a failure: the judge errs on the strict side, or "0 failed" would mean nothing.
 */
#include "judge.h"

#include "proto/json.h"

#include <stdio.h>
#include <string.h>

/* What OX answers to a tenant in its window. */
static const char *const DENIALS[] = {
	"AUTHORIZATION-0001", /* user or context disabled */
	"SES-0204",           /* the same, within a session */
	"CTX-0007",           /* the schema is LOCKED by an update */
	"CTX-0013",           /* tasks pending and implicit updates denied */
};
static const char *const SESSION_GONE[] = {"SES-0203", "SES-0201"};

static bool is_in(const char *code, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(code, list[i]) == 0)
			return true;
	return false;
}

#define IS_IN(code, list) is_in(code, list, sizeof(list) / sizeof((list)[0]))

printf_like(2, 3) static void failed(struct judgement *out, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(out->text, sizeof(out->text), format, args);
	va_end(args);
	for (char *c = out->text; *c != '\0'; c++)
		if ((unsigned char)*c < ' ')
			*c = ' ';
	out->verdict = VERDICT_FAILED;
}

/* OX sends errors as HTTP 200 with an object that has a code and its parameters. */
static void judge_error(const struct answer *answer, struct json_object *body, const char *code, struct judgement *out)
{
	const char *text = "";
	struct json_object *params = NULL;
	if (json_get_str(body, "error", &text, NULL) < 0)
		text = "";
	if (IS_IN(code, DENIALS)) {
		out->verdict = VERDICT_DENIED;
		snprintf(out->text, sizeof(out->text), "%s", code);
		return;
	}
	if (!answer->login && IS_IN(code, SESSION_GONE)) {
		out->verdict = VERDICT_RELOGIN;
		return;
	}
	if (answer->login && strcmp(code, "LGN-0016") == 0) {
		if (json_get_array(body, "error_params", &params, NULL) != 0 || json_object_array_length(params) == 0 ||
			!json_object_is_type(json_object_array_get_idx(params, 0), json_type_string)) {
			failed(out, "LGN-0016 without a URL in error_params");
			return;
		}
		out->verdict = VERDICT_REDIRECTED;
		snprintf(out->value, sizeof(out->value), "%s",
			json_object_get_string(json_object_array_get_idx(params, 0)));
		return;
	}
	failed(out, "%s %s", code, text);
}

static void judge_body(const struct answer *answer, struct judgement *out)
{
	struct fail fail = {0};
	json_cleanup struct json_object *body = json_parse(answer->body, answer->len, &fail);
	const char *code = NULL, *session = NULL;
	if (body == NULL || !json_object_is_type(body, json_type_object)) {
		failed(out, "no JSON object in the answer: %.80s", body == NULL ? fail.text : "another type");
		return;
	}
	int r = json_get_str(body, "code", &code, &fail);
	if (r == 0) {
		judge_error(answer, body, code, out);
		return;
	}
	if (r < 0 || json_object_object_get_ex(body, "error", NULL)) {
		failed(out, "an error without a code: %.160s", json_text(body, NULL));
		return;
	}
	if (answer->login) {
		if (json_get_str(body, "session", &session, &fail) != 0) {
			failed(out, "login answered without a session");
			return;
		}
		snprintf(out->value, sizeof(out->value), "%s", session);
	}
	out->verdict = VERDICT_OK;
	/* A tenant's data goes forward only: code older than what served it already may destroy it. */
	if (answer->version != NULL && strverscmp(answer->version, answer->seen) < 0)
		failed(out, "served by %s after %s", answer->version, answer->seen);
}

void judge(const struct answer *answer, struct judgement *out)
{
	*out = (struct judgement){0};
	if (answer->transport != NULL)
		failed(out, "%s", answer->transport);
	else if (answer->mismatch != NULL && answer->mismatch[0] != '\0')
		failed(out, "X-Lab-Mismatch: %s", answer->mismatch);
	else if (answer->status != 200)
		failed(out, "HTTP %ld", answer->status);
	else
		judge_body(answer, out);
}
