/* SPDX-License-Identifier: MIT */
#pragma once
/* The daemon put together: configuration, journal, engine, hands and eyes, control socket, signals, service manager. No rules. */

#include "proto/fail.h"

struct upgd;

/* Folds the journal and listens; NULL with fail. */
struct upgd *upgd_new(const char *config_path, struct fail *fail);
int upgd_run(struct upgd *upgd); /* until asked to end; the exit status */
void upgd_free(struct upgd *upgd);
