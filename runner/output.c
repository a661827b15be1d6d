/* SPDX-License-Identifier: MIT */
#include "output.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define REDACTED "[secret]"

void output_init(struct output *output, const struct secrets *secrets)
{
	output->secrets = secrets;
	output->longest = output->n_head = output->n_carry = 0;
	output->n_tail = 0;
	for (size_t i = 0; i < secrets->n; i++)
		if (strlen(secrets->value[i]) > output->longest)
			output->longest = strlen(secrets->value[i]);
}

static void keep(struct output *output, const char *data, size_t len)
{
	size_t head = sizeof(output->head) - output->n_head;
	if (head > len)
		head = len;
	memcpy(output->head + output->n_head, data, head);
	output->n_head += head;
	data += head;
	len -= head;
	while (len > 0) {
		size_t at = output->n_tail % sizeof(output->tail), n = sizeof(output->tail) - at;
		if (n > len)
			n = len;
		memcpy(output->tail + at, data, n);
		output->n_tail += n;
		data += n;
		len -= n;
	}
}

/* The length of the longest secret that begins here, 0 if none does. */
static size_t secret_at(const struct output *output, const char *data, size_t len)
{
	size_t best = 0;
	for (size_t i = 0; i < output->secrets->n; i++) {
		const char *value = output->secrets->value[i];
		size_t n = strlen(value);
		if (n > best && n <= len && value[0] == data[0] && memcmp(value, data, n) == 0)
			best = n;
	}
	return best;
}

/* Passes on what is in carry, except the last bytes that a secret may begin in; `more` of them stay. */
static void redact(struct output *output, size_t more)
{
	size_t at = 0, clean = 0;
	while (at + more < output->n_carry) {
		size_t n = secret_at(output, output->carry + at, output->n_carry - at);
		if (n > 0) {
			keep(output, output->carry + clean, at - clean);
			keep(output, REDACTED, strlen(REDACTED));
			at += n;
			clean = at;
		} else {
			at++;
		}
	}
	keep(output, output->carry + clean, at - clean);
	output->n_carry -= at;
	memmove(output->carry, output->carry + at, output->n_carry);
}

void output_feed(struct output *output, const char *data, size_t len)
{
	if (output->longest == 0) {
		keep(output, data, len);
		return;
	}
	while (len > 0) {
		size_t n = sizeof(output->carry) - output->n_carry;
		if (n > len)
			n = len;
		memcpy(output->carry + output->n_carry, data, n);
		output->n_carry += n;
		data += n;
		len -= n;
		redact(output, output->longest - 1);
	}
}

void output_end(struct output *output)
{
	redact(output, 0);
}

bool output_is_whole(const struct output *output)
{
	return output->n_tail <= sizeof(output->tail);
}

size_t output_text(const struct output *output, char *text)
{
	size_t len = output->n_head;
	memcpy(text, output->head, len);
	size_t ring = sizeof(output->tail);
	if (output->n_tail <= ring) {
		memcpy(text + len, output->tail, (size_t)output->n_tail);
		return len + (size_t)output->n_tail;
	}
	len += (size_t)snprintf(text + len, OUTPUT_MAX - len, "\n[%" PRIu64 " bytes left out]\n",
		output->n_tail - ring);
	size_t at = output->n_tail % ring;
	memcpy(text + len, output->tail + at, ring - at);
	memcpy(text + len + ring - at, output->tail, at);
	return len + ring;
}
